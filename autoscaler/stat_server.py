"""Where activators bring their statistics: a websocket on port 8080, one list of messages a frame.

Every path is accepted. A kubelet's probe on the same port gets 200 without an upgrade. What cannot be read, or cannot
be true, is refused and counted, and the connection goes on; `accept` gets the rest, in the order of arrival. On
shutdown each connection is closed with 1012 `Restarting`, which makes activators reconnect at once. Source: contract,
autoscaler.md 5.6.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from autoscaler.buckets import BUCKET_PREFIX
from autoscaler.metrics import AutoscalerMetrics
from upwell.api.names import (
    AGENT_KUBE,
    HEADER_KUBELET_PROBE,
    HEADER_STATS,
    HEADER_STATS_RECEIVED,
    HEADER_STATS_SENDER,
)
from upwell.api.objects import Key
from upwell.api.stat import Stat, StatError, decode_messages
from upwell.policy.collector import implausible
from upwell.telemetry import log

__all__ = ["StatServer"]

LOG: Final = log.get("statistics")
FRAME_MOST: Final = 8 * 2**20
"""Bytes; a frame about 10,000 revisions has under one million."""
AT_ONCE: Final = 500
"""Messages to take before others get a turn of the event loop; about 5 ms."""
HEARTBEAT_SECONDS: Final = 15.0
CLOSE_SECONDS: Final = 5.0
SENDERS_MOST: Final = 1000

Accept = Callable[[Key, Stat, bool], None]
"""Takes a statistic; the last argument says whether it may have to be handed on to another replica."""


class StatServer:
    """See the module."""

    def __init__(self, accept: Accept, owns_bucket: Callable[[str], bool], metrics: AutoscalerMetrics) -> None:
        """`owns_bucket` says whether this replica answers for the bucket of that name."""
        self._accept = accept
        self._owns_bucket = owns_bucket
        self._metrics = metrics
        self._connections: set[web.WebSocketResponse] = set()
        self._senders = _Senders()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that it is, when `port` is 0. Raise OSError when it is taken."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Send the activators elsewhere and stop to listen."""
        closing = [
            connection.close(code=WSCloseCode.SERVICE_RESTART, message=b"Restarting")
            for connection in list(self._connections)
        ]
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*closing, return_exceptions=True)
        except TimeoutError:
            LOG.warning("activators did not close their connections in time", connections=len(self._connections))
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        agent = request.headers.get("User-Agent", "")
        if agent.startswith(AGENT_KUBE) or request.headers.get(HEADER_KUBELET_PROBE):
            return web.Response()
        bucket = request.host.partition(":")[0].partition(".")[0]
        if bucket.startswith(BUCKET_PREFIX) and not self._owns_bucket(bucket):
            return web.Response()
        connection = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, compress=False, max_msg_size=FRAME_MOST)
        sender = request.headers.get(HEADER_STATS_SENDER, "")
        if sender:
            connection.headers[HEADER_STATS_RECEIVED] = self._senders.begin(sender, connection)
        await connection.prepare(request)
        self._connections.add(connection)
        alone = HEADER_STATS not in request.headers
        LOG.info("a reporter connected", peer=request.remote)
        try:
            async for message in connection:
                if message.type is WSMsgType.BINARY:
                    if not sender or self._senders.counts(sender, connection):
                        await self._take(message.data, alone)
                elif message.type is WSMsgType.TEXT:
                    self._refuse("not binary")
        finally:
            self._connections.discard(connection)
            LOG.info("a reporter is gone", peer=request.remote, code=connection.close_code)
        return connection

    async def _take(self, frame: bytes, alone: bool) -> None:
        """`alone`: nobody else gets this frame. Long ones are taken in parts, so that nobody's decision waits."""
        try:
            messages = decode_messages(frame)
        except StatError as error:
            self._refuse("undecodable", error=error)
            return
        for number, message in enumerate(messages):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            if message.stat is None:
                continue
            reason = implausible(message.stat)
            if reason is None:
                self._metrics.stats_received.inc()
                self._accept(Key(message.namespace, message.name), message.stat, alone)
            else:
                self._refuse("implausible", revision=f"{message.namespace}/{message.name}", error=reason)

    def _refuse(self, reason: str, **values: object) -> None:
        self._metrics.stats_refused.labels(reason).inc()
        LOG.warning("statistics refused", reason=reason, **values)


class _Senders:
    """How many frames were read of each sender that names itself, so that it goes on precisely where it was cut off."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(8)
        self._read: OrderedDict[str, tuple[web.WebSocketResponse, int]] = OrderedDict()

    def begin(self, sender: str, connection: web.WebSocketResponse) -> str:
        """A connection of that sender begins; what it is told. Its earlier ones count no more."""
        _, frames = self._read.pop(sender, (connection, 0))
        self._read[sender] = (connection, frames)
        if len(self._read) > SENDERS_MOST:
            self._read.popitem(last=False)
        return f"{self._process} {frames}"

    def counts(self, sender: str, connection: web.WebSocketResponse) -> bool:
        """A frame was read from this connection; whether it is to be taken, rather than sent again by a later one."""
        current, frames = self._read.get(sender, (connection, 0))
        if current is not connection:
            return False
        self._read[sender] = (connection, frames + 1)
        return True
