"""Deadlines: in order, in time, and without a timer each."""

import asyncio
from math import inf

import pytest

from upwell.clock import FakeClock
from upwell.http.deadlines import DeadlineQueue, Deadlines


class Waiting:
    """Queues of one fake second and of ten, and who has run out of time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.deadlines = Deadlines(self.clock, asyncio.get_running_loop())
        self.late: list[str] = []
        self.short: DeadlineQueue[str] = self.deadlines.queue("test", 1.0, self.late.append)
        self.long: DeadlineQueue[str] = self.deadlines.queue("test", 10.0, self.late.append)

    @property
    def now(self) -> float:
        return self.deadlines.now()

    async def passes(self, seconds: float) -> list[str]:
        await self.clock.advance(seconds)
        self.deadlines.sweep()
        late, self.late[:] = list(self.late), []
        return late


@pytest.fixture
async def waiting() -> Waiting:
    return Waiting()


async def test_owners_run_out_of_time_in_the_order_in_which_they_came(waiting: Waiting) -> None:
    waiting.short.add("a", waiting.now)
    assert await waiting.passes(0.5) == []
    waiting.short.add("b", waiting.now)
    waiting.long.add("c", waiting.now)

    assert await waiting.passes(0.5) == ["a"]
    assert await waiting.passes(0.4) == []
    assert await waiting.passes(0.2) == ["b"]
    assert await waiting.passes(100) == ["c"]
    assert await waiting.passes(100) == []


async def test_a_discarded_owner_is_never_late(waiting: Waiting) -> None:
    waiting.short.add("a", waiting.now)
    waiting.short.add("b", waiting.now)
    waiting.short.discard("a")
    waiting.short.discard("never there")

    assert await waiting.passes(2) == ["b"]
    assert len(waiting.short) == 0


async def test_a_restarted_owner_has_its_whole_time_again(waiting: Waiting) -> None:
    waiting.short.add("a", waiting.now)
    waiting.short.add("b", waiting.now)
    await waiting.passes(0.9)
    waiting.short.restart("a", waiting.now)

    assert await waiting.passes(0.2) == ["b"]
    assert await waiting.passes(0.9) == ["a"]


async def test_ensuring_does_not_extend(waiting: Waiting) -> None:
    waiting.short.ensure("a", waiting.now)
    await waiting.passes(0.9)
    waiting.short.ensure("a", waiting.now)

    assert await waiting.passes(0.2) == ["a"]


async def test_an_owner_discarded_by_an_earlier_one_is_spared(waiting: Waiting) -> None:
    gone: list[str] = []

    def take_the_other_along(owner: str) -> None:
        gone.append(owner)
        queue.discard("b")

    queue: DeadlineQueue[str] = waiting.deadlines.queue("pairs", 1.0, take_the_other_along)
    queue.add("a", waiting.now)
    queue.add("b", waiting.now)

    await waiting.passes(2)

    assert gone == ["a"]


async def test_who_is_added_while_others_expire_waits_its_own_time(waiting: Waiting) -> None:
    queue: DeadlineQueue[str] = waiting.deadlines.queue("again", 1.0, lambda owner: queue.add(owner, waiting.now))
    queue.add("a", waiting.now)

    await waiting.passes(1.5)

    assert len(queue) == 1
    assert waiting.deadlines.next_sweep == pytest.approx(2.5)


async def test_kind_and_duration_make_a_queue(waiting: Waiting) -> None:
    assert waiting.deadlines.queue("test", 1.0, waiting.late.append) is waiting.short
    assert waiting.deadlines.queue("test", 2.0, waiting.late.append) is not waiting.short
    assert waiting.deadlines.queue("other", 1.0, waiting.late.append) is not waiting.short


async def test_a_thousand_durations_do_not_pile_up(waiting: Waiting) -> None:
    waiting.long.add("a", waiting.now)
    for number in range(1000):
        waiting.deadlines.queue("many", float(number), waiting.late.append)

    assert len(waiting.deadlines._queues) <= 256
    assert await waiting.passes(11) == ["a"]


async def test_the_sweep_is_due_with_the_earliest_but_not_more_often_than_it_should(waiting: Waiting) -> None:
    assert waiting.deadlines.next_sweep == inf
    waiting.long.add("c", waiting.now)
    assert waiting.deadlines.next_sweep == pytest.approx(10)
    waiting.short.add("a", waiting.now)
    assert waiting.deadlines.next_sweep == pytest.approx(1)

    await waiting.passes(0.99)
    assert waiting.deadlines.next_sweep == pytest.approx(1.04)
    await waiting.passes(1)
    assert waiting.deadlines.next_sweep == pytest.approx(10)
    await waiting.passes(10)
    assert waiting.deadlines.next_sweep == inf


async def test_the_timer_really_sweeps() -> None:
    from upwell.clock import SystemClock

    deadlines = Deadlines(SystemClock(), asyncio.get_running_loop())
    expired: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    queue: DeadlineQueue[str] = deadlines.queue("real", 0.01, expired.set_result)

    queue.add("a", deadlines.now())

    assert await asyncio.wait_for(expired, 10) == "a"
    deadlines.close()


async def test_after_closing_nothing_expires(waiting: Waiting) -> None:
    waiting.short.add("a", waiting.now)
    waiting.deadlines.close()

    assert await waiting.passes(5) == []
