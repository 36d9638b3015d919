"""From parsed fields to the bytes of a head: what a proxy passes on, what it drops, what it adds.

A forwarded head is always built anew from the parsed fields; names keep their case, values and order. Dropped are the
fields that belong to one connection only (RFC 9110, 7.6.1): the well-known ones and those that `Connection` names.
What of them still holds on the next connection is written again: the framing of the body, `TE: trailers`, an upgrade.
"""

from collections.abc import Sequence
from typing import Final

from upwell.http.message import Fields, RequestHead, ResponseHead

__all__ = [
    "REASONS",
    "encode_chunk",
    "encode_last_chunk",
    "encode_request_head",
    "encode_response_head",
    "forwarded_fields",
]

_HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    )
)
_REQUEST_DROP: Final = _HOP_BY_HOP | {b"x-forwarded-for"}
# A trailer may not change how the message is framed, routed or its connection handled (RFC 9110, 6.5.1).
_NOT_IN_TRAILERS: Final = _HOP_BY_HOP | {b"content-length", b"host", b"trailer", b"content-encoding", b"content-type"}
# Naming one of these in `Connection` would take away what the next hop must know.
_NOT_NOMINATED: Final = frozenset((b"close", b"keep-alive", b"upgrade", b"te", b"host", b"content-length"))

_drop_sets: dict[frozenset[bytes], frozenset[bytes]] = {frozenset(): _REQUEST_DROP}
_DROP_SETS_MAX: Final = 64

REASONS: Final[dict[int, bytes]] = {
    200: b"OK",
    204: b"No Content",
    301: b"Moved Permanently",
    302: b"Found",
    307: b"Temporary Redirect",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}


def forwarded_fields(head: RequestHead | ResponseHead, drop: frozenset[bytes]) -> list[bytes]:
    """The field lines of `head` without those in `drop` and those that its Connection field names."""
    if b"connection" in head.fields:
        nominated = set(head.tokens(b"connection")) - _NOT_NOMINATED
        if nominated:
            drop = drop | nominated
    if head.repeats:
        return [b"%b: %b\r\n" % line for line in head.headers if line[0].lower() not in drop]
    return [b"%b: %b\r\n" % line for line, name in zip(head.headers, head.fields, strict=True) if name not in drop]


def encode_request_head(
    request: RequestHead,
    host: bytes | None,
    default_host: bytes,
    remove: frozenset[bytes],
    add: Sequence[tuple[bytes, bytes]],
) -> bytes:
    """The head to send upstream. `host` replaces the client's, if given; `default_host` stands in for a missing one."""
    drop = _drop_sets.get(remove)
    if drop is None:
        if len(_drop_sets) >= _DROP_SETS_MAX:
            _drop_sets.clear()
        drop = _drop_sets[remove] = _REQUEST_DROP | remove
    fields = request.fields
    if host is None and fields.get(b"host") != request.host:
        # The target was in absolute form, or the client named no host at all.
        host = request.host or default_host
    if host is not None:
        drop = drop | {b"host"}
    lines = forwarded_fields(request, drop)
    first = b"%b %b HTTP/1.1\r\n" % (request.method, request.target)
    if host is not None:
        first += b"Host: %b\r\n" % host
    lines.insert(0, first)
    peer = request.peer.encode()
    if b"x-forwarded-for" in fields and b"x-forwarded-for" not in remove:
        peer = b", ".join([*request.get_all(b"x-forwarded-for"), peer])
    lines.append(b"X-Forwarded-For: %b\r\n" % peer)
    if b"te" in fields and any(token.split(b";")[0].strip() == b"trailers" for token in request.tokens(b"te")):
        lines.append(b"TE: trailers\r\n")
    if request.upgrade is not None:
        lines.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % request.upgrade)
    if request.chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    for line in add:
        lines.append(b"%b: %b\r\n" % line)
    lines.append(b"\r\n")
    return b"".join(lines)


def encode_response_head(response: ResponseHead, *, chunked: bool, bare: bool, connection: bytes | None) -> bytes:
    """The head to send to a client. `bare`: such a status has no length; `connection`: the value of that field."""
    drop = _RESPONSE_DROP_BARE if bare else _HOP_BY_HOP
    lines = forwarded_fields(response, drop)
    lines.insert(0, b"HTTP/1.1 %d %b\r\n" % (response.status, response.reason))
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    if connection is not None:
        lines.append(b"Connection: %b\r\n" % connection)
        if connection == b"Upgrade":
            lines.append(b"Upgrade: %b\r\n" % response.fields.get(b"upgrade", b""))
    lines.append(b"\r\n")
    return b"".join(lines)


_RESPONSE_DROP_BARE: Final = _HOP_BY_HOP | {b"content-length"}


def encode_chunk(data: bytes) -> bytes:
    """One chunk; `data` is not empty, for that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_last_chunk(trailers: Fields) -> bytes:
    """The end of a chunked body, with the trailers that may be passed on."""
    if not trailers:
        return b"0\r\n\r\n"
    kept = [b"%b: %b\r\n" % line for line in trailers if line[0].lower() not in _NOT_IN_TRAILERS]
    return b"0\r\n%b\r\n" % b"".join(kept)
