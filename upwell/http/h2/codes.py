"""The error codes of RFC 9113, and the two ways in which a peer can break its rules.

A `StreamViolation` costs the peer one stream (RST_STREAM), a `ConnectionViolation` the whole connection (GOAWAY). Both
are raised by what reads the peer's bytes and end in the connection's `data_received`.
"""

from enum import IntEnum
from typing import Final

from upwell.http.errors import HttpError

__all__ = ["PASSED_ON", "ConnectionViolation", "ErrorCode", "StreamViolation", "code_name"]


class ErrorCode(IntEnum):
    """Why a stream or a connection ends (RFC 9113, 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


PASSED_ON: Final = frozenset((ErrorCode.CANCEL, ErrorCode.ENHANCE_YOUR_CALM))
"""Codes with which an app breaks its answer off and that mean the same to its client: gRPC makes "cancelled" and
"resource exhausted" of them. The others speak of the hop between us and the app, or, as NO_ERROR and REFUSED_STREAM,
would tell the client of an answer that is whole, or of a request that nobody has looked at."""


def code_name(code: int) -> str:
    """For people: the code's name, or its number if it has none."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return str(code)


class _Violation(HttpError):  # noqa: N818 - it is the peer's, and not an error of ours
    """The peer broke a rule of HTTP/2, or one of our limits."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class ConnectionViolation(_Violation):
    """Nothing that this peer sends can be trusted any more."""


class StreamViolation(_Violation):
    """One stream is lost; the others go on."""
