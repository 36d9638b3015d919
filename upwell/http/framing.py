"""Where a request's head ends in what has been read, and whether it is still worth waiting for the rest of it."""

from upwell.http.errors import BadRequestError
from upwell.http.limits import Limits

__all__ = ["request_head_end"]


def request_head_end(data: bytes, limits: Limits) -> int:
    """The index after the head's empty line, 0 while the head is incomplete; raise BadRequestError.

    Only what must be certain before the whole head is there is looked at: its size, and that lines end in CR LF,
    for with bare LF the end would never come. Everything else is the parser's.
    """
    end = data.find(b"\r\n\r\n") + 4
    if end > 3:
        if end > limits.target_bytes:
            _check_sizes(data[:end], limits)
        return end
    if data.count(b"\n") != data.count(b"\r\n"):
        raise BadRequestError(400, "malformed", "malformed request: a line does not end in CR LF")
    _check_sizes(data, limits)
    return 0


def _check_sizes(head: bytes, limits: Limits) -> None:
    line = head.partition(b"\r\n")[0]
    parts = line.split(b" ", 2)
    if len(parts) > 1 and len(parts[1]) > limits.target_bytes:
        raise BadRequestError(414, "target-too-long", "request target too long")
    if len(head) > limits.head_bytes:
        raise BadRequestError(431, "head-too-large", "request header fields too large")
