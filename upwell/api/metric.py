"""Metric: that a revision's load is to be collected, over which windows, and whether that works.

It is named as the revision and controlled by its PodAutoscaler, whose labels and annotations it copies when it is
made; later only its spec is kept in step. Durations are nanoseconds. Source: contract, autoscaler.md 3.2.
"""

from typing import Any, Final

from upwell.api.conditions import READY, Conditions, ConditionSet
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    labels_of,
    name_of,
    namespace_of,
    new_object,
)
from upwell.api.resources import METRIC

__all__ = [
    "CONDITIONS",
    "mark_collecting",
    "mark_failed",
    "metric_spec",
    "new_metric",
    "panic_window",
    "scrape_target",
    "scrapes_pods",
    "stable_window",
]

CONDITIONS: Final = ConditionSet()
UNSEEN_POD: Final = "did not receive stat from an unscraped pod"
_NANOSECONDS: Final = 1_000_000_000


def metric_spec(stable_window: float, panic_window: float, scrape_target: str) -> dict[str, Any]:
    """Windows in seconds; `scrape_target` is the private Service, empty when the pods are not to be asked."""
    return {
        "stableWindow": round(stable_window * _NANOSECONDS),
        "panicWindow": round(panic_window * _NANOSECONDS),
        "scrapeTarget": scrape_target,
    }


def new_metric(autoscaler: Object, spec: dict[str, Any]) -> Object:
    metadata = {
        "labels": dict(labels_of(autoscaler)),
        "annotations": dict(annotations_of(autoscaler)),
        "ownerReferences": [controller_reference(autoscaler)],
    }
    return new_object(METRIC, namespace_of(autoscaler), name_of(autoscaler), metadata=metadata, spec=spec)


def stable_window(metric: Object) -> float:
    """Seconds."""
    return float(metric["spec"]["stableWindow"]) / _NANOSECONDS


def panic_window(metric: Object) -> float:
    """Seconds."""
    return float(metric["spec"]["panicWindow"]) / _NANOSECONDS


def scrape_target(metric: Object) -> str:
    """The Service in front of the pods; empty when they are not to be asked."""
    return str(metric["spec"].get("scrapeTarget") or "")


def scrapes_pods(metric: Object) -> bool:
    return bool(scrape_target(metric))


def mark_collecting(conditions: Conditions) -> None:
    conditions.mark_true(READY)


def mark_failed(conditions: Conditions, error: str) -> None:
    """`error` as the scraper has it; one that the contract has a reason for is told by that."""
    if UNSEEN_POD in error:
        conditions.mark_false(READY, "DidNotReceiveStat", UNSEEN_POD)
        return
    conditions.mark_false(READY, "CollectionFailed", f"Failed to reconcile metric collection: {error}")
