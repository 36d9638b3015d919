"""Each figure reaches the autoscaler once, however often and wherever the connection breaks."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from activator.stat_sender import StatSender
from autoscaler.metrics import AutoscalerMetrics
from autoscaler.stat_server import StatServer
from tests.integration.activator_world import endpoint_slice
from tests.waiting import eventually
from upwell.api import names
from upwell.api.objects import Key
from upwell.api.resources import ENDPOINT_SLICE
from upwell.api.stat import Stat, WireStatMessage
from upwell.clock import SystemClock
from upwell.cluster.endpoints import EndpointTracker
from upwell.cluster.informer import Informer
from upwell.telemetry.metrics import Counter, Gauge, Registry


class Relay:
    """Stands between the two, and can lose what is on its way, and cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._losing = False
        self.connections = 0
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Relay"]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def lose(self) -> None:
        """What is sent from now on never arrives."""
        self._losing = True

    def cut(self) -> None:
        self._losing = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self._losing:
                    writer.write(data)


@pytest.mark.parametrize("seed", [1, 2])
async def test_figures_arrive_once_and_in_order_over_lossy_and_broken_connections(seed: int) -> None:
    chance = random.Random(seed)
    arrived: list[str] = []
    server = StatServer(
        lambda key, _stat, _alone: arrived.append(key.name), lambda _: True, AutoscalerMetrics(Registry())
    )
    async with Relay(await server.start("127.0.0.1", 0)).listening() as relay:
        sender = sender_to(relay.port)
        running = asyncio.create_task(sender.run())
        for number in range(200):
            sender.send([WireStatMessage("default", str(number), Stat(pod_name="a", request_count=1))])
            await asyncio.sleep(chance.choice((0, 0, 0.002)))
            if number % 20 == 10:
                relay.lose()
            if number % 20 == 13:
                connections = relay.connections
                relay.cut()
                if chance.random() < 0.8:
                    await eventually(lambda before=connections: relay.connections > before)  # type: ignore[misc]
        await eventually(lambda: arrived[-1:] == ["199"])

        assert arrived == [str(number) for number in range(200)]
        assert relay.connections > 5
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.stop()


async def test_a_new_process_at_the_same_address_is_not_told_what_its_predecessor_was() -> None:
    arrived: list[str] = []
    servers = [server_that_notes(arrived) for _ in range(2)]
    port = await servers[0].start("127.0.0.1", 0)
    sender = sender_to(port)
    running = asyncio.create_task(sender.run())
    sender.send([WireStatMessage("default", "before", Stat(pod_name="a", request_count=1))])
    await eventually(lambda: arrived == ["before"])

    await servers[0].stop()
    sender.send([WireStatMessage("default", "between", Stat(pod_name="a", request_count=1))])
    await servers[1].start("127.0.0.1", port)
    await eventually(lambda: "between" in arrived)

    assert arrived == ["before", "between"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await servers[1].stop()


def server_that_notes(arrived: list[str]) -> StatServer:
    return StatServer(lambda key, *_: arrived.append(key.name), lambda _: True, AutoscalerMetrics(Registry()))


def sender_to(port: int) -> StatSender:
    slices = Informer(None, ENDPOINT_SLICE)  # type: ignore[arg-type]
    tracker = EndpointTracker(slices)
    sender = StatSender(tracker, names.SYSTEM_NAMESPACE, "activator-1", SystemClock(), Gauge(), Counter())
    slices._apply("ADDED", endpoint_slice(names.SYSTEM_NAMESPACE, "autoscaler", "1", {"http": port}, ready=True))
    assert tracker.slices(Key(names.SYSTEM_NAMESPACE, "autoscaler"))
    return sender
