"""Drain: probes fail at once, requests keep it open, and a hook without a signal is let go after a second."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from queueproxy.drain import Drainer, DrainState
from upwell.clock import FakeClock


async def start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    return task


async def test_a_signal_drains_after_thirty_quiet_seconds() -> None:
    clock = FakeClock()
    drainer = Drainer(30, clock)
    drained = await start(drainer.drain_for_signal())

    assert drainer.draining
    await clock.advance(29.9)
    assert not drained.done()
    await clock.advance(0.2)
    assert drained.done()
    assert drainer.state is DrainState.DRAINED
    assert drainer.draining


async def test_each_request_starts_the_quiet_period_anew() -> None:
    clock = FakeClock()
    drainer = Drainer(30, clock)
    drained = await start(drainer.drain_for_signal())
    for _ in range(4):
        await clock.advance(20)
        drainer.request_arrived()

    await clock.advance(29)
    assert not drained.done()
    await clock.advance(2)
    assert drained.done()


async def test_the_hook_is_let_go_after_a_second_without_a_signal() -> None:
    clock = FakeClock()
    drainer = Drainer(30, clock)
    hook = await start(drainer.drain_for_hook())

    assert drainer.draining
    await clock.advance(0.9)
    assert not hook.done()
    await clock.advance(0.2)
    assert hook.done()
    assert drainer.state is DrainState.SERVING
    assert not drainer.draining


async def test_a_reset_releases_every_waiter() -> None:
    clock = FakeClock()
    drainer = Drainer(30, clock)
    first = await start(drainer.drain_for_hook())
    await clock.advance(0.4)
    second = await start(drainer.drain_for_hook())

    await clock.advance(1.1)
    assert first.done()
    assert second.done()


async def test_the_hook_shares_the_drain_of_a_signal() -> None:
    clock = FakeClock()
    drainer = Drainer(30, clock)
    hook = await start(drainer.drain_for_hook())
    await clock.advance(0.5)
    signal = await start(drainer.drain_for_signal())

    await clock.advance(29)
    assert not hook.done()
    await clock.advance(2)
    assert hook.done()
    assert signal.done()


async def test_a_hook_after_the_drain_returns_at_once() -> None:
    clock = FakeClock()
    drainer = Drainer(1, clock)
    await start(drainer.drain_for_signal())
    await clock.advance(2)

    hook = await start(drainer.drain_for_hook())
    await asyncio.sleep(0)
    assert hook.done()


async def test_a_hook_that_comes_after_a_reset_begins_a_drain_of_its_own() -> None:
    clock = FakeClock()
    drainer = Drainer(30, clock)
    await start(drainer.drain_for_hook())
    await clock.advance(0.5)
    late = await start(drainer.drain_for_hook())
    await clock.advance(0.7)
    third = await start(drainer.drain_for_hook())

    await clock.advance(0.4)
    assert late.done()
    assert not third.done()
    assert drainer.draining
    await clock.advance(1)
    assert third.done()


async def test_closing_ends_the_watch() -> None:
    drainer = Drainer(30, FakeClock())
    waiter = await start(drainer.drain_for_signal())

    await drainer.close()
    waiter.cancel()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "drain watch"]
