"""The work queue: each key once, by one worker, now or later."""

import asyncio
import random

import pytest

from upwell.api.objects import Key
from upwell.clock import FakeClock
from upwell.cluster.runtime import running
from upwell.cluster.workqueue import LONGEST_PAUSE, ShutDown, WorkQueue

A, B = Key("default", "a"), Key("default", "b")


async def test_a_key_added_twice_is_one_piece_of_work() -> None:
    queue = WorkQueue(FakeClock())
    queue.add(A)
    queue.add(B)
    queue.add(A)

    assert [await queue.get(), await queue.get()] == [A, B]
    assert len(queue) == 0


async def test_a_key_added_while_worked_on_comes_again_after() -> None:
    queue = WorkQueue(FakeClock())
    queue.add(A)
    assert await queue.get() == A

    queue.add(A)
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not second.done()

    queue.done(A)
    assert await second == A


async def test_a_key_comes_no_earlier_than_asked() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    async with running({"timer": queue.run()}):
        queue.add_after(A, 10)
        await clock.advance(9.9)
        assert len(queue) == 0
        await clock.advance(0.1)
        assert await queue.get() == A


async def test_of_several_wishes_the_earliest_counts_once() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    async with running({"timer": queue.run()}):
        queue.add_after(A, 10)
        await clock.advance(0)
        queue.add_after(A, 2)
        queue.add_after(A, 5)
        await clock.advance(2)
        assert await queue.get() == A
        queue.done(A)
        await clock.advance(20)
        assert len(queue) == 0


async def test_pauses_after_failures_double_up_to_a_bound() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock, random.Random(1))
    pauses: list[float] = []
    async with running({"timer": queue.run()}):
        for _ in range(16):
            started = clock.monotonic()
            queue.add_rate_limited(A)
            while not len(queue):
                await clock.advance(0.01 if clock.monotonic() - started < 1 else 1)
            pauses.append(clock.monotonic() - started)
            queue.done(await queue.get())

    assert pauses[0] <= 0.02
    assert pauses[7] > 20 * pauses[0]
    assert max(pauses) <= LONGEST_PAUSE + 1
    assert pauses[-1] >= LONGEST_PAUSE / 2


async def test_success_makes_the_next_failure_the_first() -> None:
    queue = WorkQueue(FakeClock())
    queue.add_rate_limited(A)
    queue.add_rate_limited(A)
    assert queue.failures(A) == 2

    queue.forget(A)
    assert queue.failures(A) == 0


async def test_a_cancelled_waiter_passes_its_key_on() -> None:
    queue = WorkQueue(FakeClock())
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.add(A)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    assert await asyncio.wait_for(second, 1) == A


async def test_shut_down_ends_the_waiting() -> None:
    queue = WorkQueue(FakeClock())
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.shut_down()

    with pytest.raises(ShutDown):
        await waiting
    queue.add(A)
    assert len(queue) == 0


async def test_a_server_that_asks_for_a_pause_gets_it_and_not_everybody_at_its_end() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock, random.Random(1))
    async with running({"timer": queue.run()}):
        queue.add_rate_limited(A, at_least=4)
        queue.add_rate_limited(B, at_least=4)
        await clock.advance(3.99)
        assert len(queue) == 0
        await clock.advance(0.3)
        assert len(queue) == 1
        await clock.advance(0.75)
        assert len(queue) == 2
