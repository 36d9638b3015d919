"""Asking the pods how busy they are, every second, a sample of them for each revision.

Pods older than the stable window are asked before younger ones, whose figures are not settled yet. As many
answers are needed as the sample has pods; one that fails is made up for by the next candidate, and when there is none
left the whole scrape fails: a mean over fewer pods than meant would be wrong in the direction of "idle". The mean
is extrapolated to all pods.

Scrapes of a revision do not overlap; one that takes longer than a second costs that revision a second's figures
and others nothing. Source of the rules: contract, autoscaler.md 5.1 to 5.3.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from autoscaler.metrics import AutoscalerMetrics, ScrapeLabels
from autoscaler.pods import Pods, ReadyPod
from autoscaler.rounds import Rounds
from autoscaler.timeline import Timeline
from upwell.api.objects import Key
from upwell.api.stat import Stat, StatError, decode_stat
from upwell.clock import Clock
from upwell.http import Fetcher, FetchError, FetchResult
from upwell.policy.capacity import sample_size, scrape_average
from upwell.policy.collector import Collection, Collector, implausible
from upwell.telemetry import log
from upwell.telemetry.metrics import Histogram

__all__ = ["ScrapeFailed", "Scraper", "candidates"]

LOG: Final = log.get("scraper")
SCRAPE_PERIOD: Final = 1.0
SCRAPE_TIMEOUT: Final = 3.0
PARALLEL_FETCHES: Final = 256
"""Bounds open sockets and memory when many pods stop to answer; at 5 ms each it still makes 50,000 scrapes a second."""
BODY_MOST: Final = 6 * 10 + 256 + 20
"""Bytes: six fields of ten at most, the longest pod name, and the tags."""
MEDIA_TYPE: Final = b"application/protobuf"


class ScrapeFailed(Exception):  # noqa: N818  # it is what happened, not a class of bugs
    """There were not enough answers."""


class Scraper:
    """Scrapes for every collection that wants it."""

    def __init__(
        self,
        fetcher: Fetcher,
        collector: Collector[Key],
        pods: Pods,
        metrics: AutoscalerMetrics,
        clock: Clock,
        timeline: Timeline,
        on_error_change: Callable[[Key], None],
        rng: random.Random | None = None,
    ) -> None:
        """`on_error_change` is told when scraping a revision began to fail, stopped to, or fails differently."""
        self._fetcher = fetcher
        self._collector = collector
        self._pods = pods
        self._metrics = metrics
        self._clock = clock
        self._timeline = timeline
        self._on_error_change = on_error_change
        self._rng = rng or random.Random()
        self._rounds = Rounds(SCRAPE_PERIOD, clock)
        self._busy: set[Key] = set()
        self._durations: dict[Key, Histogram] = {}
        self._slots = asyncio.Semaphore(PARALLEL_FETCHES)

    def add(self, key: Key, labels: ScrapeLabels) -> None:
        """Scrape for the collection of `key` from now on; `labels` are those of the time it takes."""
        self._durations[key] = self._metrics.scrape_seconds.labels(*labels)
        self._rounds.add(key)

    def remove(self, key: Key) -> None:
        self._durations.pop(key, None)
        self._rounds.remove(key)

    async def run(self) -> None:
        """Scrape every second, until cancelled."""
        async with asyncio.TaskGroup() as group:

            def turn(key: Key) -> None:
                collection = self._collector.collections.get(key)
                if collection is None or key in self._busy:
                    return
                if not collection.spec.scrapes_pods or not self._pods.ready(key):
                    self._note(key, collection, None)
                    return
                self._busy.add(key)
                group.create_task(self._scrape(key, collection, self._durations[key]), name=f"scrape of {key}")

            await self._rounds.run(turn)

    async def _scrape(self, key: Key, collection: Collection, duration: Histogram) -> None:
        began = self._clock.monotonic()
        try:
            stats, total = await self._sample(key, collection)
        except ScrapeFailed as error:
            self._metrics.scrapes_failed.inc()
            self._note(key, collection, str(error))
        else:
            collection.record(self._timeline.now(), scrape_average(stats, total))
            self._note(key, collection, None)
        finally:
            self._busy.discard(key)
            duration.observe(self._clock.monotonic() - began)

    async def _sample(self, key: Key, collection: Collection) -> tuple[list[Stat], int]:
        """The sampled pods' figures, and how many pods there are."""
        pods = self._pods.ready(key)
        wanted = sample_size(len(pods))
        settled = self._timeline.now() - collection.spec.stable_window
        queue = iter(candidates(pods, wanted, settled, self._rng))
        if wanted == 1:
            return [await self._first_answer(queue)], len(pods)
        # One failure does not stop the others: they are cut off by their deadlines anyway.
        answers = await asyncio.gather(*(self._first_answer(queue) for _ in range(wanted)), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, Stat)], len(pods)

    async def _first_answer(self, queue: Iterator[ReadyPod]) -> Stat:
        """The figures of the next candidate that answers; the candidates are shared with other callers."""
        for pod in queue:
            stat = await self._ask(pod)
            if stat is not None:
                return stat
        raise ScrapeFailed("pods exhausted")

    async def _ask(self, pod: ReadyPod) -> Stat | None:
        host = f"[{pod.host}]" if ":" in pod.host else pod.host
        headers = [(b"Host", f"{host}:{pod.port}".encode()), (b"Accept", MEDIA_TYPE)]
        try:
            async with self._slots:
                response = await self._fetcher.fetch(
                    b"GET", pod.host, pod.port, b"/metrics", headers, timeout=SCRAPE_TIMEOUT, max_body=BODY_MOST
                )
            stat = _read(response)
        except (FetchError, StatError) as error:
            LOG.debug("pod not scraped", pod=pod.name, error=error)
            return None
        reason = implausible(stat)
        if reason is not None:
            self._metrics.stats_refused.labels("implausible").inc()
            LOG.warning("a pod's statistic cannot be true", pod=pod.name, reason=reason)
            return None
        return stat

    def _note(self, key: Key, collection: Collection, error: str | None) -> None:
        if error != collection.last_error:
            collection.last_error = error
            self._on_error_change(key)


def candidates(pods: Sequence[ReadyPod], wanted: int, settled: float, rng: random.Random) -> list[ReadyPod]:
    """The order in which to ask: pods that started by `settled` first, then younger ones; a fair choice among them."""
    old = [pod for pod in pods if pod.started <= settled]
    young = [pod for pod in pods if pod.started > settled]
    rng.shuffle(young if len(old) < wanted else old)
    return old + young


def _read(response: FetchResult) -> Stat:
    if not 200 <= response.status < 300:
        raise StatError(f"the answer was {response.status}")
    if response.get(b"content-type") != MEDIA_TYPE:
        raise StatError("unsupported metric type")
    return decode_stat(response.body)
