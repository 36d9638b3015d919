"""What a Deployment asks for, compared with the pods it has: which to start, which to end, what to report. Pure.

A new template is rolled out like with maxUnavailable 0: new pods come first, old ones go as new ones become ready.
Going down, pods that are not ready go first, then the newest. The conditions follow Kubernetes' deployment controller,
with one addition: `ReplicaFailure` with the container's own reason as soon as a container cannot even be started
(no command, command not found), because nobody wants to wait ten minutes for a progress deadline to learn that.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from upwell.api.objects import Object, timestamp, timestamp_seconds
from upwell.local.runtime.spec import Problem

__all__ = [
    "Plan",
    "Replica",
    "Rollout",
    "deployment_status",
    "desired_replicas",
    "is_complete",
    "plan",
    "progress_deadline",
    "template_hash",
]

SAFE: Final = "bcdfghjklmnpqrstvwxz2456789"
"""Letters and digits that do not make words; the ones Kubernetes uses for such names."""
SURGE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Replica:
    """What matters of a pod here."""

    name: str
    template_hash: str
    created: float
    ready: bool
    problem: Problem | None = None
    unready_message: str = ""


class Rollout(StrEnum):
    """How far the present template has come."""

    NEW = "new"
    UNDERWAY = "underway"
    DONE = "done"
    """All pods were ready once; what scaling or a crash does later is not a rollout's failure."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pods of the present template to start, and which pods to end."""

    start: int = 0
    stop: tuple[str, ...] = ()


def template_hash(template: Object) -> str:
    """A short name for a pod template: equal for equal templates."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(SAFE[byte % len(SAFE)] for byte in digest[:10])


def desired_replicas(deployment: Object) -> int:
    replicas = deployment["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def progress_deadline(deployment: Object) -> float:
    """Seconds without progress after which a rollout counts as failed."""
    return float(deployment["spec"].get("progressDeadlineSeconds") or 600)


def plan(desired: int, current_hash: str, replicas: Iterable[Replica]) -> Plan:
    """Decide on the pods that are not ending already."""
    pods = list(replicas)
    new = [replica for replica in pods if replica.template_hash == current_hash]
    old = [replica for replica in pods if replica.template_hash != current_hash]
    # More than wanted for as long as a rollout lasts, as a Deployment's default maxSurge allows.
    room = desired + (math.ceil(desired * SURGE) if old else 0) - len(new) - sum(replica.ready for replica in old)
    start = max(0, min(desired - len(new), room))
    spare = max(0, sum(replica.ready for replica in pods) - desired)
    ready_old = sorted((replica for replica in old if replica.ready), key=_last_first)
    stop = [replica for replica in old if not replica.ready or desired == 0]
    stop += ready_old[:spare] if desired else []
    stop += sorted(new, key=_last_first)[: max(0, len(new) - desired)]
    return Plan(start, tuple(dict.fromkeys(replica.name for replica in stop)))


def _last_first(replica: Replica) -> tuple[bool, float]:
    return (replica.ready, -replica.created)


def is_complete(desired: int, current_hash: str, replicas: Iterable[Replica]) -> bool:
    """Whether the pods are exactly the wanted ones, and all ready."""
    states = [replica.ready and replica.template_hash == current_hash for replica in replicas]
    return len(states) == desired and all(states)


def deployment_status(
    deployment: Object, current_hash: str, replicas: Iterable[Replica], rollout: Rollout, now: float
) -> Object:
    """The whole `status`, given the pods that are not ending; conditions keep their times while they do not change.

    `deployment` has the status that was last decided on.
    """
    pods = list(replicas)
    desired = desired_replicas(deployment)
    ready = sum(pod.ready for pod in pods)
    counts = {
        "replicas": len(pods),
        "updatedReplicas": sum(pod.template_hash == current_hash for pod in pods),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, len(pods) - ready),
    }
    conditions = [_available(desired, ready), _progressing(deployment, counts, pods, rollout, now)]
    problem = next((pod.problem for pod in pods if pod.template_hash == current_hash and pod.problem), None)
    if problem:
        conditions.append(_condition("ReplicaFailure", True, problem.reason, problem.message))
    before = (deployment.get("status") or {}).get("conditions") or ()
    return {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        **counts,
        "conditions": _with_times(conditions, before, now),
    }


def _available(desired: int, ready: int) -> Object:
    if ready >= desired:
        return _condition("Available", True, "MinimumReplicasAvailable", "Deployment has minimum availability.")
    text = "Deployment does not have minimum availability."
    return _condition("Available", False, "MinimumReplicasUnavailable", text)


def _progressing(
    deployment: Object, counts: Mapping[str, int], pods: list[Replica], rollout: Rollout, now: float
) -> Object:
    name = deployment["metadata"]["name"]
    before: Mapping[str, Any] = deployment.get("status") or {}
    known = next((item for item in before.get("conditions") or () if item.get("type") == "Progressing"), None)
    if rollout is Rollout.DONE:
        text = f'Pods of Deployment "{name}" have successfully progressed.'
        return _condition("Progressing", True, "NewReplicaSetAvailable", text)
    advanced = any(counts[key] > int(before.get(key) or 0) for key in ("updatedReplicas", "readyReplicas"))
    if rollout is Rollout.NEW or known is None or advanced:
        text = f'Pods of Deployment "{name}" are progressing.'
        return {**_condition("Progressing", True, "ReplicaSetUpdated", text), "lastUpdateTime": timestamp(now)}
    if known.get("status") == "False" or now - _updated(known, now) < progress_deadline(deployment):
        return dict(known)
    why = next((pod.unready_message for pod in pods if pod.unready_message), "")
    text = f'Deployment "{name}" has exceeded its progress deadline'
    return _condition("Progressing", False, "ProgressDeadlineExceeded", f"{text}: {why}" if why else f"{text}.")


def _updated(condition: Mapping[str, Any], now: float) -> float:
    text = condition.get("lastUpdateTime")
    return timestamp_seconds(text) if text else now


def _condition(kind: str, status: bool, reason: str, message: str) -> Object:
    return {"type": kind, "status": "True" if status else "False", "reason": reason, "message": message}


def _with_times(conditions: list[Object], before: Iterable[Mapping[str, Any]], now: float) -> list[Object]:
    known = {item["type"]: item for item in before}
    result = []
    for condition in conditions:
        old = known.get(condition["type"], {})
        same = all(old.get(key) == condition[key] for key in ("status", "reason", "message"))
        result.append(
            {
                **condition,
                "lastUpdateTime": condition.get("lastUpdateTime")
                or (old.get("lastUpdateTime") if same else None)
                or timestamp(now),
                "lastTransitionTime": old.get("lastTransitionTime")
                if old.get("status") == condition["status"]
                else timestamp(now),
            }
        )
    return result
