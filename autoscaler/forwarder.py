"""Bringing statistics to the replica that acts on them, when they reached another one.

Knative's activators tell one autoscaler, whichever the Service led them to; it hands on what belongs to a bucket of
another replica. Upwell's activators tell every replica, and say so in their handshake: then nothing is handed on, or
the owner would count it twice.

There is one queue a bucket. Its link dials the address that the bucket's holder advertises, sends what is queued in
frames, and redials after a pause when the connection breaks or the bucket changes hands. What has waited for fifteen
seconds is dropped and counted: it says nothing about now. A bucket that became our own meanwhile gets its queue here.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import aiohttp

from autoscaler.advertising import PORT_NAME
from autoscaler.metrics import AutoscalerMetrics
from upwell.api.names import HEADER_STATS, STATS_FORWARDED
from upwell.api.stat import Stat, WireStatMessage, encode_messages
from upwell.clock import Clock
from upwell.cluster.backoff import Backoff
from upwell.cluster.endpoints import EndpointTracker
from upwell.telemetry import log

__all__ = ["Forwarder", "advertised_holder", "stamped"]

LOG: Final = log.get("forwarder")
HANDSHAKE_SECONDS: Final = 0.5
RETRY_FIRST: Final = 0.1
RETRY_MOST: Final = 0.5
PATIENCE: Final = 15.0
"""Seconds; as long as thirty tries at half-second pauses."""
QUEUE_MOST: Final = 20_000
"""Messages a bucket; the reports of ten activators about a thousand revisions in two seconds."""
FRAME_MOST: Final = 2_000
"""Messages in one frame; about 200 kB."""

Deliver = Callable[[WireStatMessage], None]


class Forwarder:
    """See the module."""

    def __init__(
        self,
        buckets: tuple[str, ...],
        locate: Callable[[str], str | None],
        owned: Callable[[str], bool],
        deliver: Deliver,
        metrics: AutoscalerMetrics,
        clock: Clock,
    ) -> None:
        """`locate` gives the URL of a bucket's holder; `deliver` takes what turned out to be our own."""
        self._links = {bucket: _Link(bucket, locate, owned, deliver, metrics, clock) for bucket in buckets}

    def send(self, bucket: str, message: WireStatMessage) -> None:
        """Have `message`, which has a timestamp, brought to the holder of `bucket`; returns at once."""
        self._links[bucket].put(message)

    async def run(self) -> None:
        """Forward until cancelled."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HANDSHAKE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            for bucket, link in self._links.items():
                group.create_task(link.run(session), name=f"forwarding to {bucket}")


def advertised_holder(endpoints: EndpointTracker, namespace: str, bucket: str) -> str | None:
    """The URL of the replica that advertises itself as the holder of `bucket`."""
    if "://" in bucket:
        return bucket.replace("http", "ws", 1)
    ready, _ = endpoints.addresses(namespace, bucket, PORT_NAME)
    return f"ws://{ready[0]}/" if ready else None


class _Link:
    """The queue of one bucket and the connection to its holder."""

    def __init__(
        self,
        bucket: str,
        locate: Callable[[str], str | None],
        owned: Callable[[str], bool],
        deliver: Deliver,
        metrics: AutoscalerMetrics,
        clock: Clock,
    ) -> None:
        self._bucket = bucket
        self._locate = locate
        self._owned = owned
        self._deliver = deliver
        self._metrics = metrics
        self._clock = clock
        self._queue: deque[tuple[float, WireStatMessage]] = deque()
        self._filled = asyncio.Event()

    def put(self, message: WireStatMessage) -> None:
        if len(self._queue) >= QUEUE_MOST:
            self._queue.popleft()
            self._metrics.stats_dropped.labels("queue full").inc()
        self._queue.append((self._clock.monotonic(), message))
        self._filled.set()

    async def run(self, session: aiohttp.ClientSession) -> None:
        backoff = Backoff(RETRY_FIRST, RETRY_MOST)
        while True:
            await self._wait()
            if self._owned(self._bucket):
                while self._queue:
                    self._deliver(self._queue.popleft()[1])
                continue
            url = self._locate(self._bucket)
            if url is not None:
                try:
                    await self._talk(session, url, backoff)
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    LOG.warning("statistics wait for their owner", bucket=self._bucket, endpoint=url, error=str(error))
            await self._clock.sleep(backoff.next())
            self._drop_old()

    async def _wait(self) -> None:
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()

    async def _talk(self, session: aiohttp.ClientSession, url: str, backoff: Backoff) -> None:
        """Send what there is and what comes, until the holder is another or the connection ends."""
        headers = {HEADER_STATS: STATS_FORWARDED}
        async with session.ws_connect(url, headers=headers, heartbeat=10 / 3) as socket:
            backoff.reset()
            while not socket.closed and not self._owned(self._bucket) and self._locate(self._bucket) == url:
                if self._queue:
                    await self._send(socket)
                elif not await self._hear(socket):
                    return

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), FRAME_MOST))]
        try:
            await socket.send_bytes(encode_messages(message for _, message in batch))
        except (aiohttp.ClientError, OSError):
            self._queue.extendleft(reversed(batch))
            raise
        self._metrics.stats_forwarded.inc(len(batch))

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        """Wait for more to send, listening meanwhile; False when the other side ended the connection."""
        listening = asyncio.ensure_future(socket.receive())
        waiting = asyncio.ensure_future(self._wait())
        try:
            await asyncio.wait((listening, waiting), return_when=asyncio.FIRST_COMPLETED)
            return not listening.done()
        finally:
            for task in (listening, waiting):
                task.cancel()
            await asyncio.gather(listening, waiting, return_exceptions=True)

    def _drop_old(self) -> None:
        oldest = self._clock.monotonic() - PATIENCE
        while self._queue and self._queue[0][0] < oldest:
            self._queue.popleft()
            self._metrics.stats_dropped.labels("no owner").inc()


def stamped(namespace: str, name: str, stat: Stat, seconds: int) -> WireStatMessage:
    """The message to forward: the second of a figure must not change on the way."""
    if not stat.timestamp:
        stat = Stat(
            stat.pod_name,
            stat.average_concurrent_requests,
            stat.average_proxied_concurrent_requests,
            stat.request_count,
            stat.proxied_request_count,
            stat.process_uptime,
            seconds,
        )
    return WireStatMessage(namespace, name, stat)
