"""Reconciling Metrics: each one that exists is collected for, and its condition says whether that works.

Source: contract, autoscaler.md 3.2.
"""

from collections.abc import Callable
from typing import Any

from autoscaler.scraper import Scraper
from autoscaler.timeline import Timeline
from upwell.api import metric
from upwell.api.conditions import keep_transition_times
from upwell.api.names import LABEL_CONFIGURATION, LABEL_SERVICE
from upwell.api.objects import Key, Object, annotations_of, is_deleting, labels_of, mutable, namespace_of
from upwell.api.resources import METRIC
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.informer import Informer
from upwell.cluster.status import apply_status
from upwell.policy import annotations
from upwell.policy.collector import CollectionSpec, Collector
from upwell.policy.memory import RevisionMemory
from upwell.policy.resolution import normalised_aggregation

__all__ = ["Collecting"]


class Collecting:
    """See the module; `reconcile` is for a Reconciler."""

    def __init__(
        self,
        client: Client,
        collected: Informer,
        collector: Collector[Key],
        scraper: Scraper,
        clock: Clock,
        timeline: Timeline,
        recall: Callable[[Key], tuple[RevisionMemory | None, bool]] = lambda key: (None, False),
    ) -> None:
        """`collected` are the Metrics; `recall` gives what a predecessor knew of a revision."""
        self._recall = recall
        self._client = client
        self._collected = collected
        self._collector = collector
        self._scraper = scraper
        self._clock = clock
        self._timeline = timeline

    async def reconcile(self, key: Key) -> float | None:
        """Collect for Metric `key`, or stop to."""
        found = self._collected.get(*key)
        if found is None or is_deleting(found):
            self.stop(key)
            return None
        spec = _spec(found)
        now = self._timeline.now()
        is_new = key not in self._collector.collections
        collection = self._collector.update(key, spec, now)
        memory, _ = self._recall(key) if is_new else (None, False)
        if memory is not None:
            memory.replay(collection, now)
        self._scraper.add(key, _labels(found), metric.scrape_target(found))
        await self._report(found, collection.last_error)
        return None

    def keys(self) -> list[Key]:
        return list(self._collector.collections)

    def stop(self, key: Key) -> None:
        """Forget a revision: it is gone, or somebody else collects for it."""
        self._scraper.remove(key)
        self._collector.delete(key)

    async def _report(self, found: Object, error: str | None) -> None:
        before = found.get("status") or {}
        status: dict[str, Any] = mutable(before)
        conditions = metric.CONDITIONS.manage(status, self._clock.now())
        conditions.init()
        if error is None:
            metric.mark_collecting(conditions)
        else:
            metric.mark_failed(conditions, error)
        status["observedGeneration"] = found["metadata"].get("generation", 0)
        keep_transition_times(before.get("conditions") or (), status)
        await apply_status(self._client, METRIC, found, status)


def _spec(found: Object) -> CollectionSpec:
    aggregation = annotations.lookup(annotations_of(found), annotations.AGGREGATION)
    return CollectionSpec(
        stable_window=metric.stable_window(found),
        panic_window=metric.panic_window(found),
        scrapes_pods=metric.scrapes_pods(found),
        aggregation=normalised_aggregation(aggregation[1]) if aggregation else "",
    )


def _labels(found: Object) -> tuple[str, str, str]:
    labels = labels_of(found)
    return (labels.get(LABEL_SERVICE, ""), labels.get(LABEL_CONFIGURATION, ""), namespace_of(found))
