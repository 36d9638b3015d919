"""Pods, clients and an autoscaler for the cold rows, all played by the bench's own process.

Every pod has a loopback address of its own, and all listen on one port: what an activator sees is hundreds of pods, and
what answers is quick enough not to be what is measured.
"""

import asyncio
import re
from collections.abc import Callable
from time import perf_counter
from typing import cast

import aiohttp
from aiohttp import web

from upwell.api.stat import decode_messages

__all__ = ["Asker", "Autoscaler", "Pods", "ask"]

_PROBE = b"k-network-probe: queue"
_WAIT = re.compile(rb"upwell-wait: (\d+)")
_READY = b"HTTP/1.1 200 OK\r\nUpwell-Sidecar: 1\r\nContent-Length: 5\r\n\r\nqueue"
_NOT_READY = b"HTTP/1.1 503 Service Unavailable\r\nUpwell-Sidecar: 1\r\nContent-Length: 0\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Pods:
    """What answers at the pods' addresses, as a sidecar of ours does: probes are held until the pod is ready, or for as
    long as they say that they will wait."""

    def __init__(self) -> None:
        self.port = 0
        self.ready: dict[str, float] = {}
        """When each became so, by host."""
        self.served: list[bytes] = []
        """The targets of all requests, in the order in which they came."""
        self._held: dict[str, set[asyncio.Transport]] = {}
        self._servers: list[asyncio.Server] = []

    async def listen(self, hosts: list[str]) -> None:
        for host in hosts:
            server = await asyncio.get_running_loop().create_server(lambda: _Pod(self), host, self.port, backlog=4096)
            self.port = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def make_ready(self, host: str) -> None:
        """From now on this pod answers."""
        self.ready[host] = perf_counter()
        for transport in self._held.pop(host, ()):
            if not transport.is_closing():
                transport.write(_READY)

    def received(self, host: str, head: bytes, transport: asyncio.Transport) -> None:
        if _PROBE not in head.lower():
            self.served.append(head.split(b" ", 2)[1])
            transport.write(_ANSWER)
        elif host in self.ready:
            transport.write(_READY)
        else:
            self._held.setdefault(host, set()).add(transport)
            wait = _WAIT.search(head.lower())
            asyncio.get_running_loop().call_later(int(wait[1]) / 1000 if wait else 0, self._give_up, host, transport)

    def _give_up(self, host: str, transport: asyncio.Transport) -> None:
        """The probe has waited for as long as it would."""
        if transport in self._held.get(host, ()):
            self._held[host].discard(transport)
            if not transport.is_closing():
                transport.write(_NOT_READY)


class _Pod(asyncio.Protocol):
    """A connection to a pod."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._host = str(transport.get_extra_info("sockname")[0])

    def data_received(self, data: bytes) -> None:
        *heads, self._pending = (self._pending + data).split(b"\r\n\r\n")
        for head in heads:
            self._pods.received(self._host, head, self._transport)


class Asker(asyncio.Protocol):
    """A client's connection for one request; `status` and `first_byte` are there once `answered`."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked = self.first_byte = 0.0
        self.status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes) -> None:
        self.asked = perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self.first_byte = perf_counter()
            self.status = int(data[9:12])
            self.answered.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_result(None)

    def close(self) -> None:
        self._transport.close()


async def ask(port: int) -> Asker:
    """A connection that has not asked yet."""
    _, asker = await asyncio.get_running_loop().create_connection(Asker, "127.0.0.1", port)
    return asker


class Autoscaler:
    """Takes the activator's statistics, and tells of each revision that wakes up."""

    def __init__(self, wakes: Callable[[str], None]) -> None:
        self.port = 0
        self.connected = asyncio.Event()
        self._wakes = wakes
        self._woken: set[str] = set()
        self._runner: web.AppRunner | None = None

    async def listen(self) -> None:
        app = web.Application()
        app.router.add_get("/", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connected.set()
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                for one in decode_messages(message.data):
                    if one.stat is not None and one.stat.average_concurrent_requests and one.name not in self._woken:
                        self._woken.add(one.name)
                        self._wakes(one.name)
        return socket
