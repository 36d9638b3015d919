"""Asking the pods how busy they are, every second, a sample of them for each revision.

Which pods are asked first is `upwell.policy.sampling`'s. As many answers are needed as the sample has pods; one that
fails is made up for by the next candidate, and when there is none left the whole scrape fails: a mean over fewer pods
than meant would be wrong in the direction of "idle". The mean is extrapolated to all pods.

Where a mesh keeps single pods from being asked, as config-network says or all pods' answers show, they are asked by
their Service's name (`autoscaler.service_scrape`), until the Metric is reconciled next.

Scrapes of a revision do not overlap; one that takes longer than a second costs that revision a second's figures
and others nothing. Source of the rules: contract, autoscaler.md 5.1 to 5.3.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from autoscaler.cluster_settings import MeshConfig
from autoscaler.metrics import AutoscalerMetrics, ScrapeLabels
from autoscaler.pods import Pods, ReadyPod
from autoscaler.rounds import Rounds
from autoscaler.service_scrape import ServiceFailed, ServiceScrape
from autoscaler.timeline import Timeline
from upwell.api.names import PORT_STATS
from upwell.api.objects import Key
from upwell.api.stat import Stat, StatError, decode_stat
from upwell.clock import Clock
from upwell.http import Fetcher, FetchError, FetchResult
from upwell.policy.capacity import sample_size, scrape_average
from upwell.policy.collector import Collection, Collector, implausible
from upwell.policy.sampling import candidates
from upwell.telemetry import log
from upwell.telemetry.metrics import Histogram

__all__ = ["ScrapeFailed", "Scraper"]

LOG: Final = log.get("scraper")
SCRAPE_PERIOD: Final = 1.0
SCRAPE_TIMEOUT: Final = 3.0
PARALLEL_FETCHES: Final = 1024
"""Bounds open sockets and memory when many pods stop to answer: a thousand may hang before others have to wait."""
BODY_MOST: Final = 6 * 10 + 256 + 20
"""Bytes: six fields of ten at most, the longest pod name, and the tags."""
MEDIA_TYPE: Final = b"application/protobuf"


MESH_STATUSES: Final = (502, 503)
"""What the sidecar of a mesh answers to who is not part of it."""


class ScrapeFailed(Exception):  # noqa: N818  # it is what happened, not a class of bugs
    """There were not enough answers."""

    def __init__(self, message: str, *, by_mesh: bool = False) -> None:
        """`by_mesh`: all that was heard is what a mesh would say."""
        super().__init__(message)
        self.by_mesh = by_mesh


class _Target:
    """Where the pods of one revision are asked."""

    __slots__ = ("addressable", "duration", "service")

    def __init__(self, service: str, duration: Histogram) -> None:
        self.service = service
        """SERVICE.NAMESPACE."""
        self.duration = duration
        self.addressable = True
        """Whether single pods may be asked, as far as is known."""


class _Tally:
    """What the answers of one scrape were like."""

    __slots__ = ("answered", "by_mesh", "refused")

    def __init__(self) -> None:
        self.answered = self.by_mesh = self.refused = 0


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
        mesh: Callable[[], MeshConfig] = MeshConfig,
        services: ServiceScrape | None = None,
    ) -> None:
        """`on_error_change` is told when scraping a revision began to fail, stopped to, or fails differently.

        `mesh` gives the settings in force, `services` asks by a Service's name.
        """
        self._mesh = mesh
        self._services = services or ServiceScrape()
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
        self._targets: dict[Key, _Target] = {}
        self._slots = asyncio.Semaphore(PARALLEL_FETCHES)

    def add(self, key: Key, labels: ScrapeLabels, service: str = "") -> None:
        """Scrape for the collection of `key` from now on; `labels` are those of the time it takes.

        `service` is the Service in front of the pods.
        """
        duration = self._metrics.scrape_seconds.labels(*labels)
        self._targets[key] = _Target(f"{service}.{key.namespace}", duration)
        self._rounds.add(key)

    def remove(self, key: Key) -> None:
        self._targets.pop(key, None)
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
                group.create_task(self._scrape(key, collection, self._targets[key]), name=f"scrape of {key}")

            try:
                await self._rounds.run(turn)
            finally:
                await self._services.close()

    async def _scrape(self, key: Key, collection: Collection, target: _Target) -> None:
        began = self._clock.monotonic()
        # The second that it was due in: else two late ones would count double, and none the second after.
        second = self._timeline.at(self._rounds.due)
        try:
            stats, total = await self._sample(key, collection, target)
        except (ScrapeFailed, ServiceFailed) as error:
            self._metrics.scrapes_failed.inc()
            self._note(key, collection, str(error))
        else:
            collection.record(second, scrape_average(stats, total))
            self._note(key, collection, None)
        finally:
            self._busy.discard(key)
            target.duration.observe(self._clock.monotonic() - began)

    async def _sample(self, key: Key, collection: Collection, target: _Target) -> tuple[list[Stat], int]:
        """The sampled pods' figures, and how many pods there are."""
        mesh, pods = self._mesh(), self._pods.ready(key)
        if mesh.mode != "enabled" and (target.addressable or mesh.pods_addressable or mesh.mode == "disabled"):
            try:
                return await self._sample_pods(pods, collection, target if mesh.pods_addressable else None), len(pods)
            except ScrapeFailed as error:
                if not error.by_mesh or mesh.mode == "disabled" or mesh.pods_addressable:
                    raise
        url = f"http://{target.service}:{PORT_STATS}/metrics"
        stats = await self._services.sample(url, len(pods), collection.spec.stable_window)
        for stat in stats:
            reason = implausible(stat)
            if reason is not None:
                self._metrics.stats_refused.labels("implausible").inc()
                raise ServiceFailed(f"a statistic cannot be true: {reason}")
        if mesh.mode == "auto" and target.addressable:
            target.addressable = False
            LOG.info("pods are behind a mesh, their service is asked", revision=str(key))
        return stats, len(pods)

    async def _sample_pods(
        self, pods: Sequence[ReadyPod], collection: Collection, passthrough: _Target | None
    ) -> list[Stat]:
        wanted, tally = sample_size(len(pods)), _Tally()
        settled = self._timeline.now() - collection.spec.stable_window
        queue = candidates(pods, wanted, settled, self._rng)
        if wanted == 1:
            return [await self._first_answer(queue, passthrough, tally)]
        # One failure does not stop the others: they are cut off by their deadlines anyway.
        workers = (self._first_answer(queue, passthrough, tally) for _ in range(wanted))
        answers = await asyncio.gather(*workers, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise _exhausted(tally) if isinstance(answer, ScrapeFailed) else answer
        return [answer for answer in answers if isinstance(answer, Stat)]

    async def _first_answer(self, queue: Iterator[ReadyPod], passthrough: _Target | None, tally: _Tally) -> Stat:
        """The figures of the next candidate that answers; the candidates are shared with other callers."""
        for pod in queue:
            stat = await self._ask(pod, passthrough, tally)
            if stat is not None:
                tally.answered += 1
                return stat
        raise _exhausted(tally)

    async def _ask(self, pod: ReadyPod, passthrough: _Target | None, tally: _Tally) -> Stat | None:
        """`passthrough` names the Service that a mesh lets requests for a single pod through to."""
        host = f"[{pod.host}]" if ":" in pod.host else pod.host
        headers = [(b"Host", f"{host}:{pod.port}".encode()), (b"Accept", MEDIA_TYPE)]
        if passthrough is not None:
            headers = [(b"Host", passthrough.service.encode()), (b"Knative-Direct-Lb", b"true"), headers[1]]
        try:
            async with self._slots:
                response = await self._fetcher.fetch(
                    b"GET", pod.host, pod.port, b"/metrics", headers, timeout=SCRAPE_TIMEOUT, max_body=BODY_MOST
                )
            if response.status in MESH_STATUSES:
                tally.by_mesh += 1
                return None
            stat = _read(response)
        except (FetchError, StatError) as error:
            LOG.debug("pod not scraped", pod=pod.name, error=error)
            tally.refused += 1
            return None
        reason = implausible(stat)
        if reason is not None:
            self._metrics.stats_refused.labels("implausible").inc()
            LOG.warning("a pod's statistic cannot be true", pod=pod.name, reason=reason)
            tally.refused += 1
            return None
        return stat

    def _note(self, key: Key, collection: Collection, error: str | None) -> None:
        if error != collection.last_error:
            collection.last_error = error
            self._on_error_change(key)


def _exhausted(tally: _Tally) -> ScrapeFailed:
    if tally.by_mesh and not tally.answered and not tally.refused:
        return ScrapeFailed("all pod scrapes returned 503 error", by_mesh=True)
    return ScrapeFailed("pods exhausted")


def _read(response: FetchResult) -> Stat:
    if not 200 <= response.status < 300:
        raise StatError(f"the answer was {response.status}")
    if response.get(b"content-type") != MEDIA_TYPE:
        raise StatError("unsupported metric type")
    return decode_stat(response.body)
