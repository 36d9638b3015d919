"""Brings the load figures to the autoscalers, over one websocket each that is always there or being rebuilt.

What is to be said goes into one `Outbox`; each link reads it at its own pace and remembers how far it came. So a link
that was broken goes on where it stopped, with the time at which the figures were measured. The outbox keeps a minute;
older figures say nothing about now. An autoscaler that appears gets what nobody got yet, not what its predecessor had.

An autoscaler of ours says in its handshake how many frames of this sender it has read, so that after a break precisely
those are sent again that it has not: each counts once. It is told everything, as is each of its replicas. Any other
autoscaler says nothing of the kind. What a socket took is then never sent again, since counting it twice would be
worse than missing a second; and only one of its replicas is told, because that one hands on to the others what is
theirs. The other links stay open, and one of them takes over in the moment that the first one breaks.

Addresses come from the EndpointSlices of the Service `autoscaler`. Frames are binary, one `WireStatMessages` each
(contract: activator.md 10.1); a figure sent at once has no timestamp, as the contract has it.
"""

import asyncio
import dataclasses
import random
import secrets
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from upwell.api.names import HEADER_STATS, HEADER_STATS_RECEIVED, HEADER_STATS_SENDER, STATS_TO_ALL
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
        self, endpoints: EndpointTracker, namespace: str, pod_name: str, clock: Clock, reachable: Gauge, errors: Counter
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
        # A process, not a pod: one that was restarted counts its frames from nothing.
        self._headers = {HEADER_STATS: STATS_TO_ALL, HEADER_STATS_SENDER: f"{pod_name}-{secrets.token_hex(8)}"}
        self._one_for_all = _Progress(0)
        """How far any of the autoscalers that hand on to each other was told."""
        self._turn = asyncio.Lock()
        """Held by the link that tells them."""
        endpoints.on_change(self._endpoints_changed)

    def send(self, messages: list[WireStatMessage]) -> None:
        """Have `messages` brought to every autoscaler; returns at once."""
        self._outbox.put(messages)

    async def run(self) -> None:
        """Keep a link to every autoscaler until cancelled."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HANDSHAKE_SECONDS)
        session = aiohttp.ClientSession(timeout=timeout, ws_response_class=_Socket)
        async with session, asyncio.TaskGroup() as group:
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
        appeared = sorted(present - self._links.keys())
        # So that not every activator tells the same one, where only one is told.
        for address in random.sample(appeared, len(appeared)):
            task = group.create_task(self._keep_link(session, address), name=f"stats to {address}")
            self._links[address] = task

    async def _keep_link(self, session: aiohttp.ClientSession, address: Address) -> None:
        backoff = Backoff(RETRY_FIRST, RETRY_MOST)
        progress = _Progress(self._outbox.delivered)
        known_down = False
        while True:
            try:
                # No compression, no sub-protocol: the contract's handshake.
                async with session.ws_connect(
                    f"ws://{address}/", headers=self._headers, autoping=False, max_msg_size=2**16
                ) as socket:
                    backoff.reset()
                    known_down = False
                    self._set_connected(address, True)
                    LOG.info("connected to the autoscaler", endpoint=str(address))
                    await self._talk(socket, progress)
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

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse, progress: "_Progress") -> None:
        """Send until the connection ends."""
        received = _received(socket)
        link = _Link(socket, self._clock)
        if received is None:
            writing = self._tell_one(link)
        else:
            progress.resume(*received)
            writing = link.write(self._outbox, progress)
        tasks = [
            asyncio.create_task(writing, name="stats write"),
            asyncio.create_task(link.read(), name="stats read"),
            asyncio.create_task(link.ping(), name="stats ping"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        LOG.info("connection to the autoscaler ended", errors=[repr(end) for end in ends if isinstance(end, Exception)])

    async def _tell_one(self, link: "_Link") -> None:
        """Write to an autoscaler that hands on to the others, when it is this link's turn."""
        async with self._turn:
            self._one_for_all.position = max(self._one_for_all.position, self._outbox.delivered)
            await link.write(self._outbox, self._one_for_all)


class _Progress:
    """How far a receiver was told, over all connections to it."""

    def __init__(self, position: int) -> None:
        self.position = position
        """The number of the list that it is told next."""
        self._process = ""
        self._received = 0
        """How many frames this process is known to have read."""
        self._sent: deque[int] = deque()
        """The numbers of the lists in frames that it may have read, or not."""

    def sending(self, number: int) -> None:
        """The list with this number goes to the socket."""
        if len(self._sent) == LISTS_MOST:
            # Older than all that is kept to be sent again.
            self._sent.popleft()
            self._received += 1
        self._sent.append(number)

    def resume(self, process: str, received: int) -> None:
        """A new connection: the receiver is this process, and has read that many frames of ours in all."""
        if process == self._process and received >= self._received:
            for _ in range(min(received - self._received, len(self._sent))):
                self._sent.popleft()
            if self._sent:
                self.position = self._sent[0]
        # Of one that does not know us, it is not known what its predecessor read and handed down: that had it all.
        self._process = process
        self._received = received
        self._sent.clear()


class _Link:
    """One open websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, clock: Clock) -> None:
        self._socket = socket
        self._clock = clock
        self._heard = clock.monotonic()

    async def write(self, outbox: Outbox, progress: _Progress) -> None:
        while True:
            await outbox.wait(progress.position)
            following, frame = outbox.read(progress.position)
            if frame:
                progress.sending(following - 1)
                await self._socket.send_bytes(frame)
            # Only now: what the socket did not take is sent by the next connection.
            progress.position = following
            outbox.delivered = max(outbox.delivered, following)

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


class _Socket(aiohttp.ClientWebSocketResponse):
    """One that knows how its handshake was answered."""

    def __init__(self, reader: Any, writer: Any, protocol: str | None, response: Any, *more: Any, **named: Any) -> None:
        super().__init__(reader, writer, protocol, response, *more, **named)
        self.answer: Mapping[str, str] = response.headers


def _received(socket: aiohttp.ClientWebSocketResponse) -> tuple[str, int] | None:
    """What an autoscaler of ours says in its handshake: `PROCESS FRAMES`; None from any other."""
    assert isinstance(socket, _Socket)
    process, _, frames = socket.answer.get(HEADER_STATS_RECEIVED, "").partition(" ")
    return (process, int(frames)) if frames.isascii() and frames.isdigit() else None


def _with_time(message: WireStatMessage, seconds: int) -> WireStatMessage:
    assert message.stat is not None
    return dataclasses.replace(message, stat=dataclasses.replace(message.stat, timestamp=seconds))
