"""Which of a process's requests are traced, and the headers that carry a request's trace to the next hop.

A request that is not sampled costs a look at its headers. When the caller has decided against it, nothing is changed
at all; when we have, the next hop is told with a traceparent of its own, so that it need not decide again. What the
spans of a process are is for it to say: it makes a `Tracer` of its own, and reports finished requests to the sender.
"""

from random import getrandbits
from typing import Final

from upwell.telemetry.sampling import Sampler
from upwell.telemetry.trace_context import (
    B3_FIELDS,
    TRACEPARENT,
    Fields,
    TraceContext,
    read_trace_context,
    trace_fields,
)

__all__ = ["SampledTrace", "Trace", "Tracer", "new_span_id"]

LOWER_HALF: Final = 2**64 - 1
NONE: Final[frozenset[bytes]] = frozenset()
REPLACED: Final = frozenset((TRACEPARENT,))
REPLACED_WITH_B3: Final = REPLACED | B3_FIELDS


class Trace:
    """What the next hop is told about a request that is not sampled."""

    __slots__ = ("add", "remove")

    def __init__(self, add: Fields, remove: frozenset[bytes] = NONE) -> None:
        self.add = add
        self.remove = remove
        """Lower-case names of fields that are replaced."""


class SampledTrace(Trace):
    """The identifiers of a request's spans besides."""

    __slots__ = ("client", "parent", "proxy", "server", "trace_id")

    def __init__(self, trace_id: int, parent: int, fields: dict[bytes, bytes]) -> None:
        """`parent` is the caller's span, 0 without one."""
        self.trace_id = trace_id
        self.parent = parent
        self.server, self.proxy, self.client = new_span_id(), new_span_id(), new_span_id()
        context = TraceContext(trace_id, self.client, True)
        super().__init__(trace_fields(context, self.proxy, fields), _replaced(fields))


class Tracer:
    """Decides."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._threshold = sampler.rate * 2**64
        """Of the lower half of a new trace's id: below it the request is sampled."""

    def begin(self, fields: dict[bytes, bytes]) -> Trace | None:
        """The trace of a request with these fields; None when its headers stay as they are."""
        value = fields.get(TRACEPARENT)
        if value is None and b"b3" not in fields and b"x-b3-traceid" not in fields:
            return self._first_hop(fields)
        if value is not None and self._sampler.asks_parent and len(value) == 55 and value.endswith(b"-00"):
            return None  # the usual case of the above, without reading the rest
        caller = read_trace_context(fields)
        if caller is None:
            return self._first_hop(fields)
        if self._sampler.takes(caller.trace_id, caller.sampled):
            return SampledTrace(caller.trace_id, caller.span_id, fields)
        if caller.sampled is False:
            return None
        refused = TraceContext(caller.trace_id, caller.span_id, False)
        return Trace(trace_fields(refused, 0, fields), _replaced(fields))

    def _first_hop(self, fields: dict[bytes, bytes]) -> Trace:
        number = getrandbits(192)
        if (number >> 64) & LOWER_HALF < self._threshold:
            return SampledTrace((number >> 64) or 1, 0, fields)
        text = number.to_bytes(24, "big").hex()  # half the time of formatting two numbers
        told = f"00-{text[:32]}-{text[32:]}-00".encode()
        return Trace(((TRACEPARENT, told),), REPLACED if TRACEPARENT in fields else NONE)


def new_span_id() -> int:
    return getrandbits(64) or 1


def _replaced(fields: dict[bytes, bytes]) -> frozenset[bytes]:
    return REPLACED if B3_FIELDS.isdisjoint(fields) else REPLACED_WITH_B3
