"""Brings the load figures to every autoscaler, over one websocket each that is always there or being rebuilt.

What is to be said goes into one `Outbox`; each link reads it at its own pace and remembers how far it came. So a link
that was broken goes on where it stopped: what was not handed to its socket is sent, with the time at which it was
measured, and nothing is sent twice. The outbox keeps a minute; older figures say nothing about now. An autoscaler
that appears gets what nobody got yet, not what its predecessor had.

Addresses come from the EndpointSlices of the Service `autoscaler`. Frames are binary, one `WireStatMessages` each
(contract: activator.md 10.1); a figure sent at once has no timestamp, as the contract has it.
"""

import asyncio
import dataclasses
from collections import deque
from typing import Final

import aiohttp

from upwell.api.names import HEADER_STATS, STATS_TO_ALL
from upwell.api.objects import Key
from upwell.api.stat import WireStatMessage, encode_messages
from upwell.clock import Clock
from upwell.cluster.backoff import Backoff
from upwell.cluster.endpoints import Address, EndpointTracker
from upwell.telemetry import log
from upwell.telemetry.metrics import Counter, Gauge

__all__ = ["Outbox", "StatSender"]

LOG: Final = log.get("stats")
SERVICE: Final = "autoscaler"
PORT_NAME: Final = "http"
LISTS_MOST: Final = 600
KEPT_SECONDS: Final = 60.0
FRESH_SECONDS: Final = 1.0
"""Younger figures go without a timestamp: the autoscaler puts them at the time of receipt, which is as good."""
HANDSHAKE_SECONDS: Final = 3.0
PING_SECONDS: Final = 10 / 3
SILENCE_MOST: Final = 10.0
RETRY_FIRST: Final = 0.1
RETRY_MOST: Final = 2.0


class Outbox:
    """The lists that were said last, numbered; bounded in number and age."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lists: deque[tuple[float, list[WireStatMessage]]] = deque()
        self._first = 0
        """The number of the oldest list kept."""
        self._said = asyncio.Event()
        self.delivered = 0
        """Lists before this number were handed to at least one autoscaler's socket."""

    @property
    def end(self) -> int:
        """The number that the next list will have."""
        return self._first + len(self._lists)

    def put(self, messages: list[WireStatMessage]) -> None:
        self._lists.append((self._clock.now(), messages))
        self._drop_old()
        said, self._said = self._said, asyncio.Event()
        said.set()

    async def wait(self, number: int) -> None:
        """Return when there is a list with this number, or a later one."""
        while number >= self.end:
            await self._said.wait()

    def read(self, number: int) -> tuple[int, bytes]:
        """The frame of the first list kept from `number` on, and the number after it; empty when there is none."""
        self._drop_old()
        number = max(number, self._first)
        if number >= self.end:
            return number, b""
        measured, messages = self._lists[number - self._first]
        if self._clock.now() - measured >= FRESH_SECONDS:
            messages = [_with_time(message, int(measured)) for message in messages]
        return number + 1, encode_messages(messages)

    def _drop_old(self) -> None:
        oldest = self._clock.now() - KEPT_SECONDS
        while self._lists and (len(self._lists) > LISTS_MOST or self._lists[0][0] < oldest):
            self._lists.popleft()
            self._first += 1


class StatSender:
    """The outbox and its links."""

    def __init__(
        self, endpoints: EndpointTracker, namespace: str, clock: Clock, reachable: Gauge, errors: Counter
    ) -> None:
        """`reachable` shows whether any autoscaler is connected, `errors` counts connections lost."""
        self._endpoints = endpoints
        self._service = Key(namespace, SERVICE)
        self._clock = clock
        self._reachable = reachable
        self._errors = errors
        self._outbox = Outbox(clock)
        self._links: dict[Address, asyncio.Task[None]] = {}
        self._connected: set[Address] = set()
        self._moved = asyncio.Event()
        endpoints.on_change(self._endpoints_changed)

    def send(self, messages: list[WireStatMessage]) -> None:
        """Have `messages` brought to every autoscaler; returns at once."""
        self._outbox.put(messages)

    async def run(self) -> None:
        """Keep a link to every autoscaler until cancelled."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HANDSHAKE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            while True:
                self._moved.clear()
                self._follow(session, group)
                await self._moved.wait()

    def _endpoints_changed(self, service: Key) -> None:
        if service == self._service:
            self._moved.set()

    def _follow(self, session: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        ready, not_ready = self._endpoints.addresses(*self._service, PORT_NAME)
        present = {*ready, *not_ready}
        for address in [address for address in self._links if address not in present]:
            self._links.pop(address).cancel()
        for address in sorted(present - self._links.keys()):
            task = group.create_task(self._keep_link(session, address), name=f"stats to {address}")
            self._links[address] = task

    async def _keep_link(self, session: aiohttp.ClientSession, address: Address) -> None:
        backoff = Backoff(RETRY_FIRST, RETRY_MOST)
        position = self._outbox.delivered
        known_down = False
        while True:
            try:
                # No compression, no sub-protocol: the contract's handshake.
                async with session.ws_connect(
                    f"ws://{address}/", headers={HEADER_STATS: STATS_TO_ALL}, autoping=False, max_msg_size=2**16
                ) as socket:
                    backoff.reset()
                    known_down = False
                    self._set_connected(address, True)
                    LOG.info("connected to the autoscaler", endpoint=str(address))
                    position = await self._talk(socket, position)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if not known_down:
                    LOG.warning("autoscaler is not reachable", endpoint=str(address), error=str(error))
                known_down = True
            finally:
                self._set_connected(address, False)
            await self._clock.sleep(backoff.next())

    def _set_connected(self, address: Address, connected: bool) -> None:
        if connected:
            self._connected.add(address)
        elif address in self._connected:
            self._connected.discard(address)
            self._errors.inc()
        self._reachable.set(float(bool(self._connected)))

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse, position: int) -> int:
        """Send from `position` on until the connection ends; return the position reached."""
        link = _Link(socket, self._outbox, position, self._clock)
        tasks = [
            asyncio.create_task(work(), name=f"stats {work.__name__}") for work in (link.write, link.read, link.ping)
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        LOG.info("connection to the autoscaler ended", errors=[repr(end) for end in ends if isinstance(end, Exception)])
        return link.position


class _Link:
    """One open websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, outbox: Outbox, position: int, clock: Clock) -> None:
        self.position = position
        self._socket = socket
        self._outbox = outbox
        self._clock = clock
        self._heard = clock.monotonic()

    async def write(self) -> None:
        while True:
            await self._outbox.wait(self.position)
            following, frame = self._outbox.read(self.position)
            if frame:
                await self._socket.send_bytes(frame)
            # Only now: what the socket did not take is sent by the next connection.
            self.position = following
            self._outbox.delivered = max(self._outbox.delivered, following)

    async def read(self) -> None:
        """Return when the other side ends the connection; what it says is not needed."""
        while True:
            message = await self._socket.receive()
            self._heard = self._clock.monotonic()
            if message.type is aiohttp.WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return

    async def ping(self) -> None:
        """Return when the other side has been silent for too long."""
        while self._clock.monotonic() - self._heard < SILENCE_MOST:
            await self._socket.ping()
            await self._clock.sleep(PING_SECONDS)


def _with_time(message: WireStatMessage, seconds: int) -> WireStatMessage:
    assert message.stat is not None
    return dataclasses.replace(message, stat=dataclasses.replace(message.stat, timestamp=seconds))
