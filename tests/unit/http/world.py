"""An engine between clients and upstreams that are played by hand.

`World` holds an engine whose clock stands still and whose connections are `Peer`s: the test says what a client or an
upstream sends, and looks at what it got. Opening a connection upstream succeeds unless the test says otherwise.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from upwell.clock import FakeClock
from upwell.http import Engine, Exchange, Limits, Outcome, Upstream, UpstreamFailure
from upwell.http.downstream import DownstreamConnection

__all__ = ["GET", "OK", "Peer", "Recorder", "World", "request", "settle"]

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def request(line: str = "GET / HTTP/1.1", *fields: str, body: bytes = b"") -> bytes:
    """A request to app.test with these fields."""
    return "\r\n".join((line, "Host: app.test", *fields, "", "")).encode() + body


async def settle() -> None:
    """Let everything that is ready to run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


_quiet, _never_written = os.pipe()
os.set_blocking(_quiet, False)


class Socket:
    """What the kernel would tell, as far as anybody asks."""

    def __init__(self) -> None:
        self.options: list[tuple[Any, ...]] = []

    def fileno(self) -> int:
        """Something that has neither bytes nor an end."""
        return _quiet

    def getsockopt(self, *option: int) -> bytes:
        """As TCP_INFO: established, and the peer owes acknowledgements."""
        return bytes([1] * 28)

    def setsockopt(self, *option: Any) -> None:
        self.options.append(option)


class Peer:
    """The far end of one connection, and the transport that our protocol has in its hands."""

    def __init__(self, protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.protocol = protocol
        self.got = b""
        """Everything that was written to this peer."""
        self.writes = 0
        self.paused = False
        """Whether our side does not read from this peer."""
        self.ended = False
        """Whether our side has said that it writes no more."""
        self.closed = False
        self.aborted = False
        self.unsent = 0
        """Bytes that are still in the write buffer."""
        self.socket = Socket()
        self._loop = loop
        self._lost = False
        protocol.connection_made(self)

    # What the test does.

    def sends(self, data: bytes) -> None:
        assert not self.paused, "nobody reads"
        self.protocol.data_received(data)

    def had_sent(self, data: bytes) -> None:
        """Send what our side had read before it stopped reading."""
        self.protocol.data_received(data)

    def sends_bytewise(self, data: bytes) -> None:
        for index in range(len(data)):
            self.sends(data[index : index + 1])

    def ends(self) -> None:
        """Close the sending direction; when nobody wants to go on, the connection is gone."""
        if not self.protocol.eof_received():
            self._lose(None)

    def resets(self) -> None:
        self._lose(ConnectionResetError(104, "Connection reset by peer"))

    def is_full(self) -> None:
        """This peer reads too slowly."""
        self.unsent = 100_000
        self.protocol.pause_writing()

    def has_room(self) -> None:
        self.unsent = 0
        self.protocol.resume_writing()

    def take(self) -> bytes:
        """What was written since the last look."""
        data, self.got = self.got, b""
        return data

    @property
    def gone(self) -> bool:
        """Whether our side has closed the connection, gently or not."""
        return self.closed or self.aborted

    # What our protocol does.

    def write(self, data: bytes) -> None:
        assert not self.ended, "written after the end"
        assert not self.gone, "written after closing"
        assert data, "an empty write"
        self.got += data
        self.writes += 1

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.write(b"".join(pieces))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True
        if not self.unsent:
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self.aborted = True
        self._loop.call_soon(self._lose, None)

    def is_closing(self) -> bool:
        return self.gone

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert 0 < low < high

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("192.0.2.7", 40000), "socket": self.socket}.get(name)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = self.closed = True
            self.protocol.connection_lost(error)


class Recorder:
    """An application that forwards everything to one upstream, and remembers what it is told."""

    def __init__(self) -> None:
        self.upstream: Upstream | None = None
        self.exchanges: list[Exchange] = []
        self.ended: list[Exchange] = []
        self.failures: list[UpstreamFailure] = []
        self.on_request: Callable[[Exchange], None] = self.forward
        self.on_failure: Callable[[Exchange, UpstreamFailure], None] = self.answer_failure
        self.on_end: Callable[[Exchange], None] = lambda exchange: None

    def forward(self, exchange: Exchange) -> None:
        assert self.upstream is not None
        exchange.forward(self.upstream)

    def park(self, exchange: Exchange) -> None:
        """Decide later."""

    def answer_failure(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        exchange.respond(502, (), failure.message.encode())

    def retry(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        if failure.retryable and exchange.attempts < 3:
            self.forward(exchange)
        else:
            self.answer_failure(exchange, failure)

    def request_received(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self.on_request(exchange)

    def upstream_failed(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        self.failures.append(failure)
        self.on_failure(exchange, failure)

    def exchange_ended(self, exchange: Exchange) -> None:
        assert exchange not in self.ended, "told twice"
        self.ended.append(exchange)
        self.on_end(exchange)

    @property
    def outcomes(self) -> list[Outcome | None]:
        return [exchange.outcome for exchange in self.ended]


class FakeLoop:
    """The running loop, but connections lead to peers."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int) -> Any:
        self._world.dials.append((host, port))
        await self._world.connects(len(self._world.dials))
        protocol = factory()
        peer = Peer(protocol, self._loop)
        self._world.upstreams.append(peer)
        return peer, protocol


class World:
    """One engine, its application, and everybody around it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = FakeClock()
        self.app = Recorder()
        self.engine = Engine(limits=limits, clock=self.clock, component=b"tester")
        self.dials: list[tuple[str, int]] = []
        self.upstreams: list[Peer] = []
        self.clients: list[Peer] = []
        self.connects: Callable[[int], Any] = self._connects_at_once
        self.engine.loop = FakeLoop(self)  # type: ignore[assignment]
        self.upstream = self.app.upstream = self.engine.upstream("10.0.0.1", 8080)

    @staticmethod
    async def _connects_at_once(attempt: int) -> None:
        """Nothing to wait for."""

    def client(self) -> Peer:
        """A client has connected."""
        peer = Peer(DownstreamConnection(self.engine, self.app), asyncio.get_running_loop())
        self.clients.append(peer)
        return peer

    async def exchange(self, client: Peer, data: bytes = GET) -> Peer:
        """`client` sends a request; the upstream connection that got it."""
        before = {id(peer): peer.writes for peer in self.upstreams}
        client.sends(data)
        await settle()
        (used,) = [peer for peer in self.upstreams if peer.writes > before.get(id(peer), 0)]
        return used

    async def warm(self, connections: int = 1) -> list[Peer]:
        """Have this many idle connections upstream, the one used last at the end."""
        clients = [self.client() for _ in range(connections)]
        used = [await self.exchange(client) for client in clients]
        for peer in used:
            peer.sends(OK)
        for client in clients:
            client.ends()
        await settle()
        for peer in used:
            peer.take()
        self.app.exchanges.clear()
        self.app.ended.clear()
        return used

    async def passes(self, seconds: float) -> None:
        """Time passes, and what is due happens."""
        await self.clock.advance(seconds)
        self.engine.deadlines.sweep()
        await settle()

    def quiet(self) -> None:
        """Nothing is left under way: no exchange, no attempt, no deadline of an exchange."""
        assert self.engine.in_flight == 0
        assert self.upstream.in_flight == 0
        assert len(self.app.ended) == len(self.app.exchanges)
