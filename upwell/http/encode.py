"""From parsed fields to the bytes of a head: what a proxy passes on, what it drops, what it adds.

A forwarded head is always built anew from the parsed fields; names keep their case, values and order. Dropped are the
fields that belong to one connection only (RFC 9110, 7.6.1): the well-known ones and those that `Connection` names.
What of them still holds on the next connection is written again: the framing of the body, `TE: trailers`, an upgrade.
"""

from collections.abc import Sequence
from typing import Final

from upwell.http.message import HTTP_2, Fields, RequestHead, ResponseHead

__all__ = [
    "encode_chunk",
    "encode_last_chunk",
    "encode_request_head",
    "encode_response_head",
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
_RESPONSE_DROP_BARE: Final = _HOP_BY_HOP | {b"content-length"}
# A trailer may not change how the message is framed, routed or its connection handled (RFC 9110, 6.5.1).
_NOT_IN_TRAILERS: Final = _HOP_BY_HOP | {b"content-length", b"host", b"trailer", b"content-encoding", b"content-type"}
# Announces trailers, which only a chunked body can have.
_TRAILER: Final = frozenset((b"trailer",))
# Naming one of these in `Connection` would take away what the next hop must know.
_NOT_NOMINATED: Final = frozenset((b"close", b"keep-alive", b"upgrade", b"te", b"host", b"content-length"))

_drop_sets: dict[frozenset[bytes], frozenset[bytes]] = {frozenset(): _REQUEST_DROP}
_DROP_SETS_MAX: Final = 64
_JOIN_FIELD: Final = b": ".join


def _forwarded_fields(head: RequestHead | ResponseHead, drop: frozenset[bytes]) -> bytes:
    """The field lines of `head` without those in `drop` and those that its Connection field names."""
    fields = head.fields
    if drop.isdisjoint(fields):
        return b"\r\n".join(map(_JOIN_FIELD, head.headers)) + b"\r\n" if fields else b""
    if b"connection" in fields:
        nominated = set(head.tokens(b"connection")) - _NOT_NOMINATED
        if nominated:
            drop = drop | nominated
    return b"".join([b"%b: %b\r\n" % line for line in head.headers if line[0].lower() not in drop])


def encode_request_head(
    request: RequestHead,
    host: bytes | None,
    default_host: bytes,
    remove: frozenset[bytes],
    add: Sequence[tuple[bytes, bytes]],
) -> bytes:
    """The head to send upstream. `host` replaces the client's, if given; `default_host` stands in for a missing one."""
    if not request.repeated:
        return _make_request_head(request, host, default_host, remove, add)
    wanted = (host, default_host, remove, add)
    if request.encoded is None or request.encoded[0] != wanted:
        request.encoded = (wanted, _make_request_head(request, host, default_host, remove, add))
    return request.encoded[1]


def _make_request_head(
    request: RequestHead,
    host: bytes | None,
    default_host: bytes,
    remove: frozenset[bytes],
    add: Sequence[tuple[bytes, bytes]],
) -> bytes:
    fields = request.fields
    drop = _drop_sets.get(remove) or _make_drop_set(remove)
    cookies = b""
    if request.version == HTTP_2 and request.repeats and b"cookie" in fields and b"cookie" not in remove:
        # HTTP/2 may bring them in pieces (RFC 9113, 8.2.3); servers of HTTP/1.1 expect one field.
        drop = drop | {b"cookie"}
        cookies = b"Cookie: %b\r\n" % b"; ".join(request.get_all(b"cookie"))
    if host is None and fields.get(b"host") != request.host:
        # The target was in absolute form, or the client named no host at all.
        host = request.host or default_host
    if b"trailer" in fields and not request.chunked:
        drop = drop | _TRAILER
    own_host = b""
    if host is not None:
        drop = drop | {b"host"}
        own_host = b"Host: %b\r\n" % host
    peer = request.peer.encode()
    if b"x-forwarded-for" in fields and b"x-forwarded-for" not in remove:
        peer = b", ".join([*request.get_all(b"x-forwarded-for"), peer])
    # Without a peer the request is our own.
    ends = cookies + b"X-Forwarded-For: %b\r\n" % peer if peer else cookies
    if b"te" in fields and b"trailers" in request.tokens(b"te"):
        ends += b"TE: trailers\r\n"
    if request.upgrade is not None:
        ends += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % request.upgrade
    if request.chunked:
        ends += b"Transfer-Encoding: chunked\r\n"
    for line in add:
        ends += b"%b: %b\r\n" % line
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (
        request.method,
        request.target,
        own_host,
        _forwarded_fields(request, drop),
        ends,
    )


def _make_drop_set(remove: frozenset[bytes]) -> frozenset[bytes]:
    """An application removes one of few sets of names; the union with ours is made once for each."""
    if len(_drop_sets) >= _DROP_SETS_MAX:
        _drop_sets.clear()
    drop = _drop_sets[remove] = _REQUEST_DROP | remove
    return drop


def encode_response_head(response: ResponseHead, *, chunked: bool, bare: bool, connection: bytes | None) -> bytes:
    """The head to send to a client. `bare`: such a status has no length; `connection`: the value of that field."""
    if not response.repeated:
        return _make_response_head(response, chunked, bare, connection)
    wanted = (chunked, bare, connection)
    if response.encoded is None or response.encoded[0] != wanted:
        response.encoded = (wanted, _make_response_head(response, chunked, bare, connection))
    return response.encoded[1]


def _make_response_head(response: ResponseHead, chunked: bool, bare: bool, connection: bytes | None) -> bytes:
    ends = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    drop = _RESPONSE_DROP_BARE if bare else _HOP_BY_HOP
    if b"trailer" in response.fields and not chunked:
        drop = drop | _TRAILER
    if connection is not None:
        ends += b"Connection: %b\r\n" % connection
        if connection == b"Upgrade":
            ends += b"Upgrade: %b\r\n" % response.fields.get(b"upgrade", b"")
    return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (
        response.status,
        response.reason,
        _forwarded_fields(response, drop),
        ends,
    )


def encode_chunk(data: bytes) -> bytes:
    """One chunk; `data` is not empty, for that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_last_chunk(trailers: Fields) -> bytes:
    """The end of a chunked body, with the trailers that may be passed on."""
    if not trailers:
        return b"0\r\n\r\n"
    kept = [b"%b: %b\r\n" % line for line in trailers if line[0].lower() not in _NOT_IN_TRAILERS]
    return b"0\r\n%b\r\n" % b"".join(kept)
