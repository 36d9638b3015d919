"""The headers by which one hop tells the next which trace a request belongs to: W3C's, and Zipkin's B3.

    traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
    b3: 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1
    X-B3-TraceId, X-B3-SpanId, X-B3-Sampled, X-B3-Flags

W3C's is read first. A hop that traces writes a traceparent, and renews the B3 fields that came with the request, so
that an app that reads only those stays part of the trace. What cannot be read counts as absent.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["B3_FIELDS", "TRACEPARENT", "TraceContext", "read_trace_context", "trace_fields"]

TRACEPARENT: Final = b"traceparent"
B3_FIELDS: Final = frozenset(
    (b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags")
)
_TRACEPARENT: Final = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TRACE_ID: Final = re.compile(rb"[0-9a-fA-F]{32}|[0-9a-fA-F]{16}")
_SPAN_ID: Final = re.compile(rb"[0-9a-fA-F]{16}")
_YES: Final = frozenset((b"1", b"d", b"true", b"True"))
_NO: Final = frozenset((b"0", b"false", b"False"))

Fields = tuple[tuple[bytes, bytes], ...]


class TraceContext(NamedTuple):
    """Where in which trace a request comes from."""

    trace_id: int
    span_id: int
    sampled: bool | None
    """What the caller decided; None where it left that to us."""


def read_trace_context(fields: Mapping[bytes, bytes]) -> TraceContext | None:
    """The caller's context, from fields by lower-case names."""
    value = fields.get(TRACEPARENT)
    if value is not None:
        found = _TRACEPARENT.fullmatch(value)
        if found is not None and not (found[1] == b"00" and found[5]):
            context = TraceContext(int(found[2], 16), int(found[3], 16), bool(int(found[4], 16) & 1))
            if context.trace_id and context.span_id:
                return context
    return _read_b3(fields)


def _read_b3(fields: Mapping[bytes, bytes]) -> TraceContext | None:
    single = fields.get(b"b3")
    if single is not None:
        parts = (*single.split(b"-"), b"", b"")[:3]
    else:
        flags = b"d" if fields.get(b"x-b3-flags") == b"1" else fields.get(b"x-b3-sampled", b"")
        parts = (fields.get(b"x-b3-traceid", b""), fields.get(b"x-b3-spanid", b""), flags)
    trace_id, span_id, flag = parts
    if not (_TRACE_ID.fullmatch(trace_id) and _SPAN_ID.fullmatch(span_id)):
        return None
    sampled = True if flag in _YES else False if flag in _NO else None
    context = TraceContext(int(trace_id, 16), int(span_id, 16), sampled)
    return context if context.trace_id and context.span_id else None


def trace_fields(context: TraceContext, parent: int, received: Mapping[bytes, bytes]) -> Fields:
    """The fields for the next hop; `parent` is the span that `context`'s span came from, 0 without one."""
    trace_id, span_id, flag = b"%032x" % context.trace_id, b"%016x" % context.span_id, int(bool(context.sampled))
    fields = [(b"traceparent", b"00-%b-%b-%02x" % (trace_id, span_id, flag))]
    if b"b3" in received:
        fields.append((b"b3", b"%b-%b-%d" % (trace_id, span_id, flag)))
    if b"x-b3-traceid" in received:
        fields += [(b"X-B3-TraceId", trace_id), (b"X-B3-SpanId", span_id), (b"X-B3-Sampled", b"%d" % flag)]
        if parent:
            fields.append((b"X-B3-ParentSpanId", b"%016x" % parent))
    return tuple(fields)
