"""The requests of a recorded run as the autoscaler hears of them, from the pods that it scrapes and the activator.

While a revision's ServerlessService says Proxy, its requests go through the activator, which tells of them at once and
then every second; pods report them as proxied. Both are one HTTP server here, with a port for the activator and one
for each revision; it also answers the probe by which the autoscaler finds out who stands behind a public address.
"""

import asyncio
from collections import defaultdict

import aiohttp
from aiohttp import web

from upwell.api.names import HEADER_PROBE
from upwell.api.objects import Key
from upwell.api.stat import Stat, WireStatMessage, encode_messages, encode_stat

__all__ = ["Traffic"]

REPORT_SECONDS = 1.0


class Traffic:
    """The requests that are under way, by revision."""

    def __init__(self, stat_port: int) -> None:
        """`stat_port` is where the autoscaler takes statistics."""
        self._url = f"ws://127.0.0.1:{stat_port}/"
        self._runner = web.ServerRunner(web.Server(self._answer))
        self._revisions: dict[int, str] = {}
        self._load: defaultdict[str, int] = defaultdict(int)
        self._pods: defaultdict[str, int] = defaultdict(int)
        self._proxied: set[str] = set()
        self._reported_at = 0.0
        self.activator_port = 0

    async def start(self) -> None:
        await self._runner.setup()
        self.activator_port = await self._listen()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def port_of(self, revision: str) -> int:
        """Where its pods answer."""
        for port, name in self._revisions.items():
            if name == revision:
                return port
        port = await self._listen()
        self._revisions[port] = revision
        return port

    async def _listen(self) -> int:
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return int(self._runner.addresses[-1][1])

    def note_pods(self, revision: str, ready: int) -> None:
        self._pods[revision] = ready

    def note_mode(self, revision: str, mode: str) -> None:
        (self._proxied.add if mode == "Proxy" else self._proxied.discard)(revision)

    async def add(self, revision: Key, requests: int, now: float) -> None:
        """So many requests begin, or end when there are fewer than none."""
        self._load[revision.name] += requests
        await self._report(revision.namespace, now, {revision.name})

    async def pass_on(self, namespace: str, now: float) -> None:
        """Report again when that is due."""
        if now >= self._reported_at + REPORT_SECONDS:
            await self._report(namespace, now, {name for name, load in self._load.items() if load})

    async def _report(self, namespace: str, now: float, revisions: set[str]) -> None:
        self._reported_at = now
        messages = [
            WireStatMessage(namespace, name, Stat("activator", load, 0, load, 0, timestamp=int(now)))
            for name, load in self._load.items()
            if name in self._proxied & revisions
        ]
        if messages:
            async with aiohttp.ClientSession() as session, session.ws_connect(self._url) as connection:
                await connection.send_bytes(encode_messages(messages))
                await asyncio.sleep(0.01)  # it is read before the connection's end is

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        port = request.transport.get_extra_info("sockname")[1]
        if request.headers.get(HEADER_PROBE):
            return web.Response(text="activator" if port == self.activator_port else "queue")
        revision = self._revisions[port]
        share = self._load[revision] / max(1, self._pods[revision])
        proxied = share if revision in self._proxied else 0.0
        body = encode_stat(Stat("pod", share, proxied, share, proxied, 100))
        return web.Response(body=body, headers={"Content-Type": "application/protobuf"})
