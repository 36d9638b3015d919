"""A revision's conditions, from its Deployment and its PodAutoscaler (contract: control-plane.md 5.8).

The Deployment is asked first: is it progressing, could its replica set make pods. Then pods that fail have their say
(`diagnosis`), and last the PodAutoscaler: once as many pods as the revision begins with were ready, it is.
"""

from collections.abc import Iterable
from typing import Final

from controller.revision.diagnosis import Failure
from upwell.api.conditions import FALSE, READY, TRUE, Conditions, ConditionSet, find, status_of
from upwell.api.objects import Object
from upwell.api.revision import ACTIVE, CONTAINER_HEALTHY, RESOURCES_AVAILABLE

__all__ = ["DEPLOYING", "follow_autoscaler", "follow_deployment"]

DEPLOYING: Final = "Deploying"
_PROGRESSING: Final = "Progressing"
_REPLICA_SET_READY: Final = "ReplicaSetReady"
_DEPLOYMENT: Final = ConditionSet(dependents=[_PROGRESSING, _REPLICA_SET_READY])
_INITIALIZED: Final = "ScaleTargetInitialized"


def follow_deployment(conditions: Conditions, deployment: Object, failures: Iterable[Failure], now: float) -> None:
    """`failures` is what its pods say is wrong."""
    summary = _summarize(deployment, now)
    if summary.status(READY) == TRUE:
        conditions.mark_true(RESOURCES_AVAILABLE)
    else:
        ready = summary.get(READY)
        conditions.mark(RESOURCES_AVAILABLE, ready["status"], ready.get("reason", ""), ready.get("message", ""))
    for failure in failures:
        conditions.mark_false(failure.condition, failure.reason, failure.message)
    if (deployment.get("status") or {}).get("readyReplicas"):
        conditions.mark_true(CONTAINER_HEALTHY)


def _summarize(deployment: Object, now: float) -> Conditions:
    summary = _DEPLOYMENT.manage({}, now)
    summary.mark_unknown(_PROGRESSING, DEPLOYING)
    summary.mark_true(_REPLICA_SET_READY)
    for found in (deployment.get("status") or {}).get("conditions") or ():
        reason, message = found.get("reason", ""), found.get("message", "")
        if found["type"] == _PROGRESSING:
            if found["status"] == TRUE:
                summary.mark_true(_PROGRESSING)
            else:
                summary.mark(_PROGRESSING, found["status"], reason, message)
        elif found["type"] == "ReplicaFailure" and found["status"] == TRUE:
            summary.mark_false(_REPLICA_SET_READY, reason, message)
    return summary


def follow_autoscaler(revision: Object, conditions: Conditions, autoscaler: Object) -> None:
    status = autoscaler.get("status") or {}
    for ours, theirs in (("actualReplicas", "actualScale"), ("desiredReplicas", "desiredScale")):
        revision["status"].pop(ours, None)
        if status.get(theirs) is not None and status[theirs] >= 0:
            revision["status"][ours] = status[theirs]
    ready = find(status, READY)
    if not ready:
        conditions.mark_unknown(ACTIVE, DEPLOYING)
        if not conditions.is_false(RESOURCES_AVAILABLE):
            conditions.mark_unknown(RESOURCES_AVAILABLE, DEPLOYING)
        return
    _follow_initialization(conditions, status, ready["status"])
    active_reason = () if ready["status"] == TRUE else (ready.get("reason", ""), ready.get("message", ""))
    conditions.mark(ACTIVE, ready["status"], *active_reason)


def _follow_initialization(conditions: Conditions, status: Object, ready: str) -> None:
    initialized = status_of(status, _INITIALIZED) == TRUE
    has_service = bool(status.get("serviceName"))
    unavailable = conditions.is_false(RESOURCES_AVAILABLE)
    if initialized and not unavailable:
        conditions.mark_true(RESOURCES_AVAILABLE)
        conditions.mark_true(CONTAINER_HEALTHY)
    if conditions.is_true(RESOURCES_AVAILABLE) and not (initialized and has_service):
        conditions.mark_unknown(RESOURCES_AVAILABLE, DEPLOYING)
    if ready == FALSE and not initialized and not unavailable and has_service:
        # It was scaled to zero without ever having had the pods that it begins with.
        conditions.mark_false(RESOURCES_AVAILABLE, "ProgressDeadlineExceeded", "Initial scale was never achieved")
