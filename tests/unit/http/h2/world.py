"""The engine's test world with peers that speak HTTP/2 by the `h2` library, so that two implementations must agree."""

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.unit.http.world import Peer, World, settle
from upwell.http import Limits
from upwell.http.h2.downstream import Http2Downstream

__all__ = ["GET", "POST", "Client", "Http2World", "Server", "split"]

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "app.test"), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]


def split(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Type, flags, stream and payload of each of these frames, which must be complete."""
    frames = []
    while data:
        size, kind, flags, number = int.from_bytes(data[:3], "big"), data[3], data[4], int.from_bytes(data[5:9], "big")
        assert len(data) >= 9 + size
        frames.append((kind, flags, number, data[9 : 9 + size]))
        data = data[9 + size :]
    return frames


class _End:
    """One end of a connection: the library, and what it has seen."""

    def __init__(self, peer: Peer, *, client: bool) -> None:
        config = h2.config.H2Configuration(
            client_side=client, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.peer = peer
        self.h2 = h2.connection.H2Connection(config)
        self.events: list[Any] = []
        self.automatic = True
        """Whether window is given back for all that arrives."""

    def flush(self) -> None:
        """Send what the library has to send."""
        data = self.h2.data_to_send()
        if data:
            self.peer.sends(data)

    async def look(self) -> list[Any]:
        """Give and take until nothing moves any more; what has been seen so far."""
        for _ in range(200):
            self.flush()
            await settle()
            data = self.peer.take()
            if not data:
                return self.events
            for event in self.h2.receive_data(data):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived) and self.automatic:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        raise AssertionError("it never ends")

    def seen(self, kind: type[Any], stream: int | None = None) -> list[Any]:
        return [
            event
            for event in self.events
            if isinstance(event, kind) and (stream is None or getattr(event, "stream_id", None) == stream)
        ]

    def body(self, stream: int) -> bytes:
        return b"".join(event.data for event in self.seen(h2.events.DataReceived, stream))

    def ended(self, stream: int) -> bool:
        return bool(self.seen(h2.events.StreamEnded, stream))

    def reset_code(self, stream: int) -> int | None:
        found = self.seen(h2.events.StreamReset, stream)
        return int(found[0].error_code) if found else None

    def goaway_code(self) -> int | None:
        found = self.seen(h2.events.ConnectionTerminated)
        return int(found[-1].error_code) if found else None


class Client(_End):
    """A client of ours."""

    def status(self, stream: int) -> int | None:
        found = self.seen(h2.events.ResponseReceived, stream)
        return int(dict(found[0].headers)[b":status"]) if found else None


class Server(_End):
    """An upstream of ours."""

    def request(self, stream: int) -> dict[bytes, bytes]:
        (found,) = self.seen(h2.events.RequestReceived, stream)
        return dict(found.headers)

    @property
    def requests(self) -> list[int]:
        return [event.stream_id for event in self.seen(h2.events.RequestReceived)]

    async def answer(self, stream: int, body: bytes = b"ok") -> None:
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "text/plain")])
        self.h2.send_data(stream, body, end_stream=True)
        await self.look()


class Http2World(World):
    """An engine among clients and upstreams that speak HTTP/2."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.servers: list[Server] = []

    async def h2_client(self, settings: dict[int, int] | None = None) -> Client:
        client = Client(
            Peer(Http2Downstream(self.engine, self.app), asyncio.get_running_loop()),
            client=True,
        )
        client.h2.initiate_connection()
        if settings:
            client.h2.update_settings(settings)
        await client.look()
        return client

    async def server(self, number: int = 0) -> Server:
        """The upstream's end of the connection that was opened as the `number`th, caught up with all that was sent."""
        while len(self.servers) < len(self.upstreams):
            server = Server(self.upstreams[len(self.servers)], client=False)
            server.h2.initiate_connection()
            self.servers.append(server)
        server = self.servers[number]
        await server.look()
        return server
