"""Scraping: who is asked, what an answer has to look like, and what becomes of failures."""

import asyncio
import random

import pytest

from autoscaler.metrics import AutoscalerMetrics
from autoscaler.pods import Pods, ReadyPod
from autoscaler.scraper import Scraper
from autoscaler.timeline import Timeline
from tests.unit.autoscaler.conftest import PROTOBUF, FakeFetcher, pod
from upwell.api.objects import Key
from upwell.api.stat import Stat, encode_stat
from upwell.clock import FakeClock
from upwell.http import FetchResult
from upwell.policy.collector import Averages, CollectionSpec, Collector
from upwell.policy.sampling import candidates

HELLO = Key("default", "hello")


class Scene:
    """One revision whose pods are scraped."""

    def __init__(self, clock: FakeClock, fetcher: FakeFetcher, metrics: AutoscalerMetrics) -> None:
        self.clock = clock
        self.fetcher = fetcher
        self.timeline = Timeline(clock)
        self.collector: Collector[Key] = Collector()
        self.collector.update(HELLO, CollectionSpec(60, 6), self.timeline.now())
        self.pods = Pods(lambda key: None, lambda gone: None)
        self.error_changes: list[Key] = []
        self.scraper = Scraper(
            fetcher,
            self.collector,
            self.pods,
            metrics,
            clock,
            self.timeline,
            self.error_changes.append,
            random.Random(1),
        )
        self.scraper.add(HELLO, ("service", "configuration", "default"))

    def add_pod(self, port: int, answer: FetchResult | None) -> None:
        self.pods.changed(None, pod(f"p{port}", port=port))
        if answer is not None:
            self.fetcher.answers["10.0.0.1", port] = answer

    async def after(self, seconds: float) -> Averages | None:
        task = asyncio.create_task(self.scraper.run())
        await self.clock.advance(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return self.collector.collections[HELLO].averages("concurrency", self.timeline.now())


@pytest.fixture
def scene(clock: FakeClock, fetcher: FakeFetcher, metrics: AutoscalerMetrics) -> Scene:
    return Scene(clock, fetcher, metrics)


def busy(concurrency: float) -> FetchResult:
    return FetchResult(200, PROTOBUF, encode_stat(Stat("pod", concurrency)))


async def test_every_second_the_pods_load_is_recorded(scene: Scene) -> None:
    scene.add_pod(1, busy(3))
    scene.add_pod(2, busy(5))

    assert await scene.after(2.9) == Averages(8, 8)
    assert len(scene.fetcher.asked) == 6
    assert scene.fetcher.targets[0] == b"/metrics"
    assert scene.fetcher.headers[0][b"Accept"] == b"application/protobuf"


async def test_of_many_pods_a_sample_stands_for_all(scene: Scene) -> None:
    for port in range(100):
        scene.add_pod(port, busy(2))

    assert await scene.after(0.5) == Averages(200, 200)
    assert len(scene.fetcher.asked) == 14


async def test_another_pod_makes_up_for_one_that_does_not_answer(scene: Scene) -> None:
    for port in range(10):
        scene.add_pod(port, None if port < 3 else busy(1))

    assert await scene.after(0.5) == Averages(10, 10)
    assert scene.error_changes == []


@pytest.mark.parametrize(
    "answer",
    [
        None,
        FetchResult(503, PROTOBUF, b""),
        FetchResult(200, [(b"Content-Type", b"text/plain")], encode_stat(Stat("pod", 1))),
        FetchResult(200, PROTOBUF, b"\xff"),
        busy(-1),
        busy(float("nan")),
    ],
    ids=["refused", "503", "wrong type", "not protobuf", "negative", "not a number"],
)
async def test_without_enough_answers_nothing_is_recorded_and_the_metric_says_why(
    scene: Scene, answer: FetchResult | None
) -> None:
    scene.add_pod(1, busy(3))
    scene.add_pod(2, answer)

    assert await scene.after(2.5) is None
    assert scene.collector.collections[HELLO].last_error == "pods exhausted"
    assert scene.error_changes == [HELLO]


async def test_no_pods_is_no_error(scene: Scene) -> None:
    scene.collector.collections[HELLO].last_error = "pods exhausted"

    assert await scene.after(1) is None
    assert scene.collector.collections[HELLO].last_error is None


async def test_pods_are_not_asked_where_the_activator_sees_everything(scene: Scene) -> None:
    scene.collector.update(HELLO, CollectionSpec(60, 6, scrapes_pods=False), scene.timeline.now())
    scene.add_pod(1, busy(3))

    await scene.after(2)

    assert scene.fetcher.asked == []


def test_settled_pods_are_asked_before_young_ones() -> None:
    pods = [ReadyPod(f"p{number}", "10.0.0.1", 9090, float(number)) for number in range(20)]

    order = list(candidates(pods, 5, settled=9, rng=random.Random(1)))

    assert {one.started for one in order[:10]} == set(range(10))
    assert [one.started for one in order[10:]] == list(range(10, 20))
    assert [one.started for one in order[:10]] != sorted(range(10))
