"""The proof that the activator is in the path: every address must answer as one."""

import asyncio

import pytest

from autoscaler.activator_probe import ActivatorProbe
from tests.unit.autoscaler.conftest import FakeFetcher
from upwell.api.objects import Key
from upwell.clock import FakeClock
from upwell.cluster.endpoints import Address
from upwell.http import FetchResult

HELLO = Key("default", "hello")
ACTIVATOR = FetchResult(200, [], b"activator")
SIDECAR = FetchResult(200, [], b"queue")


class Scene:
    def __init__(self, clock: FakeClock, fetcher: FakeFetcher) -> None:
        self.clock = clock
        self.fetcher = fetcher
        self.addresses = [Address("10.0.0.1", 8012), Address("10.0.0.2", 8012)]
        self.told: list[Key] = []
        self.probe = ActivatorProbe(fetcher, lambda service, port_name: self.addresses, clock, self.told.append)

    def answers(self, *answers: FetchResult) -> None:
        for address, answer in zip(self.addresses, answers, strict=True):
            self.fetcher.answers[address] = answer

    async def ask(self, seconds: float = 0.5) -> None:
        task = asyncio.create_task(self.probe.run())
        await asyncio.sleep(0)
        self.probe.ask(HELLO, HELLO, "http")
        self.probe.ask(HELLO, HELLO, "http")
        await self.clock.advance(seconds)
        self.proven = self.probe.is_proven(HELLO)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def scene(clock: FakeClock, fetcher: FakeFetcher) -> Scene:
    return Scene(clock, fetcher)


async def test_all_addresses_have_to_answer_as_activators(scene: Scene) -> None:
    scene.answers(ACTIVATOR, ACTIVATOR)

    await scene.ask()

    assert scene.proven
    assert scene.told == [HELLO]
    assert len(scene.fetcher.asked) == 2
    assert scene.fetcher.targets[0] == b"//healthz"
    assert scene.fetcher.headers[0][b"K-Network-Probe"] == b"activator"
    assert scene.fetcher.headers[0][b"User-Agent"] == b"Knative-Autoscaling-Probe"


async def test_one_address_that_leads_to_a_pod_spoils_it(scene: Scene) -> None:
    scene.answers(ACTIVATOR, SIDECAR)

    await scene.ask(10.5)

    assert not scene.proven
    assert scene.told == []
    assert len(scene.fetcher.asked) == 22, "asked every second"


async def test_no_address_is_no_proof(scene: Scene) -> None:
    scene.addresses = []

    await scene.ask(3)

    assert not scene.proven


async def test_after_45_seconds_the_reconciler_has_to_ask_anew(scene: Scene) -> None:
    await scene.ask(46)

    assert not scene.proven
    assert scene.told == [HELLO]


async def test_a_proof_grows_old(scene: Scene) -> None:
    scene.answers(ACTIVATOR, ACTIVATOR)

    await scene.ask(3.5)

    assert scene.told == [HELLO]
    assert not scene.proven
