"""A real queue-proxy process in front of a scripted app, and clients that send exact bytes."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.waiting import eventually
from upwell.api.stat import Stat, decode_stat

MAIN, TLS, ADMIN, STATS, USER_METRICS, PROFILES = 8012, 8112, 8022, 9090, 9091, 8008
ENVIRONMENT = {
    "CONTAINER_CONCURRENCY": "0",
    "QUEUE_SERVING_PORT": str(MAIN),
    "QUEUE_SERVING_TLS_PORT": "8112",
    "USER_PORT": "8080",
    "REVISION_TIMEOUT_SECONDS": "30",
    "SERVING_LOGGING_CONFIG": "",
    "SERVING_LOGGING_LEVEL": "info",
    "SERVING_NAMESPACE": "default",
    "SERVING_CONFIGURATION": "hello",
    "SERVING_REVISION": "hello-00001",
    "SERVING_POD": "hello-pod",
    "SERVING_POD_IP": "10.1.2.3",
    "UPWELL_BIND_HOST": "127.0.0.1",
    "UPWELL_DRAIN_QUIET_SECONDS": "0.3",
}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEALTH = {"User-Agent": "kube-probe/1.30", "K-Network-Probe": "queue"}


@dataclass
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A connection on which bytes are sent as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def get(self, path: str = "/", **headers: str) -> None:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.send(f"GET {path} HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n".encode("latin-1"))

    async def answer(self, seconds: float = 10) -> Answer:
        """The next response; its body must have a Content-Length. Raises EOFError when there is none."""
        async with asyncio.timeout(seconds):
            head = await self.reader.readuntil(b"\r\n\r\n")
            start, *lines = head.decode("latin-1").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
            body = await self.reader.readexactly(int(fields.get("content-length", "0")))
        return Answer(int(start.split(" ")[1]), fields, body)

    async def rest(self, seconds: float = 10) -> bytes:
        """Everything up to the end of the connection, however it ends."""
        data = b""
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionResetError):
                while piece := await self.reader.read(65536):
                    data += piece
        return data

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        self.writer.transport.abort()


@dataclass
class App:
    """A server on 127.0.0.1 that answers each request with what `reply` does; a connection takes one after another."""

    reply: Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    running: int = 0
    peak: int = 0
    _server: asyncio.Server | None = None
    _connections: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Stop listening and cut every connection, as a killed process does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._connections:
            writer.transport.abort()

    @property
    def targets(self) -> list[str]:
        return [head.split(b" ")[1].decode("latin-1") for head in self.heads]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with contextlib.suppress(ConnectionError, EOFError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                self.running += 1
                self.peak = max(self.peak, self.running)
                try:
                    await self.reply(head, reader, writer)
                    await writer.drain()
                finally:
                    self.running -= 1
        self._connections.discard(writer)
        writer.close()


async def say_ok(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


class Gate:
    """An app's reply that waits until it is opened."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()

    def open(self) -> None:
        self._opened.set()

    async def __call__(self, _: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._opened.wait()
        writer.write(OK)


@dataclass
class Sidecar:
    """The process; `lines` is what it has said on stdout and stderr."""

    process: asyncio.subprocess.Process
    ports: dict[int, int]
    lines: list[str]
    reading: "asyncio.Future[Any]"

    async def connect(self, port: int = MAIN) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.ports[port]))

    async def get(self, path: str = "/", headers: dict[str, str] | None = None, port: int = MAIN) -> Answer:
        client = await self.connect(port)
        try:
            client.get(path, **(headers or {}))
            return await client.answer()
        finally:
            client.close()

    async def stat(self) -> Stat:
        return decode_stat((await self.get("/metrics", port=STATS)).body)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exit_status(self, seconds: float = 20) -> int:
        async with asyncio.timeout(seconds):
            status = await self.process.wait()
            await self.reading
        return status

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]


@contextlib.asynccontextmanager
async def sidecar(app_port: int, **settings: str | None) -> AsyncIterator[Sidecar]:
    """A queue-proxy for the app on that port, killed at the end. Its sockets are bound here, so ports never clash."""
    contracts = (MAIN, TLS, ADMIN, STATS, USER_METRICS, PROFILES)
    listeners = {port: socket.create_server(("127.0.0.1", 0)) for port in contracts}
    ports = {port: listener.getsockname()[1] for port, listener in listeners.items()}
    descriptors = ",".join(f"{port}={listener.fileno()}" for port, listener in listeners.items())
    changed = {**ENVIRONMENT, "UPWELL_LISTEN_FDS": descriptors, "UPWELL_PORT_MAP": f"8080={app_port}", **settings}
    process = await start(changed, pass_fds=[listener.fileno() for listener in listeners.values()])
    for listener in listeners.values():
        listener.close()
    lines: list[str] = []
    reading = asyncio.ensure_future(_read(process, lines))
    try:
        await eventually(
            lambda: any('"serving"' in line for line in lines) or process.returncode is not None, seconds=20
        )
        assert process.returncode is None, lines
        yield Sidecar(process, ports, lines, reading)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def start(
    settings: dict[str, str | None], *arguments: str, pass_fds: list[int] | None = None
) -> asyncio.subprocess.Process:
    """Start `python -m queueproxy` with these settings and nothing else; None leaves one out."""
    env = {name: value for name, value in settings.items() if value is not None}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "queueproxy",
        *arguments,
        env={**env, "PATH": os.environ["PATH"]},
        pass_fds=pass_fds or (),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


@contextlib.asynccontextmanager
async def app(reply: Callable[..., Awaitable[None]] = say_ok, port: int = 0) -> AsyncIterator[App]:
    """A running app."""
    running = App(reply, port)
    await running.start()
    try:
        yield running
    finally:
        running.stop()


async def _read(process: asyncio.subprocess.Process, lines: list[str]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        lines.append(line.decode("utf-8", "replace").rstrip("\n"))  # noqa: PERF401 - others look while it grows
