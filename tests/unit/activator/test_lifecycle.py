"""When an activator begins to serve, and when it stops waiting for others to learn that it goes."""

import asyncio
from typing import Any, cast

import pytest

from activator.application import Activator
from activator.config import ActivatorConfig
from activator.lifecycle import drain, serve_until
from activator.probe_answers import Health
from upwell.http import Engine


class NotedActivator:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.arrivals = 0

    def start(self) -> None:
        self.said.append("start")

    def lose_patience(self) -> None:
        self.said.append("lose patience")


class NotedEngine:
    drained = False

    async def drain(self, _timeout: float) -> bool:
        self.drained = True
        return True


async def serve(synced: asyncio.Event, patience: float, until: asyncio.Event) -> tuple[NotedActivator, Any]:
    activator = NotedActivator()

    async def wait() -> None:
        await synced.wait()

    task = asyncio.create_task(serve_until(until, cast("Activator", activator), wait, patience))
    return activator, task


async def test_serving_begins_when_everything_is_known() -> None:
    synced, stop = asyncio.Event(), asyncio.Event()
    activator, task = await serve(synced, 60, stop)
    await asyncio.sleep(0)
    assert activator.said == []

    synced.set()
    for _ in range(5):
        await asyncio.sleep(0)

    assert activator.said == ["start"]
    stop.set()
    await task


async def test_an_activator_that_ran_out_of_patience_serves_all_the_same_later() -> None:
    synced, stop = asyncio.Event(), asyncio.Event()
    activator, task = await serve(synced, 0.001, stop)
    async with asyncio.timeout(10):
        while not activator.said:  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.001)

    synced.set()
    for _ in range(5):
        await asyncio.sleep(0)

    assert activator.said == ["lose patience", "start"]
    stop.set()
    await task


@pytest.mark.parametrize(("quiet", "seconds"), [(0.0, 0.001), (0.001, 3600.0)], ids=["time is over", "it is quiet"])
async def test_the_pause_ends_with_its_time_or_when_nobody_comes_any_more(quiet: float, seconds: float) -> None:
    health, engine, activator = Health(), NotedEngine(), NotedActivator()
    config = ActivatorConfig(pod_name="a", pod_ip="10.0.0.1", drain_seconds=seconds, drain_quiet_seconds=quiet)

    async with asyncio.timeout(10):
        await drain(health, cast("Engine", engine), cast("Activator", activator), config)

    assert health.draining
    assert engine.drained
