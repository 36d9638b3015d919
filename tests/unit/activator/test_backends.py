"""Which pods are healthy, as Kubernetes lists them and as they answer."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from activator.backends import Backends, Reach
from activator.cold_start import ColdStart
from activator.probing import Answered, Heard, Prober
from upwell.clock import FakeClock
from upwell.cluster.endpoints import Address

A, B = Address("10.0.0.1", 8012), Address("10.0.0.2", 8012)
SERVICE = Address("10.96.0.1", 80)


class FakeProber:
    """Pods that answer when the test says so, and a Service that answers when the test has opened it."""

    frequency = 0.2
    recheck = 5.0

    def __init__(self) -> None:
        self.asked: list[Address] = []
        self.open: set[Address] = set()
        """Addresses at which `ask` is answered yes."""
        self.asked_once: list[Address] = []
        self._answers: dict[Address, asyncio.Future[float]] = {}
        self._heard: dict[Address, Heard] = {}

    async def until_ready(self, address: Address, host: bytes | None, heard: Heard) -> float:
        self.asked.append(address)
        self._heard[address] = heard
        self._answers[address] = asyncio.get_running_loop().create_future()
        return await self._answers[address]

    async def ask(self, address: Address) -> Answered:
        self.asked_once.append(address)
        return Answered.READY if address in self.open else Answered.NOTHING

    async def answer(self, address: Address) -> None:
        self._answers.pop(address).set_result(0.0)
        await settle()

    async def fail(self, address: Address, answered: Answered = Answered.NOTHING) -> None:
        """One more probe of this pod was in vain."""
        self._heard[address](address, answered)
        await settle()


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


class Story:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.prober = FakeProber()
        self.published: list[set[Address]] = []
        self.service: tuple[Address, int] | None = None
        """Where requests go, and how many pods are behind it; None while they go to pods."""
        self.cold_start = ColdStart()
        self.clock = FakeClock()
        prober = cast("Prober", self.prober)
        self.backends = Backends(prober, tasks, self.clock, self.cold_start, self)

    def use_pods(self, addresses: Iterable[Address]) -> None:
        self.service = None
        self.published.append(set(addresses))

    def use_service(self, address: Address, pods: int) -> None:
        self.service = (address, pods)

    async def list(
        self,
        ready: Iterable[Address] = (),
        not_ready: Iterable[Address] = (),
        *,
        early: bool = True,
        **reach: Any,
    ) -> None:
        self.backends.update(list(ready), list(not_ready), Reach(probe_early=early, **reach))
        await settle()


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


async def in_service_mode(told: Story, *ready: Address) -> None:
    """Bring the story to where requests go to the Service."""
    told.prober.open.add(SERVICE)
    await told.list(ready=ready, service=SERVICE)
    await told.prober.fail(ready[0])
    assert told.service == (SERVICE, len(ready))


async def test_when_no_ready_pod_can_be_reached_requests_go_to_the_service_that_answers() -> None:
    async with story() as told:
        await told.list(ready=[A, B], service=SERVICE)
        assert told.prober.asked_once == []

        await told.prober.fail(A)
        assert told.prober.asked_once == [SERVICE]
        assert told.service is None
        told.prober.open.add(SERVICE)
        await told.clock.advance(0.2)

        assert told.service == (SERVICE, 2)


async def test_the_service_is_not_asked_for_a_pod_that_is_only_starting() -> None:
    async with story() as told:
        await told.list(not_ready=[A], service=SERVICE)

        await told.prober.fail(A)

        assert told.prober.asked_once == []


@pytest.mark.parametrize("answered", [Answered.NOT_READY, Answered.HELD])
async def test_a_pod_that_answers_for_itself_shows_that_there_is_no_mesh(answered: Answered) -> None:
    async with story() as told:
        await told.list(ready=[A, B], service=SERVICE)

        await told.prober.fail(A, answered)
        await told.prober.fail(B)

        assert told.prober.asked_once == []


async def test_what_a_mesh_would_say_does_not() -> None:
    async with story() as told:
        told.prober.open.add(SERVICE)
        await told.list(ready=[A], service=SERVICE)

        await told.prober.fail(A, Answered.MESH)

        assert told.service == (SERVICE, 1)


async def test_the_service_is_not_asked_while_one_pod_is_healthy() -> None:
    async with story() as told:
        await told.list(ready=[A, B], service=SERVICE)
        await told.prober.answer(A)

        await told.prober.fail(B)

        assert told.prober.asked_once == []
        assert told.service is None


async def test_a_pod_that_can_be_reached_after_all_ends_the_asking_of_the_service() -> None:
    async with story() as told:
        await told.list(ready=[A], service=SERVICE)
        await told.prober.fail(A)
        await told.prober.answer(A)
        told.prober.open.add(SERVICE)

        await told.clock.advance(1)

        assert told.service is None
        assert told.published[-1] == {A}
        assert told.prober.asked_once == [SERVICE]


async def test_requests_go_back_to_pods_once_one_can_be_reached() -> None:
    async with story() as told:
        await in_service_mode(told, A, B)
        await told.clock.advance(5.1)
        assert told.service == (SERVICE, 2)
        assert set(told.prober.asked_once) & {A, B}

        told.prober.open |= {A, B}
        await told.clock.advance(5.1)

        assert told.service is None
        assert told.published[-1] == {A, B}


async def test_those_that_stay_out_of_reach_are_asked_further_after_the_return() -> None:
    async with story() as told:
        await in_service_mode(told, A)
        told.prober.asked.clear()
        told.prober.open.add(A)
        await told.list(ready=[A], not_ready=[B], service=SERVICE)

        await told.clock.advance(5.1)

        assert told.published[-1] == {A}
        assert told.prober.asked == [B]


async def test_the_service_is_told_how_many_pods_are_behind_it() -> None:
    async with story() as told:
        await in_service_mode(told, A)

        await told.list(ready=[A, B], service=SERVICE)
        assert told.service == (SERVICE, 2)
        await told.list(not_ready=[A, B], service=SERVICE)
        assert told.service == (SERVICE, 0)


async def test_without_any_pod_the_service_is_forgotten() -> None:
    async with story() as told:
        await in_service_mode(told, A)

        await told.list(service=SERVICE)

        assert told.service is None
        assert told.published[-1] == set()
        told.prober.asked.clear()
        await told.list(not_ready=[A], service=SERVICE)
        assert told.prober.asked == [A]


async def test_a_service_that_refuses_is_left_and_everything_found_out_anew() -> None:
    async with story() as told:
        await in_service_mode(told, A)
        told.prober.asked.clear()

        told.backends.suspect(SERVICE)
        await settle()

        assert told.service is None
        assert told.prober.asked == [A]


async def test_a_service_with_a_new_address_is_asked_at_that() -> None:
    async with story() as told:
        await in_service_mode(told, A)
        other = Address("10.96.0.2", 80)
        told.prober.open.add(other)

        await told.list(ready=[A], service=other)
        await told.prober.fail(A)

        assert told.service == (other, 1)


async def test_where_the_mesh_is_known_pods_are_never_asked() -> None:
    async with story() as told:
        told.prober.open.add(SERVICE)
        await told.list(ready=[A], pods=False, service=SERVICE)

        assert told.prober.asked == []
        assert told.service == (SERVICE, 1)
        await told.clock.advance(60)
        assert A not in told.prober.asked_once


async def test_where_there_is_no_mesh_a_ready_pod_is_used_without_being_asked() -> None:
    async with story() as told:
        await told.list(ready=[A], not_ready=[B], trusted=True)

        assert told.published == [{A}]
        assert told.prober.asked == [B]


async def test_a_trusted_pod_that_refused_is_asked_all_the_same() -> None:
    async with story() as told:
        await told.list(ready=[A], trusted=True)

        told.backends.suspect(A)
        await told.list(ready=[A], trusted=True)
        assert told.published[-1] == set()
        await told.prober.answer(A)

        assert told.published[-1] == {A}
