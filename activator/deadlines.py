"""Requests that say how long their caller will wait (gRPC's `grpc-timeout`), and what they hear when that is over.

A caller that has given up does not always hang up: its request would go to a pod that works for nobody, in front of
requests that are still wanted. So one that waits here leaves the queue at its deadline, with the status that its caller
expects. How the field is written: "gRPC over HTTP2", Timeout: up to eight digits and a unit.
"""

import re
from typing import Any, Final

from activator.probe_answers import text
from upwell.api import names
from upwell.http import RequestHead

__all__ = ["deadline_passed", "patience_of"]

_TIMEOUT: Final = re.compile(rb"(\d{1,8})([HMSmun])")
_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_ERROR: Final = (names.HEADER_ERROR.encode(), b"activator; reason=deadline")
_GRPC: Final = b"application/grpc"
_DEADLINE_EXCEEDED: Final = b"4"
_TRAILERS_ONLY: Final = (
    (b"Content-Type", _GRPC),
    (b"Grpc-Status", _DEADLINE_EXCEEDED),
    (b"Grpc-Message", b"no pod was ready before the deadline"),
    _ERROR,
)
_GATEWAY_TIMEOUT: Final = text(504, b"no pod was ready before the deadline", _ERROR)


def patience_of(request: RequestHead) -> float | None:
    """Seconds from its arrival that the caller will wait; None when it does not say so, or not so that it is known."""
    value = request.fields.get(b"grpc-timeout")
    if value is None:
        return None
    found = _TIMEOUT.fullmatch(value)
    return None if found is None else int(found[1]) * _SECONDS[found[2]]


def deadline_passed(request: RequestHead) -> Any:
    """The answer: for gRPC a response that consists of its trailers alone."""
    if request.fields.get(b"content-type", b"").startswith(_GRPC):
        return 200, _TRAILERS_ONLY, b""
    return _GATEWAY_TIMEOUT
