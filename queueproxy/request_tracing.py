"""The spans of a request, and the headers that carry its trace to the app (contract: queue-proxy.md 10.5).

    GET                         server: from the head to the response's end
      kn.queueproxy.proxy       the same, as the reference has it
        kn.queueproxy.wait      until the slot; only with a concurrency limit
        HTTP GET                client: the app's part; its id is what the app sees as its parent

A request that is not sampled costs a look at its headers. When the caller has decided against it, nothing is changed
at all; when we have, the app is told with a traceparent of its own, so that it need not decide again.
"""

import time
from random import getrandbits
from typing import Final

from queueproxy.answers import final_status
from upwell.http import Exchange
from upwell.telemetry.sampling import Sampler
from upwell.telemetry.trace_context import (
    B3_FIELDS,
    TRACEPARENT,
    Fields,
    TraceContext,
    read_trace_context,
    trace_fields,
)
from upwell.telemetry.tracing import SpanKind, SpanSender

__all__ = ["RequestTracing", "SampledTrace", "Trace"]

LOWER_HALF: Final = 2**64 - 1
NONE: Final[frozenset[bytes]] = frozenset()
REPLACED: Final = frozenset((TRACEPARENT,))
REPLACED_WITH_B3: Final = REPLACED | B3_FIELDS


class Trace:
    """What the app is told about a request that is not sampled."""

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
        self.server, self.proxy, self.client = _new_id(), _new_id(), _new_id()
        context = TraceContext(trace_id, self.client, True)
        super().__init__(trace_fields(context, self.proxy, fields), _replaced(fields))


class RequestTracing:
    """Decides, and reports finished requests."""

    def __init__(self, sampler: Sampler, sender: SpanSender) -> None:
        self._sampler = sampler
        self._threshold = sampler.rate * 2**64
        """Of the lower half of a new trace's id: below it the request is sampled."""
        self._sender = sender

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

    def ended(
        self, exchange: Exchange, trace: Trace, *, total: float, waited: float | None, in_app: float | None
    ) -> None:
        """A request is over: seconds in all, in line (None without a limit), in the app (None: never)."""
        if not isinstance(trace, SampledTrace):
            return
        end = time.time_ns()
        start = end - int(total * 1e9)
        request, status = exchange.request, final_status(exchange)
        method = request.method.decode("latin-1")
        failed = status >= 500
        sent: dict[str, str | int | float | bool] = {"http.request.method": method, "http.response.status_code": status}
        server = {
            **sent,
            "url.path": request.target.partition(b"?")[0].decode("latin-1"),
            "url.scheme": "http",
            "server.address": request.host.decode("latin-1"),
            "client.address": request.peer,
            "network.protocol.version": f"{request.version[0]}.{request.version[1]}",
            "user_agent.original": (request.get(b"user-agent") or b"").decode("latin-1"),
            "http.response.body.size": exchange.response_bytes,
        }
        ids, send = trace.trace_id, self._sender.send
        if in_app is not None:
            send(
                f"HTTP {method}",
                SpanKind.CLIENT,
                ids,
                trace.client,
                trace.proxy,
                end - int(in_app * 1e9),
                end,
                sent,
                failed=failed,
            )
        if waited is not None:
            wait_end = start + int(waited * 1e9)
            send("kn.queueproxy.wait", SpanKind.INTERNAL, ids, _new_id(), trace.proxy, start, wait_end, {})
        send("kn.queueproxy.proxy", SpanKind.INTERNAL, ids, trace.proxy, trace.server, start, end, {})
        send(
            method,
            SpanKind.SERVER,
            ids,
            trace.server,
            trace.parent,
            start,
            end,
            server,
            remote_parent=True,
            failed=failed,
        )


def _new_id() -> int:
    return getrandbits(64) or 1


def _replaced(fields: dict[bytes, bytes]) -> frozenset[bytes]:
    return REPLACED if B3_FIELDS.isdisjoint(fields) else REPLACED_WITH_B3
