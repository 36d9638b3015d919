"""Why a revision's pods do not run, read from one of them.

The contract (control-plane.md 5.8) looks at one arbitrary pod while pods are wanted and none is available: a pod that
cannot be scheduled, a container that ended, and, once the Deployment has exceeded its progress deadline, a container
that waits. Deliberately better: while the revision has never been ready, a container that waits for something that
does not come by itself (an image, a command) is reported at once, not after minutes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from controller.revision.sidecar import SIDECAR_NAME
from upwell.api.conditions import FALSE
from upwell.api.objects import Object, is_deleting, name_of
from upwell.api.revision import CONTAINER_HEALTHY, RESOURCES_AVAILABLE

__all__ = ["Failure", "deployment_timed_out", "diagnose"]

_STARTING: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons to wait that pass by themselves."""
_DEADLINE: Final = "ProgressDeadlineExceeded"


class Failure(NamedTuple):
    """A condition that is False, and why."""

    condition: str
    reason: str
    message: str


def deployment_timed_out(deployment: Object) -> bool:
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    return any(
        found["type"] == "Progressing" and found["status"] == FALSE and found.get("reason") == _DEADLINE
        for found in conditions
    )


def diagnose(
    deployment: Object, pods: Iterable[Object], *, ever_ready: bool, room_comes: bool = False
) -> list[Failure]:
    """What is wrong with the pods that `deployment` wants; nothing while any of them is available.

    `room_comes`: a pod that finds no node will get one, from an autoscaler of nodes, and has not failed.
    """
    wanted = deployment["spec"].get("replicas") or 0
    if not wanted or (deployment.get("status") or {}).get("availableReplicas"):
        return []
    candidates = sorted((pod for pod in pods if not is_deleting(pod)), key=_newest_first, reverse=True)
    if not candidates:
        return []
    status = candidates[0].get("status") or {}
    failures = [
        Failure(RESOURCES_AVAILABLE, condition.get("reason", ""), condition.get("message", ""))
        for condition in status.get("conditions") or ()
        if condition["type"] == "PodScheduled" and condition["status"] == FALSE and not room_comes
    ]
    impatient = deployment_timed_out(deployment) or not ever_ready
    for container in status.get("containerStatuses") or ():
        if container["name"] != SIDECAR_NAME:
            failures += _container_failure(container, impatient=impatient)
    return failures


def _container_failure(container: Mapping[str, Any], *, impatient: bool) -> list[Failure]:
    ended = (container.get("lastState") or {}).get("terminated") or (container.get("state") or {}).get("terminated")
    if ended is not None:
        code, message = ended.get("exitCode", 0), ended.get("message") or ""
        if not message:
            message = "container exited with no error" if code == 0 else ""
        return [Failure(CONTAINER_HEALTHY, f"ExitCode{code}", f"Container failed with: {message}")]
    waiting = (container.get("state") or {}).get("waiting")
    if waiting is not None and impatient and waiting.get("reason", "") not in _STARTING:
        return [Failure(RESOURCES_AVAILABLE, waiting["reason"], waiting.get("message", ""))]
    return []


def _newest_first(pod: Object) -> tuple[str, str]:
    return str(pod["metadata"].get("creationTimestamp") or ""), name_of(pod)
