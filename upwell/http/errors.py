"""What can go wrong, by who is to blame.

HttpError
├── BadRequestError    the client's bytes cannot be served: `status` and `reason` say why
└── BadResponseError   the upstream's bytes are not an HTTP response

UpstreamFailure        handed to the application, never raised: what happened to one attempt
FetchError             raised by `Engine.fetch`
"""

from enum import Enum
from typing import NamedTuple

__all__ = [
    "BadRequestError",
    "BadResponseError",
    "FailureKind",
    "FetchError",
    "HttpError",
    "Outcome",
    "UpstreamFailure",
]


class HttpError(Exception):
    """A peer broke the rules of HTTP/1.1 or one of our limits."""


class BadRequestError(HttpError):
    """The request is not forwarded; the client gets `status`, and its connection is closed."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        """`reason` is one stable word for headers and metrics, `text` a line for a person."""
        super().__init__(text)
        self.status = status
        self.reason = reason


class BadResponseError(HttpError):
    """The upstream's answer cannot be understood, or must not be."""


class FetchError(Exception):
    """`Engine.fetch` got no usable answer; the text says why."""


class FailureKind(Enum):
    """How an attempt to reach an upstream ended without a response."""

    CONNECT_REFUSED = "connect-refused"
    """No connection: refused, unreachable, or no such address. Nothing was sent."""
    CONNECT_TIMEOUT = "connect-timeout"
    """No connection in time. Nothing was sent."""
    TLS = "tls"
    """No connection: TLS failed, or the other end is not who it should be. Nothing was sent."""
    RESET = "reset"
    """The connection ended after the request, or a part of it, was sent."""
    BAD_RESPONSE = "bad-response"
    """The answer was not HTTP, or broke its rules."""
    UNSENT = "unsent"
    """The next hop answered that it could not pass the request to its own upstream (`Upwell-Error: …; unsent`)."""


class UpstreamFailure(NamedTuple):
    """One attempt failed before anything reached the client."""

    kind: FailureKind
    message: str
    """For logs and for a 502's body, for example `dial tcp 127.0.0.1:8080: connection refused`."""
    retryable: bool
    """Whether the failure table allows the application to `forward` the exchange again."""
    sent: bool
    """Whether any byte of the request may have reached an upstream's application."""


class Outcome(Enum):
    """How an exchange ended."""

    COMPLETED = "completed"
    """The whole response was handed to the client's connection."""
    CLIENT_GONE = "client-gone"
    """The client closed or reset its connection first."""
    UPSTREAM_ABORTED = "upstream-aborted"
    """The upstream broke off after the response had begun; the client's connection was cut."""
    TIMED_OUT = "timed-out"
    """One of the exchange's deadlines passed: 504, or a cut when the response had begun."""
    BAD_REQUEST = "bad-request"
    """The request's body turned out to be malformed after the exchange had begun."""
    ABORTED = "aborted"
    """The engine gave up: drain ran out of time, or the application failed."""
