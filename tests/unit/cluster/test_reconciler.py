"""Reconcilers: what makes them work on a key again."""

import asyncio

import pytest

from upwell.api.objects import Key, new_object
from upwell.api.resources import POD
from upwell.clock import FakeClock
from upwell.cluster.errors import Conflict
from upwell.cluster.reconciler import Reconciler
from upwell.cluster.runtime import running

A, B = Key("default", "a"), Key("default", "b")


class Work:
    """A reconcile that does what it was told to, and counts."""

    def __init__(self) -> None:
        self.calls: list[Key] = []
        self.outcomes: list[float | Exception | None] = []

    async def __call__(self, key: Key) -> float | None:
        self.calls.append(key)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def test_a_failure_is_tried_again_and_said() -> None:
    clock, work = FakeClock(), Work()
    work.outcomes = [ValueError("first"), ValueError("second"), None]
    reconciler = Reconciler("test", work, clock=clock)
    async with running({"reconciler": reconciler.run()}):
        reconciler.enqueue(A)
        await clock.advance(5)

    assert work.calls == [A, A, A]


async def test_a_conflict_is_tried_again_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    clock, work = FakeClock(), Work()
    work.outcomes = [Conflict(409, "Conflict", "changed"), None]
    reconciler = Reconciler("test", work, clock=clock)
    async with running({"reconciler": reconciler.run()}):
        reconciler.enqueue(A)
        await clock.advance(5)

    assert work.calls == [A, A]
    assert capsys.readouterr().err == ""


async def test_returned_seconds_are_when_it_looks_again() -> None:
    clock, work = FakeClock(), Work()
    work.outcomes = [30.0, None]
    reconciler = Reconciler("test", work, clock=clock)
    async with running({"reconciler": reconciler.run()}):
        reconciler.enqueue(A)
        await clock.advance(29)
        assert work.calls == [A]
        await clock.advance(1)
        assert work.calls == [A, A]


async def test_one_key_is_never_worked_on_twice_at_once() -> None:
    clock = FakeClock()
    busy: set[Key] = set()
    most = 0

    async def work(key: Key) -> None:
        nonlocal most
        assert key not in busy
        busy.add(key)
        most = max(most, len(busy))
        await clock.sleep(1)
        busy.discard(key)

    reconciler = Reconciler("test", work, workers=4, clock=clock)
    async with running({"reconciler": reconciler.run()}):
        for _ in range(10):
            for key in (A, B):
                reconciler.enqueue(key)
            await clock.advance(0.3)

    assert most == 2


async def test_handlers_find_the_object_and_its_controller() -> None:
    clock, work = FakeClock(), Work()
    reconciler = Reconciler("test", work, clock=clock)
    owner = {"kind": "Revision", "name": "rev", "uid": "1", "controller": True}
    owned = new_object(POD, "default", "pod", metadata={"ownerReferences": [owner]})
    async with running({"reconciler": reconciler.run()}):
        reconciler.enqueue_changed(owned, None)
        reconciler.enqueue_controller_of("Revision")(owned, None)
        reconciler.enqueue_controller_of("Route")(owned, None)
        await clock.advance(0)

    assert sorted(work.calls) == [Key("default", "pod"), Key("default", "rev")]


async def test_cancelling_ends_the_workers() -> None:
    reconciler = Reconciler("test", Work())
    task = asyncio.create_task(reconciler.run())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
