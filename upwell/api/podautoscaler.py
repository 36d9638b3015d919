"""PodAutoscaler: what scales one revision, its fields and its conditions.

It is named as the revision and controlled by it. The controller writes the spec, the autoscaler of the class in the
annotation `autoscaling.knative.dev/class` does the rest and writes the status. `Ready` follows from Active (traffic
can be served), ScaleTargetInitialized (the initial pods were there once; never reset) and SKSReady. Source: contract,
autoscaler.md 3.1.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from upwell.api.conditions import TRUE, Conditions, ConditionSet, find, status_of
from upwell.api.names import ANNOTATION_CLASS
from upwell.api.objects import Object, annotations_of, timestamp_seconds

__all__ = [
    "ACTIVE",
    "CONDITIONS",
    "SCALE_TARGET_INITIALIZED",
    "SKS_READY",
    "ScaleTarget",
    "active_since",
    "class_of",
    "container_concurrency",
    "is_initialized",
    "mark_activating",
    "mark_failed_create",
    "mark_no_traffic",
    "mark_not_owned",
    "mark_timed_out",
    "protocol",
    "reachability",
    "scale_target",
]

ACTIVE: Final = "Active"
SCALE_TARGET_INITIALIZED: Final = "ScaleTargetInitialized"
SKS_READY: Final = "SKSReady"
CONDITIONS: Final = ConditionSet(dependents=(ACTIVE, SCALE_TARGET_INITIALIZED, SKS_READY))


class ScaleTarget(NamedTuple):
    """The workload to scale, in the autoscaler's own namespace."""

    api_version: str
    kind: str
    name: str


def class_of(autoscaler: Object) -> str:
    """Who is to act on it; empty when nobody is named."""
    return annotations_of(autoscaler).get(ANNOTATION_CLASS, "")


def container_concurrency(autoscaler: Object) -> int:
    """Exchanges that one pod may serve at once; 0 means no limit."""
    return int(autoscaler["spec"].get("containerConcurrency") or 0)


def reachability(autoscaler: Object) -> str:
    """`Reachable`, `Unreachable`, or empty when it is not known."""
    return str(autoscaler["spec"].get("reachability") or "")


def protocol(autoscaler: Object) -> str:
    """`http1` or `h2c`."""
    return str(autoscaler["spec"].get("protocolType") or "http1")


def scale_target(autoscaler: Object) -> ScaleTarget:
    reference = autoscaler["spec"]["scaleTargetRef"]
    return ScaleTarget(str(reference.get("apiVersion") or ""), str(reference["kind"]), str(reference["name"]))


def active_since(status: Mapping[str, Any], now: float) -> float:
    """When the condition Active became what it is, in Unix seconds; `now` when it has not been set yet."""
    text = find(status, ACTIVE).get("lastTransitionTime")
    return timestamp_seconds(text) if text else now


def is_initialized(status: Mapping[str, Any]) -> bool:
    """Whether the initial pods were there once."""
    return status_of(status, SCALE_TARGET_INITIALIZED) == TRUE


def mark_activating(conditions: Conditions) -> None:
    conditions.mark_unknown(ACTIVE, "Queued", "Requests to the target are being buffered as resources are provisioned.")


def mark_no_traffic(conditions: Conditions) -> None:
    conditions.mark_false(ACTIVE, "NoTraffic", "The target is not receiving traffic.")


def mark_timed_out(conditions: Conditions) -> None:
    conditions.mark_false(ACTIVE, "TimedOut", "The target could not be activated.")


def mark_not_owned(conditions: Conditions, kind: str, name: str) -> None:
    conditions.mark_false(ACTIVE, "NotOwned", f'There is an existing {kind} "{name}" that we do not own.')


def mark_failed_create(conditions: Conditions, kind: str, name: str) -> None:
    conditions.mark_false(ACTIVE, "FailedCreate", f'Failed to create {kind} "{name}".')
