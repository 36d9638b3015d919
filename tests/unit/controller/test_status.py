"""One pass over an object: what is written of its status, and when."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from controller.status import LOOK_AGAIN_SECONDS, Refused, StatusReconciler
from tests.unit.cluster.fake_api import FakeApi
from upwell.api.conditions import Conditions, find
from upwell.api.configs import read_kinds_config
from upwell.api.objects import Object, new_object
from upwell.api.resources import EVENT, ROUTE
from upwell.api.route import CONDITIONS
from upwell.clock import FakeClock
from upwell.cluster.errors import Conflict, Unavailable
from upwell.cluster.events import EventRecorder

KINDS = read_kinds_config(lambda _: {})
Work = Callable[[Object, Conditions], Awaitable[float | None]]


class Bench:
    """A route in an API server, and the reconciler that keeps its status."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeClock()
        self.events = EventRecorder(self.api, "route-controller", clock=self.clock)
        self.reconciler = StatusReconciler(self.api, ROUTE, CONDITIONS, self.events, self.clock)
        self.stored = self.api.put(ROUTE, new_object(ROUTE, "shop", "app", metadata={"generation": 1}, spec={}))

    async def run(self, work: Work, stored: Object | None = None) -> float | None:
        return await self.reconciler.run(stored or self.stored, KINDS, work)

    async def status(self) -> Object:
        self.stored = await self.api.get(ROUTE, "app", "shop")
        found: Object = self.stored.get("status") or {}
        return found


@pytest.fixture(name="bench")
def bench_fixture() -> Bench:
    return Bench()


async def all_true(route: Object, conditions: Conditions) -> None:
    for kind in CONDITIONS.dependents:
        conditions.mark_true(kind)


async def test_a_first_pass_fills_in_the_conditions_and_the_generation(bench: Bench) -> None:
    async def nothing(route: Object, conditions: Conditions) -> None:
        assert conditions.get("Ready")["reason"] == "NewObservedGenFailure"

    await bench.run(nothing)

    status = await bench.status()
    assert status["observedGeneration"] == 1
    assert [condition["type"] for condition in status["conditions"]] == [
        "AllTrafficAssigned",
        "CertificateProvisioned",
        "IngressReady",
        "Ready",
    ]


async def test_a_second_pass_with_nothing_new_writes_nothing(bench: Bench) -> None:
    await bench.run(all_true)
    await bench.status()
    bench.api.writes.clear()
    await bench.clock.advance(60)

    await bench.run(all_true)

    assert bench.api.writes == []


async def test_a_condition_that_only_passed_through_keeps_its_time(bench: Bench) -> None:
    await bench.run(all_true)
    before = await bench.status()
    await bench.clock.advance(60)

    async def wobble(route: Object, conditions: Conditions) -> None:
        conditions.mark_unknown("IngressReady", "Looking")
        conditions.mark_true("IngressReady")

    await bench.run(wobble)

    assert await bench.status() == before


async def test_the_generation_counts_as_seen_also_after_an_error(bench: Bench) -> None:
    async def fail(route: Object, conditions: Conditions) -> None:
        conditions.mark_false("IngressReady", "Broken")
        raise Unavailable(503, "Unavailable", "try later")

    with pytest.raises(Unavailable):
        await bench.run(fail)

    status = await bench.status()
    assert status["observedGeneration"] == 1
    assert find(status, "Ready")["reason"] == "Broken"


async def test_a_pass_that_fails_halfway_does_not_call_a_new_generation_ready(bench: Bench) -> None:
    """Twice in a row, so that the second one no longer meets a generation that it has not seen."""

    async def fail_halfway(route: Object, conditions: Conditions) -> None:
        conditions.mark_true("AllTrafficAssigned")
        raise Unavailable(503, "Unavailable", "try later")

    await bench.run(all_true)
    await bench.status()
    await bench.api.patch(ROUTE, "app", "shop", {"metadata": {"generation": 2}})
    for _ in range(2):
        await bench.status()
        with pytest.raises(Unavailable):
            await bench.run(fail_halfway)
        status = await bench.status()
        assert status["observedGeneration"] == 2
        assert find(status, "Ready")["status"] == "Unknown"
        assert find(status, "Ready")["reason"] == "NewObservedGenFailure"

    await bench.run(all_true)
    assert find(await bench.status(), "Ready")["status"] == "True"


async def test_a_pass_that_fails_leaves_what_was_ready_ready(bench: Bench) -> None:
    async def fail(route: Object, conditions: Conditions) -> None:
        raise Unavailable(503, "Unavailable", "try later")

    await bench.run(all_true)
    await bench.status()
    with pytest.raises(Unavailable):
        await bench.run(fail)
    assert find(await bench.status(), "Ready")["status"] == "True"


async def test_something_foreign_in_the_way_is_told_and_looked_at_again(bench: Bench) -> None:
    async def refuse(route: Object, conditions: Conditions) -> None:
        conditions.mark_false("IngressReady", "NotOwned", "There is an existing Ingress.")
        raise Refused('route: "app" does not own Ingress: "app"')

    writer = asyncio.create_task(bench.events.run())
    again = await bench.run(refuse)
    for _ in range(10):
        await asyncio.sleep(0)
    writer.cancel()

    told = (await bench.api.list(EVENT, "shop"))[0]
    assert again == LOOK_AGAIN_SECONDS
    assert find(await bench.status(), "Ready")["reason"] == "NotOwned"
    assert [(event["type"], event["reason"]) for event in told] == [("Warning", "InternalError")]


async def test_a_label_that_changes_meanwhile_does_not_lose_the_status(bench: Bench) -> None:
    async def meanwhile(route: Object, conditions: Conditions) -> None:
        await bench.api.patch(ROUTE, "app", "shop", {"metadata": {"labels": {"new": "label"}}})
        await all_true(route, conditions)

    await bench.run(meanwhile)

    assert find(await bench.status(), "Ready")["status"] == "True"
    assert bench.stored["metadata"]["labels"] == {"new": "label"}


async def test_a_spec_that_changes_meanwhile_is_judged_anew(bench: Bench) -> None:
    async def meanwhile(route: Object, conditions: Conditions) -> None:
        await bench.api.patch(ROUTE, "app", "shop", {"metadata": {"generation": 2}})
        await all_true(route, conditions)

    with pytest.raises(Conflict):
        await bench.run(meanwhile)

    assert await bench.status() == {}
