"""The status of a Pod, as a kubelet writes it, from the runtime's own view of the pod. Pure."""

from upwell.api.objects import Object, timestamp
from upwell.local.runtime.container import Container, Running, State, Terminated, Waiting
from upwell.local.runtime.pod import Pod

__all__ = ["pod_status", "unready_message"]

ADDRESS = "127.0.0.1"


def pod_status(pod: Pod) -> Object:
    """The whole `status`; condition times are those of the last transition."""
    started = any(not isinstance(item.state, Waiting) or item.last for item in pod.containers)
    message = unready_message(pod)
    reason = "ContainersNotReady" if message else ""
    return {
        "phase": "Running" if pod.initialized and started else "Pending",
        "podIP": ADDRESS,
        "podIPs": [{"ip": ADDRESS}],
        "hostIP": ADDRESS,
        "qosClass": "BestEffort",
        "startTime": timestamp(pod.created),
        "conditions": [
            _condition(pod, "PodScheduled", True),
            _condition(pod, "Initialized", pod.initialized, "ContainersNotInitialized"),
            _condition(pod, "ContainersReady", pod.ready, reason, message),
            _condition(pod, "Ready", pod.ready, reason, message),
        ],
        "initContainerStatuses": [_container_status(item) for item in pod.init_containers],
        "containerStatuses": [_container_status(item) for item in pod.containers],
    }


def unready_message(pod: Pod) -> str:
    """Which containers are not ready, and what is known of the reason; empty when all are."""
    unready = [item for item in pod.containers if not item.ready]
    if not unready:
        return ""
    listed = " ".join(item.spec.name for item in unready)
    details = [detail for item in unready if (detail := _why_unready(item))]
    return "; ".join([f"containers with unready status: [{listed}]", *details])


def _condition(pod: Pod, name: str, status: bool, reason: str = "", message: str = "") -> Object:
    condition: Object = {
        "type": name,
        "status": "True" if status else "False",
        "lastTransitionTime": timestamp(pod.since(name, status)),
    }
    if not status:
        condition.update({"reason": reason} if reason else {}, **({"message": message} if message else {}))
    return condition


def _why_unready(container: Container) -> str:
    state = container.state
    if isinstance(state, Waiting):
        return state.message
    return container.not_ready_because and f"{container.spec.name}: {container.not_ready_because}"


def _container_status(container: Container) -> Object:
    spec = container.spec
    status: Object = {
        "name": spec.name,
        "image": spec.image,
        "imageID": "",
        "ready": container.ready or container.completed,
        "started": container.started,
        "restartCount": container.restarts,
        "state": _state(container.state),
    }
    # An object that becomes `{}` would be left as it was by a merge patch; it never goes back to empty.
    if container.last and container.state is not container.last:
        status["lastState"] = _state(container.last)
    return status


def _state(state: State) -> Object:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        case Running(since):
            return {"running": {"startedAt": timestamp(since)}}
        case Terminated():
            return {
                "terminated": {
                    "exitCode": state.exit_code,
                    **({"signal": state.signal} if state.signal else {}),
                    "reason": state.reason,
                    **({"message": state.message} if state.message else {}),
                    "startedAt": timestamp(state.started),
                    "finishedAt": timestamp(state.finished),
                }
            }
