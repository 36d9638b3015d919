"""Statistics through a mesh: by the Service's name, from different pods, the settled ones first."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from autoscaler.cluster_settings import MeshConfig
from autoscaler.metrics import AutoscalerMetrics
from autoscaler.pods import Pods
from autoscaler.scraper import Scraper
from autoscaler.service_scrape import ServiceFailed, ServiceScrape
from autoscaler.timeline import Timeline
from tests.unit.autoscaler.conftest import PROTOBUF, FakeFetcher, pod
from upwell.api.objects import Key
from upwell.api.stat import Stat, StatError, encode_stat
from upwell.clock import FakeClock
from upwell.http import FetchResult
from upwell.policy.collector import CollectionSpec, Collector

HELLO = Key("default", "hello")
MESH = FetchResult(503, [], b"")


class Answers:
    """What the Service answers, one after the other; an exception is raised."""

    def __init__(self, *answers: Stat | Exception) -> None:
        self.urls: list[str] = []
        self._answers: Iterator[Stat | Exception] = iter(answers)

    async def __call__(self, url: str) -> Stat:
        self.urls.append(url)
        answer = next(self._answers, None) or StatError("nobody left")
        if isinstance(answer, Exception):
            raise answer
        return answer


def stat(name: str, *, load: float = 1, uptime: float = 100) -> Stat:
    return Stat(name, load, 0, load, 0, uptime)


async def test_a_pod_counts_once_and_settled_ones_come_first() -> None:
    answers = Answers(stat("a"), stat("a"), stat("young", uptime=5), stat("b"), stat("c"))

    found = await ServiceScrape(answers).sample("http://hello.default:9090/metrics", 3, 60)

    assert [one.pod_name for one in found] == ["a", "b", "c"]


async def test_young_pods_fill_up_what_is_missing() -> None:
    answers = Answers(*(stat(name, uptime=5) for name in ("a", "b")), *(stat("a") for _ in range(40)))

    found = await ServiceScrape(answers).sample("http://hello.default:9090/metrics", 2, 60)

    assert {one.pod_name for one in found} == {"a", "b"}


@pytest.mark.parametrize("failure", [StatError("the answer was 500"), OSError("refused"), TimeoutError("too late")])
async def test_what_fails_ten_times_fails_the_scrape(failure: Exception) -> None:
    answers = Answers(*[failure] * 10)

    with pytest.raises(ServiceFailed, match=r"unsuccessful scrape, sampleSize=1: "):
        await ServiceScrape(answers).sample("http://hello.default:9090/metrics", 1, 60)
    assert len(answers.urls) == 10


async def test_the_same_pod_over_and_over_is_not_a_sample() -> None:
    answers = Answers(*(stat("a") for _ in range(40)))

    with pytest.raises(ServiceFailed, match="did not receive stat from an unscraped pod"):
        await ServiceScrape(answers).sample("http://hello.default:9090/metrics", 2, 60)


class Scene:
    """One revision of two pods, scraped for a while under some settings."""

    def __init__(self, clock: FakeClock, fetcher: FakeFetcher, metrics: AutoscalerMetrics, mesh: MeshConfig) -> None:
        self.clock, self.fetcher = clock, fetcher
        timeline = Timeline(clock)
        self.collector: Collector[Key] = Collector()
        self.collection = self.collector.update(HELLO, CollectionSpec(60, 6), timeline.now())
        pods = Pods(lambda key: None, lambda gone: None)
        for port in (1, 2):
            pods.changed(None, pod(f"p{port}", port=port))
        self.service = Answers(*(stat(name, load=4) for name in ("p1", "p2")))
        self.scraper = Scraper(
            fetcher,
            self.collector,
            pods,
            metrics,
            clock,
            timeline,
            lambda key: None,
            random.Random(1),
            mesh=lambda: mesh,
            services=ServiceScrape(self.service),
        )
        self.scraper.add(HELLO, ("service", "configuration", "default"), "hello-private")
        self.now = timeline.now

    async def once(self) -> float | None:
        """The concurrency that is known after one scrape."""
        task = asyncio.create_task(self.scraper.run())
        await self.clock.advance(0.9)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        averages = self.collection.averages("concurrency", self.now())
        return averages.stable if averages else None


def answer_all(fetcher: FakeFetcher, answer: FetchResult) -> None:
    for port in (1, 2):
        fetcher.answers["10.0.0.1", port] = answer


async def test_where_a_mesh_answers_for_all_pods_the_service_is_asked(
    clock: FakeClock, fetcher: FakeFetcher, metrics: AutoscalerMetrics
) -> None:
    scene = Scene(clock, fetcher, metrics, MeshConfig())
    answer_all(fetcher, MESH)

    assert await scene.once() == 8
    assert set(scene.service.urls) == {"http://hello-private.default:9090/metrics"}
    asked = len(fetcher.asked)
    await scene.once()
    assert len(fetcher.asked) == asked, "the pods are not asked any more"


async def test_with_the_mesh_switched_off_only_pods_are_asked_and_switched_on_only_the_service(
    clock: FakeClock, fetcher: FakeFetcher, metrics: AutoscalerMetrics
) -> None:
    scene = Scene(clock, fetcher, metrics, MeshConfig("disabled"))
    answer_all(fetcher, MESH)
    assert await scene.once() is None
    assert scene.collection.last_error == "all pod scrapes returned 503 error"
    assert scene.service.urls == []

    fetcher.asked.clear()
    assert await Scene(clock, fetcher, metrics, MeshConfig("enabled")).once() == 8
    assert fetcher.asked == []


async def test_a_mesh_that_lets_requests_through_to_pods_is_told_which_service_they_mean(
    clock: FakeClock, fetcher: FakeFetcher, metrics: AutoscalerMetrics
) -> None:
    scene = Scene(clock, fetcher, metrics, MeshConfig("auto", pods_addressable=True))
    answer_all(fetcher, FetchResult(200, PROTOBUF, encode_stat(stat("p", load=3))))

    assert await scene.once() == 6
    assert fetcher.headers[0][b"Host"] == b"hello-private.default"
    assert fetcher.headers[0][b"Knative-Direct-Lb"] == b"true"


async def test_one_pod_that_fails_by_itself_is_no_mesh(
    clock: FakeClock, fetcher: FakeFetcher, metrics: AutoscalerMetrics
) -> None:
    scene = Scene(clock, fetcher, metrics, MeshConfig())
    answer_all(fetcher, MESH)
    del fetcher.answers["10.0.0.1", 2]

    assert await scene.once() is None
    assert scene.collection.last_error == "pods exhausted"
    assert scene.service.urls == []
