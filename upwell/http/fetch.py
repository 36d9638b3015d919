"""A small client of our own, for probes and scrapes: one request, one bounded answer, over the engine's pools.

It stands where a client's connection stands otherwise, as the downstream side of an exchange; so pools, deadlines and
failures are the same ones, and a probe takes the way that a request takes.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from upwell.http.errors import FetchError, Outcome, UpstreamFailure
from upwell.http.exchange import Exchange
from upwell.http.message import HTTP_1_1, Fields, RequestHead, ResponseHead
from upwell.http.tunnel import Tunnel

if TYPE_CHECKING:
    from upwell.http.engine import Engine
    from upwell.http.pool import Upstream

__all__ = ["FetchResult", "FetchSide", "Fetcher"]


class FetchResult(NamedTuple):
    """An answer."""

    status: int
    headers: Fields
    body: bytes

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field with this lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class Fetcher(Protocol):
    """Whoever fetches: the engine, or a test's double."""

    async def fetch(
        self,
        method: bytes,
        host: str,
        port: int,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        timeout: float,
        max_body: int,
    ) -> FetchResult:
        """Send one request and return its whole answer; raise FetchError."""
        ...


class FetchSide:
    """Asks, and collects the answer: downstream side and application of one exchange."""

    def __init__(self, engine: "Engine", max_body: int) -> None:
        self._engine = engine
        self._max_body = max_body
        self._done: asyncio.Future[FetchResult] = engine.loop.create_future()
        self._head: ResponseHead | None = None
        self._body = bytearray()
        self._exchange: Exchange | None = None

    async def run(
        self,
        method: bytes,
        upstream: "Upstream",
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        timeout: float,
    ) -> FetchResult:
        """Send the request and wait for the answer; raise FetchError."""
        request = RequestHead()
        request.method = method
        request.target = target
        request.version = HTTP_1_1
        request.peer = ""
        request.peer_port = 0
        request.length = None
        request.chunked = False
        request.upgrade = None
        request.expects_continue = False
        request.keep_alive = True
        fields = list(headers)
        if not any(name.lower() == b"host" for name, _ in fields):
            fields.insert(0, (b"Host", upstream.authority))
        request.set_fields(fields)
        request.host = request.fields[b"host"]
        exchange = Exchange(self._engine, self, self, request, self._engine.now())
        self._exchange = exchange
        self._engine.in_flight += 1
        exchange.set_timeouts(total=timeout)
        exchange.forward(upstream)
        try:
            return await self._done
        finally:
            exchange.downstream_ended(Outcome.CLIENT_GONE)

    # As the application.

    def request_received(self, exchange: Exchange) -> None:
        """Never called: the request is ours."""

    def upstream_failed(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        # A kept-alive connection may have gone stale; that says nothing about the endpoint.
        if failure.retryable and failure.sent and exchange.attempts == 1 and exchange.upstream is not None:
            exchange.forward(exchange.upstream)
            return
        self._fail(failure.message)
        exchange.downstream_ended(Outcome.CLIENT_GONE)

    def exchange_ended(self, exchange: Exchange) -> None:
        self._fail("no complete answer")

    # As the downstream side.

    write_paused = False

    def start_response(self, exchange: Exchange, head: ResponseHead, body: bytes, ended: bool) -> None:
        if head.last:
            self._fail("timed out")
            return
        self._head = head
        self._body += body
        if ended:
            self.end_body([])

    def send_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._max_body:
            self._fail(f"the answer has more than {self._max_body} bytes")
            if self._exchange is not None:
                self._exchange.downstream_ended(Outcome.CLIENT_GONE)

    def end_body(self, trailers: Fields) -> None:
        head = self._head
        if head is None or self._done.done():
            return
        if len(self._body) > self._max_body:
            self._fail(f"the answer has more than {self._max_body} bytes")
        else:
            self._done.set_result(FetchResult(head.status, head.headers, bytes(self._body)))

    def cut(self, code: int | None = None) -> None:
        self._fail("the answer broke off")

    def finished(self) -> None:
        """The application's part of us has been told already."""

    def send_informational(self, head: ResponseHead) -> None:
        """Of no interest here."""

    def send_continue(self) -> None:
        """Never called: there is no body."""

    def hold_body(self, hold: bool) -> None:
        """Never called: there is no body."""

    def hold(self, hold: bool) -> None:
        """Of no interest here: there is no body."""

    def start_tunnel(self, head: ResponseHead, tunnel: Tunnel) -> None:
        """Never called: nobody asked for one."""

    def send_raw(self, data: bytes) -> None:
        """Never called: there is no tunnel."""

    def send_eof(self) -> None:
        """Never called: there is no tunnel."""

    def _fail(self, message: str) -> None:
        if not self._done.done():
            self._done.set_exception(FetchError(message))
