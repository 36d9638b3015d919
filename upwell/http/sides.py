"""Who meets in an exchange: the application that decides, and the two sides between which it passes bytes.

An exchange knows its neighbours by these interfaces only. `DownstreamSide` is an HTTP/1.1 client's connection, or our
own `fetch`, or one stream of a multiplexed connection; `UpstreamSide` is the connection, or the stream, that one
attempt was given. Calls are synchronous, and nobody calls back into its caller for the same event.
"""

from typing import TYPE_CHECKING, Protocol

from upwell.http.errors import UpstreamFailure
from upwell.http.message import Fields, ResponseHead

if TYPE_CHECKING:
    from upwell.http.exchange import Exchange
    from upwell.http.tunnel import Tunnel

__all__ = ["Application", "DownstreamSide", "UpstreamSide"]


class Application(Protocol):
    """What queueproxy, activator and gateway put in: where to, when, or what answer."""

    def request_received(self, exchange: "Exchange") -> None:
        """A request's head is here: forward it, answer it, or keep it and decide later."""
        ...

    def exchange_ended(self, exchange: "Exchange") -> None:
        """The exchange is over, whatever happened; called exactly once for each."""
        ...

    def upstream_failed(self, exchange: "Exchange", failure: UpstreamFailure) -> None:
        """An attempt failed and nothing was answered yet: `forward` again if `failure.retryable`, or `respond`."""
        ...


class DownstreamSide(Protocol):
    """Whoever asked."""

    @property
    def write_paused(self) -> bool:
        """Whether it cannot take more for now; `Exchange.downstream_writable` tells of changes."""
        ...

    def start_response(self, exchange: "Exchange", head: ResponseHead, body: bytes, ended: bool) -> None:
        """The final response's head, and the first of its body, or all of it when `ended`."""
        ...

    def send_informational(self, head: ResponseHead) -> None:
        """An answer that is not the last: 100, 102, 103."""
        ...

    def send_continue(self) -> None:
        """Say 100 in the upstream's place."""
        ...

    def send_body(self, data: bytes) -> None:
        """More of the response's body."""
        ...

    def end_body(self, trailers: Fields) -> None:
        """The response is complete."""
        ...

    def start_tunnel(self, head: ResponseHead, tunnel: "Tunnel") -> None:
        """The upstream has switched protocols; from here on the tunnel gets what is read."""
        ...

    def send_raw(self, data: bytes) -> None:
        """Bytes of the tunnel."""
        ...

    def send_eof(self) -> None:
        """The tunnel's other side has ended."""
        ...

    def hold_body(self, hold: bool) -> None:
        """Whether the request's body has to wait because the request does."""
        ...

    def hold(self, hold: bool) -> None:
        """Whether the request's body has to wait because the upstream is full."""
        ...

    def cut(self, code: int | None = None) -> None:
        """End so that what was sent cannot pass for a complete response.

        `code` is why, where the upstream has said it: an error code of HTTP/2.
        """
        ...

    def finished(self) -> None:
        """The exchange is over; everything that the client is to get has been handed over."""
        ...


class UpstreamSide(Protocol):
    """Whoever answers, as one attempt sees it."""

    @property
    def write_paused(self) -> bool:
        """Whether it cannot take more for now; `Exchange.upstream_writable` tells of changes."""
        ...

    def start_request(self, exchange: "Exchange", body: bytes, ended: bool) -> None:
        """Send the request's head, and what there is of its body."""
        ...

    def send_body(self, data: bytes) -> None:
        """More of the request's body."""
        ...

    def end_body(self, trailers: Fields) -> None:
        """The request is complete."""
        ...

    def send_raw(self, data: bytes) -> None:
        """Bytes of the tunnel."""
        ...

    def send_eof(self) -> None:
        """The tunnel's other side has ended."""
        ...

    def hold(self, hold: bool) -> None:
        """Whether it has to wait because the downstream side is full."""
        ...

    def abort(self) -> None:
        """Give the attempt up at once; the exchange is told nothing any more."""
        ...

    def close(self) -> None:
        """End in good order when all is sent; the exchange is told nothing any more."""
        ...
