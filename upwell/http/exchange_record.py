"""What there is to know about one exchange: the engine writes it, the application reads it, and may set what it may."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from upwell.http.errors import Outcome
from upwell.http.message import Fields, RequestHead, ResponseHead
from upwell.http.states import ExchangeState

if TYPE_CHECKING:
    from upwell.http.exchange import Exchange
    from upwell.http.pool import Upstream

__all__ = ["ExchangeRecord"]


class ExchangeRecord:
    """The attributes of an `Exchange`. Sizes are in bytes, times in seconds."""

    __slots__ = (
        "add",
        "attempts",
        "awaits_continue",
        "context",
        "host",
        "on_head",
        "on_kept",
        "outcome",
        "over_http2",
        "remove",
        "request",
        "request_bytes",
        "request_complete",
        "response_bytes",
        "retry_unsent",
        "started",
        "state",
        "status",
        "trailers",
        "upstream",
    )

    request: RequestHead
    started: float
    """When the head was complete, by the engine's monotonic clock."""
    state: ExchangeState
    status: int
    """The response's status, 0 until there is one; informational ones do not count."""
    outcome: Outcome | None
    """How it ended."""
    request_bytes: int
    """Body bytes received from the client."""
    response_bytes: int
    """Body bytes handed to the client's side."""
    request_complete: bool
    """Whether the client has sent everything."""
    trailers: Fields
    """The request's, once it is complete."""
    awaits_continue: bool
    """Whether the client holds its body back until it is told to go on."""
    upstream: "Upstream | None"
    """Where it was forwarded to, last."""
    over_http2: bool
    """Whether it goes upstream over HTTP/2."""
    attempts: int
    """How often it was forwarded."""
    host: bytes | None
    """With `remove` and `add`: what `forward` was told to change in the head."""
    remove: frozenset[bytes]
    add: Sequence[tuple[bytes, bytes]]

    # Set by the application.

    context: Any
    """Its own."""
    retry_unsent: bool
    """Take an answer marked `Upwell-Error: …; unsent` for a retryable failure."""
    on_head: "Callable[[Exchange, ResponseHead], None] | None"
    """Called with the upstream's response head before it goes to the client."""
    on_kept: "Callable[[Exchange, int], None] | None"
    """Called with the size of each further piece of the request's body that comes in while no upstream takes it; it
    may `hold_body`."""
