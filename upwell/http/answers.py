"""Answers that no upstream gave: heads made here, and the mark by which one of our hops knows another's."""

from collections.abc import Sequence
from typing import Final

from upwell.http.message import HTTP_1_1, ResponseHead

__all__ = ["error_response", "is_unsent", "make_response"]

_REASONS: Final[dict[int, bytes]] = {
    200: b"OK",
    202: b"Accepted",
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
    409: b"Conflict",
    413: b"Content Too Large",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}


def make_response(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> ResponseHead:
    """The head of an answer with this body; Content-Length is added."""
    head = ResponseHead()
    head.status = status
    head.reason = _REASONS.get(status, b"")
    head.version = HTTP_1_1
    head.length = len(body)
    head.chunked = False
    head.until_close = False
    head.keep_alive = True
    head.last = False
    head.set_fields([*headers, (b"Content-Length", b"%d" % len(body))])
    return head


def error_response(component: bytes, status: int, reason: str, text: bytes) -> ResponseHead:
    """The head of an answer that the engine itself makes; it names who speaks and why, and ends the connection."""
    headers = (
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Upwell-Error", b"%b; reason=%b" % (component, reason.encode())),
    )
    head = make_response(status, headers, text)
    head.last = True
    return head


def is_unsent(head: ResponseHead) -> bool:
    """Whether one of our own hops says that the request reached no application (`Upwell-Error: …; unsent`)."""
    value = head.fields.get(b"upwell-error")
    return value is not None and any(part.strip() == b"unsent" for part in value.split(b";"))
