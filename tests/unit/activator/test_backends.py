"""Which pods are healthy, as Kubernetes lists them and as they answer."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

from activator.backends import Backends
from activator.cold_start import ColdStart
from activator.probing import Prober
from upwell.clock import FakeClock
from upwell.cluster.endpoints import Address

A, B = Address("10.0.0.1", 8012), Address("10.0.0.2", 8012)


class FakeProber:
    """Pods that answer when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Address] = []
        self._answers: dict[Address, asyncio.Future[float]] = {}

    async def until_ready(self, address: Address) -> float:
        self.asked.append(address)
        answer = self._answers[address] = asyncio.get_running_loop().create_future()
        return await answer

    async def answer(self, address: Address) -> None:
        self._answers.pop(address).set_result(0.0)
        for _ in range(3):
            await asyncio.sleep(0)


class Story:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.prober = FakeProber()
        self.published: list[set[Address]] = []
        self.cold_start = ColdStart()
        prober = cast("Prober", self.prober)
        publish: Any = lambda healthy: self.published.append(set(healthy))  # noqa: E731
        self.backends = Backends(prober, tasks, FakeClock(), self.cold_start, publish)

    async def list(self, ready: Iterable[Address] = (), not_ready: Iterable[Address] = (), early: bool = True) -> None:
        self.backends.update(list(ready), list(not_ready), probe_early=early)
        for _ in range(3):
            await asyncio.sleep(0)


@asynccontextmanager
async def story() -> AsyncIterator[Story]:
    async with asyncio.TaskGroup() as tasks:
        told = Story(tasks)
        yield told
        told.backends.close()


async def test_a_pod_that_is_not_ready_is_used_once_it_answers() -> None:
    async with story() as told:
        await told.list(not_ready=[A])
        assert told.published == []

        await told.prober.answer(A)

        assert told.published == [{A}]


async def test_a_ready_pod_is_asked_before_it_is_used() -> None:
    async with story() as told:
        await told.list(ready=[A])

        assert told.prober.asked == [A]
        assert told.published == []


async def test_where_only_kubernetes_can_know_a_pod_that_is_not_ready_is_not_asked() -> None:
    async with story() as told:
        await told.list(not_ready=[A], early=False)
        assert told.prober.asked == []

        await told.list(ready=[A], early=False)
        assert told.prober.asked == [A]


async def test_a_healthy_pod_that_stays_listed_is_not_asked_again() -> None:
    async with story() as told:
        await told.list(not_ready=[A])
        await told.prober.answer(A)

        await told.list(ready=[A])
        await told.list(ready=[A], not_ready=[B])

        assert told.prober.asked == [A, B]
        assert told.published == [{A}]


async def test_a_pod_that_was_ready_and_is_no_longer_is_dropped_and_asked_again() -> None:
    async with story() as told:
        await told.list(ready=[A])
        await told.prober.answer(A)

        await told.list(not_ready=[A])
        assert told.published == [{A}, set()]

        await told.prober.answer(A)
        assert told.published == [{A}, set(), {A}]


async def test_a_suspect_gets_nothing_until_it_has_answered_again() -> None:
    async with story() as told:
        await told.list(ready=[A, B])
        await told.prober.answer(A)
        await told.prober.answer(B)

        told.backends.suspect(A)
        told.backends.suspect(A)
        await asyncio.sleep(0)

        assert told.published[-1] == {B}
        await told.prober.answer(A)
        assert told.published[-1] == {A, B}
        assert sorted(told.prober.asked) == [A, A, B]


async def test_a_pod_that_is_gone_is_forgotten_and_no_longer_asked() -> None:
    async with story() as told:
        await told.list(ready=[A], not_ready=[B])
        await told.prober.answer(A)

        await told.list()

        assert told.published[-1] == set()
        assert told.backends.healthy == frozenset()


async def test_the_moments_of_a_cold_start_are_noted() -> None:
    async with story() as told:
        await told.list()
        await told.list(not_ready=[A])
        await told.prober.answer(A)

        assert set(told.cold_start._moments) == {"pod_created", "sidecar_up", "app_ready"}
        await told.list()
        assert not told.cold_start._moments
