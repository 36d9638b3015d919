"""Peers over HTTP/2 for a real sidecar: an app that is scripted byte for byte, and clients by the `h2` library."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from tests.integration.sidecar import MAIN, USER_METRICS, Sidecar, sidecar
from tests.waiting import eventually
from upwell.http.transports import reset_on_close

__all__ = ["Http2App", "Http2Client", "Result", "Served", "http2_served", "texts"]

_METRICS = '{"requestMetrics": {"protocol": "prometheus"}}'
_IDLE = (
    "upwell_queueproxy_in_flight_requests 0.0",
    "upwell_queueproxy_waiting_requests 0.0",
)


def texts(fields: Iterable[Any]) -> dict[str, str]:
    """Header fields as a connection with `header_encoding` gives them, whatever the library's types say."""
    return {str(name): str(value) for name, value in fields}


@dataclass
class Result:
    """What became of one stream, as its client sees it."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    """Whether the answer is complete."""
    reset: int | None = None
    """The code of the reset that broke it off."""
    lost: bool = False
    """Whether the connection ended before the stream did."""

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None or self.lost


class Http2Client:
    """One connection of a client, that reads as long as it is open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.writer = writer
        self.results: dict[int, Result] = {}
        self.goaway: int | None = None
        self.closed = False
        self._reader = reader
        self._changed = asyncio.Condition()
        self.h2.initiate_connection()
        self.flush()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def connect(cls, port: int, tls: SSLContext | None = None) -> "Http2Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    def start(
        self, path: str = "/", method: str = "GET", fields: tuple[tuple[str, str], ...] = (), ended: bool = True
    ) -> int:
        """Open a stream; its number."""
        number = self.h2.get_next_available_stream_id()
        self.results[number] = Result()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", "app.test"), (":path", path)]
        self.h2.send_headers(number, [*pseudo, *fields], end_stream=ended)
        self.flush()
        return number

    async def result(self, number: int, seconds: float = 10) -> Result:
        """What became of this stream, once it is over."""
        return await self.when(number, lambda result: result.over, seconds)

    async def when(self, number: int, look: Callable[[Result], bool], seconds: float = 10) -> Result:
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: look(self.results[number]))
        return self.results[number]

    async def get(self, path: str = "/", method: str = "GET") -> Result:
        return await self.result(self.start(path, method))

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self.writer.close()

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            async for frame in self._frames():
                for event in self.h2.receive_data(frame):
                    self._see(event)
                self.flush()
                async with self._changed:
                    self._changed.notify_all()
        self.closed = True
        for result in self.results.values():
            result.lost = not result.over
        async with self._changed:
            self._changed.notify_all()

    async def _frames(self) -> AsyncIterator[bytes]:
        """Frame by frame, for the library takes GOAWAY for the end and has to be told that it is not."""
        with contextlib.suppress(EOFError):
            while True:
                head = await self._reader.readexactly(9)
                yield head + await self._reader.readexactly(int.from_bytes(head[:3], "big"))

    def _see(self, event: Any) -> None:
        result = self.results.get(getattr(event, "stream_id", None) or 0, Result())
        if isinstance(event, h2.events.ResponseReceived):
            result.fields = texts(event.headers)
            result.status = int(result.fields[":status"])
        elif isinstance(event, h2.events.DataReceived):
            result.body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            result.trailers = texts(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            result.ended = True
        elif isinstance(event, h2.events.StreamReset):
            result.reset = int(event.error_code or 0)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
            self.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN


Script = Callable[["AppConnection", int, str], None]


class AppConnection:
    """The app's end of one connection from the sidecar."""

    def __init__(self, app: "Http2App", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.app = app
        self.writer = writer
        self.events: list[Any] = []
        self._reader = reader

    def answer(self, number: int, body: bytes = b"ok") -> None:
        self.h2.send_headers(number, [(":status", "200"), ("content-length", str(len(body)))])
        self.h2.send_data(number, body, end_stream=True)

    def resets(self) -> dict[int, int]:
        """Streams that the sidecar has reset, and the codes."""
        found = [event for event in self.events if isinstance(event, h2.events.StreamReset)]
        return {event.stream_id: int(event.error_code) for event in found}

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        """End with a reset."""
        if not self.writer.is_closing():
            reset_on_close(cast("asyncio.Transport", self.writer.transport))
            self.writer.transport.abort()

    async def gone(self) -> None:
        """The kernel has told the sidecar of the end."""
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def serve(self) -> None:
        self.h2.initiate_connection()
        self.writer.write(self.h2.data_to_send())
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(65536):
                for event in self.h2.receive_data(data):
                    self.events.append(event)
                    if isinstance(event, h2.events.DataReceived):
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.RequestReceived):
                        self.app.received(self, event.stream_id, texts(event.headers)[":path"])
                if not self.writer.is_closing():
                    self.writer.write(self.h2.data_to_send())
        self.writer.close()


class Http2App:
    """An app that says ok, except to `/fault...`, which is for the script; `requests` are the paths it has got."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[str] = []
        self.connections: list[AppConnection] = []
        """Those that have brought a request."""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def received(self, connection: AppConnection, number: int, path: str) -> None:
        if connection not in self.connections:
            self.connections.append(connection)
        self.requests.append(path)
        if path.startswith("/fault"):
            self.script(connection, number, path)
        else:
            connection.answer(number)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection, as a killed process does."""
        assert self._server is not None
        self._server.close()
        for connection in self.connections:
            connection.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = AppConnection(self, reader, writer)
        try:
            await connection.serve()
        except asyncio.CancelledError:
            pass
        except h2.exceptions.ProtocolError:
            # A stranger: another test's client may look for the server that had this port before.
            assert connection not in self.connections
        finally:
            self._tasks.discard(task)
            writer.close()


@dataclass
class Served:
    """A sidecar, the app behind it, and a client whose connection lasts."""

    app: Http2App
    proxy: Sidecar
    client: Http2Client

    async def connect(self) -> Http2Client:
        return await Http2Client.connect(self.proxy.ports[MAIN])


@contextlib.asynccontextmanager
async def http2_served(script: Script, **settings: str) -> AsyncIterator[Served]:
    """At the end nothing is in flight, nobody waits, the slot is free, and nothing unforeseen was logged."""
    running = Http2App(script)
    await running.start()
    settings = {"CONTAINER_CONCURRENCY": "1", "OBSERVABILITY_CONFIG": _METRICS, **settings}
    try:
        async with sidecar(running.port, **settings) as proxy:
            client = await Http2Client.connect(proxy.ports[MAIN])
            try:
                yield Served(running, proxy, client)
            finally:
                await client.close()
            if proxy.process.returncode is None:
                await eventually(lambda: _nothing_is_left(proxy))
            assert not [line for line in proxy.lines if "raceback" in line or "failed in" in line]
    finally:
        await running.stop()


async def _nothing_is_left(proxy: Sidecar) -> bool:
    text = (await proxy.get("/metrics", port=USER_METRICS)).body.decode()
    depth = [line for line in text.splitlines() if line.startswith("kn_serving_queue_depth{")]
    return all(f"{line}\n" in text for line in _IDLE) and [line.endswith(" 0.0") for line in depth] == [True]
