"""Heads of HTTP/2 requests and responses: from decoded fields to checked heads, and from heads to blocks.

What RFC 9113, 8.2 and 8.3 forbid raises StreamViolation: upper case or impossible names, impossible values, fields of
one connection only, pseudo-header fields that are missing, doubled, unknown or late. What is well-formed and still
cannot be served raises BadRequestError, which is answered with its status as over HTTP/1.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from upwell.http.errors import BadRequestError
from upwell.http.h2.codes import ErrorCode, StreamViolation
from upwell.http.h2.fields import encode_fields, encode_pseudo
from upwell.http.limits import Limits
from upwell.http.message import HTTP_2, Fields, RequestHead, ResponseHead

__all__ = [
    "Http2Request",
    "Http2Response",
    "check_trailers",
    "encode_request",
    "encode_response",
    "encode_trailers",
    "make_request",
    "make_response_head",
]


_FIELD_OVERHEAD: Final = 32
"""What a field counts for beside its bytes (RFC 9113, 6.5.2)."""

_NAMES: Final = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+(?:\n:?[!#$%&'*+\-.^_`|~0-9a-z]+)*")
_BAD_VALUES: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|(?:\A|\n)[ \t]|[ \t](?:\n|\Z)")
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_AUTHORITY: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.%~A-Za-z_\-]*\]|[!$&'()*+,;=\-._~%0-9A-Za-z]*)(?::[0-9]*)?")
_PATH: Final = re.compile(rb"/[\x21\x22\x24-\x7e\x80-\xff]*")
_STATUS: Final = re.compile(rb"[1-9][0-9][0-9]")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")

_REQUEST_PSEUDO: Final = frozenset((b":method", b":scheme", b":authority", b":path"))
_RESPONSE_PSEUDO: Final = frozenset((b":status",))
_CONNECTION_FIELDS: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
_HOP_BY_HOP: Final = _CONNECTION_FIELDS | {
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"http2-settings",
}
_REQUEST_DROP: Final = _HOP_BY_HOP | {b"x-forwarded-for", b"host"}
_BARE_DROP: Final = _HOP_BY_HOP | {b"content-length"}
_NOT_IN_TRAILERS: Final = _HOP_BY_HOP | {b"content-length", b"host", b"trailer", b"content-encoding", b"content-type"}
_NOTHING: Final[frozenset[bytes]] = frozenset()


class Http2Request(RequestHead):
    """A request as one block says it, shared by all requests with that block on its connection."""

    __slots__ = ("_forwarded", "_forwarded_as")

    def __init__(self) -> None:
        self._forwarded_as: tuple[object, ...] | None = None
        self._forwarded = b""

    def block(
        self,
        host: bytes | None,
        default_host: bytes,
        remove: frozenset[bytes],
        add: Sequence[tuple[bytes, bytes]],
    ) -> bytes:
        """What to send upstream, remembered for the next time."""
        how = (host, default_host, remove, add)
        if how != self._forwarded_as:
            self._forwarded = encode_request(self, host, default_host, remove, add)
            self._forwarded_as = how
        return self._forwarded


class Http2Response(ResponseHead):
    """A response as one block says it, shared by all responses with that block on its connection."""

    __slots__ = ("block",)

    def __init__(self) -> None:
        self.block = b""
        """What to send downstream, once it has been asked for."""

    def encode(self) -> bytes:
        """Make the block, and remember it for the next time."""
        self.block = encode_response(self)
        return self.block

    def copy(self) -> "Http2Response":
        """One that may be changed."""
        copied = _new_response(self.status)
        copied.length = self.length
        copied.set_fields(self.headers)
        return copied


def make_request(fields: Fields, ended: bool, peer: str, peer_port: int, limits: Limits) -> Http2Request:
    """The request that these fields are; raise StreamViolation or BadRequestError."""
    _check(fields)
    pseudo, headers = _split(fields, _REQUEST_PSEUDO)
    request = Http2Request()
    request.version = HTTP_2
    request.peer = peer
    request.peer_port = peer_port
    request.keep_alive = True
    request.upgrade = None
    request.set_fields(headers)
    method = pseudo.get(b":method", b"")
    if not _METHOD.fullmatch(method):
        raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "no method, or an impossible one")
    request.method = method
    if method == b"CONNECT":
        raise BadRequestError(502, "connect", "client sent unsupported CONNECT request")
    if not pseudo.get(b":scheme"):
        raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "no scheme")
    request.target = _read_path(pseudo.get(b":path", b""), method, limits)
    request.host = _read_authority(request, pseudo.get(b":authority"))
    request.length = _read_length(request)
    if ended and request.length:
        raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "a length, and no body")
    request.chunked = not ended and request.length is None
    request.expects_continue = not ended and request.fields.get(b"expect", b"").lower() == b"100-continue"
    _check_sizes(fields, limits)
    return request


def make_response_head(fields: Fields, bytes_max: int) -> Http2Response:
    """The response that these fields are, if they are not larger than that; raise StreamViolation."""
    _check(fields)
    if _list_size(fields) > bytes_max:
        raise StreamViolation(ErrorCode.ENHANCE_YOUR_CALM, "header fields too large")
    pseudo, headers = _split(fields, _RESPONSE_PSEUDO)
    status = pseudo.get(b":status", b"")
    if not _STATUS.fullmatch(status) or status == b"101":
        raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "no status, or an impossible one")
    response = _new_response(int(status))
    response.set_fields(headers)
    response.length = _read_length(response)
    return response


def _new_response(status: int) -> Http2Response:
    response = Http2Response()
    response.version = HTTP_2
    response.status = status
    response.reason = b""
    response.keep_alive = True
    response.until_close = False
    response.chunked = False
    response.last = False
    return response


def check_trailers(fields: Fields, bytes_max: int) -> Fields:
    """Trailers are fields like others, without pseudo-header fields; raise StreamViolation."""
    _check(fields)
    if _list_size(fields) > bytes_max:
        raise StreamViolation(ErrorCode.ENHANCE_YOUR_CALM, "trailers too large")
    _, trailers = _split(fields, _NOTHING)
    return trailers


def _check(fields: Fields) -> None:
    """All names at once, and all values: none may hold the line feed that joins them, so those are counted."""
    if not fields:
        return
    names = b"\n".join([name for name, _ in fields])
    if not _NAMES.fullmatch(names) or names.count(b"\n") >= len(fields):
        raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "an impossible field name")
    values = b"\n".join([value for _, value in fields])
    if _BAD_VALUES.search(values) or values.count(b"\n") >= len(fields):
        raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "an impossible field value")


def _split(fields: Fields, allowed: frozenset[bytes]) -> tuple[dict[bytes, bytes], Fields]:
    """Pseudo-header fields, which come first, and the others."""
    pseudo: dict[bytes, bytes] = {}
    count = 0
    for name, value in fields:
        if name[0] != 58:  # a colon
            break
        if name not in allowed or name in pseudo:
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "an unknown or repeated pseudo-header field")
        pseudo[name] = value
        count += 1
    headers = fields[count:]
    for name, value in headers:
        if name[0] == 58:
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "a late pseudo-header field")
        if name in _CONNECTION_FIELDS or (name == b"te" and value.lower() != b"trailers"):
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "a field of HTTP/1 connections")
    return pseudo, headers


def _read_path(path: bytes, method: bytes, limits: Limits) -> bytes:
    if not path:
        raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "no path")
    if len(path) > limits.target_bytes:
        raise BadRequestError(414, "target-too-long", "request target too long")
    if not _PATH.fullmatch(path) and (path != b"*" or method != b"OPTIONS"):
        raise BadRequestError(400, "target", "malformed request target")
    return path


def _read_authority(request: RequestHead, authority: bytes | None) -> bytes:
    host = request.fields.get(b"host")
    if authority is None:
        authority = host or b""
    if host is not None and (request.get_all(b"host") != [host] or host.lower() != authority.lower()):
        raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "two different hosts")
    if not _AUTHORITY.fullmatch(authority):
        raise BadRequestError(400, "host", "malformed Host header")
    return authority


def _read_length(head: RequestHead | ResponseHead) -> int | None:
    length = head.fields.get(b"content-length")
    if length is None:
        return None
    if not _DIGITS.fullmatch(length) or (head.repeats and len(head.get_all(b"content-length")) > 1):
        raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "an impossible length")
    return int(length)


def _check_sizes(fields: Fields, limits: Limits) -> None:
    if len(fields) > limits.head_fields:
        raise BadRequestError(431, "head-too-large", "too many header fields")
    if _list_size(fields) > limits.head_bytes:
        raise BadRequestError(431, "head-too-large", "request header fields too large")


def _list_size(fields: Fields) -> int:
    return sum([len(name) + len(value) + _FIELD_OVERHEAD for name, value in fields])


def encode_request(
    request: RequestHead,
    host: bytes | None,
    default_host: bytes,
    remove: frozenset[bytes],
    add: Iterable[tuple[bytes, bytes]],
) -> bytes:
    """The block to send upstream; the parameters are those of `upwell.http.encode.encode_request_head`."""
    peer = request.peer.encode()
    if b"x-forwarded-for" in request.fields and b"x-forwarded-for" not in remove:
        peer = b", ".join([*request.get_all(b"x-forwarded-for"), peer])
    fields: Fields = [
        (b":method", request.method),
        (b":scheme", b"http"),
        (b":authority", host if host is not None else request.host or default_host),
        (b":path", request.target),
    ]
    drop = _REQUEST_DROP | remove | _nominated(request)
    fields += _without(drop, request.headers)
    if b"te" in request.fields and b"trailers" in request.tokens(b"te"):
        fields.append((b"te", b"trailers"))
    if peer:
        fields.append((b"x-forwarded-for", peer))
    return encode_fields([*fields, *add])


def encode_response(response: ResponseHead) -> bytes:
    """The block to send to a client."""
    drop = _BARE_DROP if response.status == 204 or response.status < 200 else _HOP_BY_HOP
    status = encode_pseudo(b":status", b"%d" % response.status)
    if b"connection" in response.fields:
        drop = drop | _nominated(response)
    elif drop.isdisjoint(response.fields):
        return status + encode_fields(response.headers)
    return status + encode_fields(_without(drop, response.headers))


def encode_trailers(trailers: Fields) -> bytes:
    """The block of a body's trailers."""
    return encode_fields(_without(_NOT_IN_TRAILERS, trailers))


def _without(drop: frozenset[bytes], fields: list[Any]) -> list[Any]:
    """Those whose names are not to be dropped; the same objects, for `encode_fields` looks at their type."""
    return [field for field in fields if field[0].lower() not in drop]


def _nominated(head: RequestHead | ResponseHead) -> frozenset[bytes]:
    """What a `Connection` field of HTTP/1 says is for that connection only; the fields that frame and route stay."""
    if b"connection" not in head.fields:
        return _NOTHING
    return frozenset(head.tokens(b"connection")) - {b"content-length"}
