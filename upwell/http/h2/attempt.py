"""One attempt to have a request answered over HTTP/2: a stream to the app, as its exchange sees it."""

from typing import TYPE_CHECKING

from upwell.http.errors import FailureKind
from upwell.http.exchange import Exchange
from upwell.http.h2.codes import ErrorCode
from upwell.http.h2.heads import Http2Request, Http2Response, encode_request
from upwell.http.h2.stream import Stream

if TYPE_CHECKING:
    from upwell.http.h2.upstream import Http2Upstream  # noqa: F401 - it is in the name of a type below

__all__ = ["UpstreamStream"]


class UpstreamStream(Stream["Http2Upstream"]):
    """One attempt to have a request answered: the upstream side of its exchange."""

    __slots__ = ("answered", "head", "method")

    answered: bool
    """Whether the final response's head has come …"""
    head: Http2Response | None
    """… and it, until it has been passed on: its body may be in the same read."""
    method: bytes

    def start_request(self, exchange: Exchange, body: bytes, ended: bool) -> None:
        request, authority = exchange.request, self.connection.pool.authority
        self.exchange = exchange
        self.answered = False
        self.head = None
        self.method = request.method
        if type(request) is Http2Request:
            block = request.block(exchange.host, authority, exchange.remove, exchange.add)
        else:
            block = encode_request(request, exchange.host, authority, exchange.remove, exchange.add)
        trailers = exchange.trailers
        if ended and not trailers:
            self.send_message(block, body)
            return
        self.connection.send_block(self.number, block, False)
        if body:
            self.send_body(body)
        if ended:
            self.end_body(trailers)

    def abort(self) -> None:
        self.exchange = None
        self.connection.reset(self, ErrorCode.CANCEL)

    def close(self) -> None:
        self.abort()

    def writable(self, writable: bool) -> None:
        if self.exchange is not None:
            self.exchange.upstream_writable(writable)

    def stalled(self) -> None:
        exchange = self.exchange
        self.connection.reset(self, ErrorCode.CANCEL)
        if exchange is not None:
            exchange.attempt_failed(FailureKind.RESET, "the upstream takes no more of the request", sent=True)

    def send_raw(self, data: bytes) -> None:
        """Never called: there is no tunnel."""

    def send_eof(self) -> None:
        """Never called: there is no tunnel."""
