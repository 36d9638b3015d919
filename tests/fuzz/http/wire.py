"""One request or one response through the engine, byte by byte if need be, and what h11 makes of bytes."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import h11

from tests.unit.http.world import Peer, World
from upwell.http import Exchange, UpstreamFailure
from upwell.http.upstream import UpstreamConnection

__all__ = ["Message", "Wire", "read_requests", "read_response"]

_EVENT_SIZE_MAX = 1 << 20
FAILED = (b"X-Failed", b"1")
"""Marks the answers that the application gives in place of a bad upstream."""


@dataclass(slots=True)
class Message:
    """What h11 read."""

    start: bytes
    """Method and target, or the status."""
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    complete: bool = False

    def has(self, name: bytes) -> bool:
        return any(key == name for key, _ in self.headers)


def read_requests(data: bytes) -> tuple[list[Message], bool]:
    """The requests that h11 finds in `data`, and whether it took offence after them."""
    found: list[Message] = []
    while data:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_EVENT_SIZE_MAX)
        connection.receive_data(data)
        try:
            if not _read_on(connection, found):
                break
        except h11.RemoteProtocolError:
            return found, True
        data = connection.trailing_data[0]
    return found, False


def _read_on(connection: h11.Connection, found: list[Message]) -> bool:
    """Add what `connection` reads; whether what it leaves is to be read as well.

    h11 closes after every HTTP/1.0 request; the client may have asked for more (`Connection: keep-alive`).
    """
    persistent = False
    for event in _events(connection):
        if isinstance(event, h11.Request):
            options = b",".join(value for name, value in event.headers if name == b"connection").lower()
            persistent = event.http_version == b"1.0" and b"keep-alive" in options and b"close" not in options
            found.append(Message(event.method + b" " + event.target, list(event.headers)))
        elif isinstance(event, h11.Data):
            found[-1].body += event.data
        elif isinstance(event, h11.EndOfMessage):
            found[-1].trailers = list(event.headers)
            found[-1].complete = True
            if connection.their_state in (h11.MUST_CLOSE, h11.CLOSED):
                return persistent
            connection.send(h11.Response(status_code=204, headers=[]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return False
            connection.start_next_cycle()
    return False


def read_response(data: bytes, method: bytes, *, ended: bool = True) -> Message | None:
    """The final response that h11 finds in `data`, which is all that came; None if there is none."""
    found: Message | None = None
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_EVENT_SIZE_MAX)
    connection.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"a")]))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(data)
        if ended:
            connection.receive_data(b"")
        for event in _events(connection):
            if isinstance(event, h11.Response):
                found = Message(b"%d" % event.status_code, list(event.headers))
            elif isinstance(event, h11.Data) and found is not None:
                found.body += event.data
            elif isinstance(event, h11.EndOfMessage) and found is not None:
                found.trailers = list(event.headers)
                found.complete = True
                break
    except h11.RemoteProtocolError:
        pass
    return found


def _events(connection: h11.Connection) -> Iterator[object]:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            return
        yield event


class Wire:
    """An engine whose loop stands still: everything happens synchronously, on connections that are open already."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.world = self.loop.run_until_complete(self._make())
        self.world.app.on_failure = self._answer

    @staticmethod
    async def _make() -> World:
        return World()

    @staticmethod
    def _answer(exchange: Exchange, failure: UpstreamFailure) -> None:
        exchange.respond(502, (FAILED,))

    def forward(self, pieces: Sequence[bytes]) -> tuple[bytes, bytes]:
        """A client sends these pieces; what went upstream, and what the client got. Requests are answered by 204."""
        upstream, client = self._open()
        for piece in pieces:
            if not client.gone:
                client.had_sent(piece)
            while upstream.protocol.state == 1 and upstream.protocol._request_sent:
                upstream.had_sent(b"HTTP/1.1 204 No Content\r\n\r\n")
        self._close(upstream, client)
        return upstream.got, client.got

    def answer(self, method: bytes, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
        """An upstream answers with these pieces and ends; what the client got, and whether its connection was cut."""
        upstream, client = self._open()
        client.had_sent(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
        for piece in pieces:
            if not upstream.gone:
                upstream.had_sent(piece)
        if not upstream.gone:
            upstream.ends()
        cut = client.gone
        self._close(upstream, client)
        return client.got, cut

    def close(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def _open(self) -> tuple[Peer, Peer]:
        upstream = Peer(UpstreamConnection(self.world.upstream), self.loop)
        self.world.upstream.release(upstream.protocol)
        return upstream, self.loop.run_until_complete(self._connect())

    async def _connect(self) -> Peer:
        return self.world.client()

    def _close(self, upstream: Peer, client: Peer) -> None:
        client.resets()
        upstream.resets()
        self.world.quiet()
        assert self.world.upstream.idle_count == 0
