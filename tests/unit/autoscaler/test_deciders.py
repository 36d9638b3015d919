"""Deciders: regular decisions, decisions at once, and none without figures."""

import asyncio

import pytest

from autoscaler.deciders import Deciders
from autoscaler.metrics import AutoscalerMetrics
from autoscaler.pods import Pods
from autoscaler.timeline import Timeline
from tests.unit.autoscaler.conftest import pod
from upwell.api.objects import Key
from upwell.api.stat import Stat
from upwell.clock import FakeClock
from upwell.policy.autoscaler_config import AutoscalerConfig
from upwell.policy.collector import Collector
from upwell.policy.resolution import Settings, resolve

HELLO = Key("default", "hello")
LABELS = ("service", "configuration", "hello", "default")


class Scene:
    """One revision with a target of 7 per pod, of which a pod bears 10."""

    def __init__(self, clock: FakeClock, metrics: AutoscalerMetrics) -> None:
        self.clock = clock
        self.timeline = Timeline(clock)
        self.collector: Collector[Key] = Collector()
        self.pods = Pods(lambda key: None, lambda gone: None)
        self.changes: list[int] = []
        self.deciders = Deciders(self.collector, self.pods, metrics, clock, self.timeline, self.note)
        self.settings: Settings = resolve(AutoscalerConfig(), {}, container_concurrency=10)

    def note(self, key: Key) -> None:
        decider = self.deciders.get(key)
        assert decider is not None
        self.changes.append(decider.desired_scale)

    def start(self, *, pods: int = 0) -> None:
        for number in range(pods):
            self.pods.changed(None, pod(f"p{number}"))
        self.deciders.update(HELLO, self.settings, LABELS)
        self.collector.update(HELLO, self.settings.collection, self.timeline.now())

    def report(self, concurrency: float) -> None:
        self.collector.record(HELLO, self.timeline.now(), Stat("activator", concurrency))
        self.deciders.poke(HELLO, concurrency)

    async def after(self, seconds: float) -> None:
        task = asyncio.create_task(self.deciders.run())
        await self.clock.advance(seconds)
        task.cancel()


@pytest.fixture
def scene(clock: FakeClock, metrics: AutoscalerMetrics) -> Scene:
    return Scene(clock, metrics)


async def test_without_figures_there_is_no_decision(scene: Scene) -> None:
    scene.start(pods=3)

    await scene.after(10)

    decider = scene.deciders.get(HELLO)
    assert decider is not None
    assert (decider.desired_scale, list(decider.decisions), scene.changes) == (-1, [], [])


async def test_a_report_for_a_revision_at_zero_is_decided_on_at_once(scene: Scene) -> None:
    scene.start()
    scene.collector.record(HELLO, scene.timeline.now(), Stat("activator", 0))
    await scene.after(1.9)
    scene.changes.clear()

    scene.report(1)

    assert scene.changes == [1]
    scene.report(20)
    assert scene.changes == [1], "with pods on their way the next regular decision is soon enough"


async def test_an_autoscaler_that_just_started_wakes_a_revision_without_pods_at_once(scene: Scene) -> None:
    scene.start()
    scene.report(1)

    assert scene.changes == [1]


async def test_an_autoscaler_that_just_started_does_not_hurry_where_pods_run(scene: Scene) -> None:
    scene.start(pods=4)
    scene.report(1)

    assert scene.changes == []
    await scene.after(2)
    assert scene.changes == [4], "more than one pod at the start holds for a stable window"


async def test_a_report_of_nothing_wakes_nobody(scene: Scene) -> None:
    scene.start()
    scene.report(0)

    assert scene.changes == []


async def test_a_change_of_the_sign_of_the_room_for_bursts_is_told_too(scene: Scene) -> None:
    scene.settings = resolve(
        AutoscalerConfig(), {"autoscaling.knative.dev/target-burst-capacity": "5"}, container_concurrency=10
    )
    scene.start(pods=1)
    scene.report(6)
    await scene.after(2)
    assert scene.changes == [1], "6 beside a burst of 5 does not fit a pod that bears 10"
    scene.collector.record(HELLO, scene.timeline.now(), Stat("activator", 4))

    await scene.after(1.99)

    assert scene.changes == [1, 1], "the average of 6 and 4 does"


async def test_decisions_are_remembered_with_their_numbers_and_bounded(scene: Scene) -> None:
    scene.start(pods=1)
    for number in range(50):
        scene.collector.record(HELLO, scene.timeline.now(), Stat("activator", 7 * number))
        scene.deciders.tick(HELLO)
        scene.deciders.tick(HELLO)

    decider = scene.deciders.get(HELLO)
    assert decider is not None
    assert len(decider.decisions) == 16
    desired = [decision.desired for _, decision in decider.decisions]
    assert len(set(desired)) == 16, "decisions that say the same are kept once"
    assert decider.latest is not None
    assert decider.latest.desired == desired[-1] == decider.desired_scale


async def test_a_deleted_revision_is_decided_on_no_more(scene: Scene) -> None:
    scene.start(pods=1)
    scene.report(5)
    scene.deciders.delete(HELLO)

    await scene.after(4)

    assert scene.deciders.get(HELLO) is None
    assert scene.changes == []
