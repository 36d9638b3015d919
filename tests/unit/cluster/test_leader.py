"""Leader election: one leader, soon another when it goes."""

import asyncio
from contextlib import AsyncExitStack

from tests.unit.cluster.fake_api import FakeApi
from upwell.api.objects import Key
from upwell.api.resources import LEASE
from upwell.clock import FakeClock
from upwell.cluster.errors import Unavailable
from upwell.cluster.leader import LeaderElector
from upwell.cluster.runtime import running


class Candidate:
    def __init__(self, api: FakeApi, clock: FakeClock, name: str) -> None:
        self._working = False
        self.elector = LeaderElector(api, "test", "system", name, clock=clock)

    def works(self) -> bool:
        return self._working

    async def work(self) -> None:
        self._working = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._working = False


async def test_exactly_one_leads() -> None:
    api, clock = FakeApi(), FakeClock()
    candidates = [Candidate(api, clock, name) for name in "abc"]
    async with running({f"candidate {i}": c.elector.run(c.work) for i, c in enumerate(candidates)}):
        for _ in range(20):
            await clock.advance(3)
            assert [c.works() for c in candidates].count(True) == 1
            assert [c.elector.is_leader for c in candidates] == [c.works() for c in candidates]


async def test_a_leader_that_ends_gives_the_lease_back() -> None:
    api, clock = FakeApi(), FakeClock()
    first, second = Candidate(api, clock, "first"), Candidate(api, clock, "second")
    async with running({"second": _after(clock, 1, second)}):
        async with running({"first": first.elector.run(first.work)}):
            await clock.advance(5)
            assert first.works()
        assert not first.works()
        await clock.advance(3)
        assert second.works()

    lease = api.objects[LEASE, Key("system", "test")]
    assert lease["spec"]["leaseTransitions"] >= 1


async def test_a_leader_that_vanished_is_followed_when_its_lease_has_run_out() -> None:
    api, clock = FakeApi(), FakeClock()
    lost = Candidate(api, clock, "lost")
    await lost.elector._acquire()
    second = Candidate(api, clock, "second")
    async with running({"second": second.elector.run(second.work)}):
        await clock.advance(14)
        assert not second.works()
        await clock.advance(5)
        assert second.works()


async def test_a_leader_that_cannot_renew_stops_before_its_lease_runs_out() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = Candidate(api, clock, "leader")
    async with running({"leader": leader.elector.run(leader.work)}):
        await clock.advance(5)
        assert leader.works()
        api.fail = Unavailable(0, "NoConnection", "refused")
        await clock.advance(9)
        assert leader.works()
        await clock.advance(5)
        assert not leader.works()
        api.fail = None
        await clock.advance(5)
        assert leader.works()


async def test_work_that_ends_ends_the_run() -> None:
    api, clock = FakeApi(), FakeClock()
    elector = LeaderElector(api, "test", "system", "a", clock=clock)

    async def work() -> None:
        return

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(1))
        await elector.run(work)
    assert not elector.is_leader


async def _after(clock: FakeClock, seconds: float, candidate: Candidate) -> None:
    await clock.sleep(seconds)
    await candidate.elector.run(candidate.work)
