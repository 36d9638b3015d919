"""What a revision says of itself, from its Deployment, its pods and its PodAutoscaler."""

from typing import Any

import pytest

from controller.revision.conditions import follow_autoscaler, follow_deployment
from controller.revision.diagnosis import Failure, diagnose
from controller.revision.pod_autoscaler import make_pod_autoscaler, updated_pod_autoscaler
from tests.unit.controller.objects import revision
from upwell.api.conditions import Conditions, find
from upwell.api.objects import Object, mutable
from upwell.api.revision import CONDITIONS

NOW = 946_684_800.0
PROGRESSING = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
TIMED_OUT = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}
CRASHED = {"name": "user-container", "lastState": {"terminated": {"exitCode": 3, "message": "bad setting"}}}


def deployment(*conditions: dict[str, str], replicas: int = 1, **status: int) -> Object:
    return {"spec": {"replicas": replicas}, "status": {"conditions": list(conditions), **status}}


def pod(*containers: dict[str, Any], conditions: Any = (), **metadata: str) -> Object:
    status = {"containerStatuses": list(containers), "conditions": list(conditions)}
    return {"metadata": {"name": "pod", **metadata}, "status": status}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"name": "user-container", "state": {"waiting": {"reason": reason, "message": message}}}


def autoscaler(ready: str, *, initialized: bool = True, service: str = "app", **more: Any) -> Object:
    conditions = [
        {"type": "Ready", "status": ready, "reason": "Because", "message": "So it is."},
        {"type": "ScaleTargetInitialized", "status": "True" if initialized else "Unknown"},
    ]
    return {"status": {"conditions": conditions, "serviceName": service, **more}}


@pytest.fixture(name="subject")
def subject_fixture() -> Object:
    return revision()


def conditions_of(subject: Object) -> Conditions:
    conditions = CONDITIONS.manage(subject["status"], NOW)
    conditions.init()
    return conditions


def summary(subject: Object, kind: str) -> tuple[str, str]:
    found = find(subject["status"], kind)
    return found["status"], found.get("reason", "")


def test_it_is_ready_once_its_first_pods_were(subject: Object) -> None:
    conditions = conditions_of(subject)
    follow_deployment(conditions, deployment(PROGRESSING, readyReplicas=1, availableReplicas=1), [], NOW)
    follow_autoscaler(subject, conditions, autoscaler("True", actualScale=1, desiredScale=2))

    assert summary(subject, "Ready") == ("True", "")
    assert (subject["status"]["actualReplicas"], subject["status"]["desiredReplicas"]) == (1, 2)


def test_until_then_it_is_deploying(subject: Object) -> None:
    conditions = conditions_of(subject)
    follow_deployment(conditions, deployment(PROGRESSING), [], NOW)
    follow_autoscaler(subject, conditions, autoscaler("Unknown", initialized=False, desiredScale=-1))

    assert summary(subject, "ResourcesAvailable") == ("Unknown", "Deploying")
    assert summary(subject, "Active") == ("Unknown", "Because")
    assert "desiredReplicas" not in subject["status"]


def test_scaled_to_zero_it_stays_ready_and_is_not_active(subject: Object) -> None:
    conditions = conditions_of(subject)
    follow_deployment(conditions, deployment(PROGRESSING, replicas=0), [], NOW)
    follow_autoscaler(subject, conditions, autoscaler("False"))

    assert summary(subject, "Ready") == ("True", "")
    assert summary(subject, "Active") == ("False", "Because")


def test_scaled_to_zero_without_ever_having_started_it_has_failed(subject: Object) -> None:
    conditions = conditions_of(subject)
    follow_deployment(conditions, deployment(PROGRESSING, replicas=0), [], NOW)
    follow_autoscaler(subject, conditions, autoscaler("False", initialized=False))

    assert summary(subject, "Ready") == ("False", "ProgressDeadlineExceeded")


def test_a_deployment_that_takes_too_long_has_failed_and_may_recover(subject: Object) -> None:
    conditions = conditions_of(subject)
    follow_deployment(conditions, deployment(TIMED_OUT), [], NOW)
    follow_autoscaler(subject, conditions, autoscaler("Unknown", initialized=False))
    assert summary(subject, "Ready") == ("False", "ProgressDeadlineExceeded")

    follow_deployment(conditions, deployment(PROGRESSING, readyReplicas=1, availableReplicas=1), [], NOW)
    follow_autoscaler(subject, conditions, autoscaler("True"))
    assert summary(subject, "Ready") == ("True", "")


def test_a_replica_set_that_cannot_make_pods_is_the_reason(subject: Object) -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    follow_deployment(conditions_of(subject), deployment(PROGRESSING, refused), [], NOW)

    assert summary(subject, "ResourcesAvailable") == ("False", "FailedCreate")


def test_a_container_that_ended_tells_its_exit_code_and_last_words() -> None:
    crashing = {**waiting("CrashLoopBackOff"), **CRASHED}

    assert diagnose(deployment(), [pod(crashing)], ever_ready=True) == [
        Failure("ContainerHealthy", "ExitCode3", "Container failed with: bad setting")
    ]


def test_an_end_without_an_error_is_one_for_a_server() -> None:
    quit_early = {"name": "user-container", "state": {"terminated": {"exitCode": 0}}}
    [failure] = diagnose(deployment(), [pod(quit_early)], ever_ready=True)

    assert (failure.reason, failure.message) == ("ExitCode0", "Container failed with: container exited with no error")


def test_a_missing_command_is_told_at_once_while_it_never_ran() -> None:
    stuck = pod(waiting("CommandNotFound", "install it"))

    assert diagnose(deployment(), [stuck], ever_ready=False) == [
        Failure("ResourcesAvailable", "CommandNotFound", "install it")
    ]
    assert diagnose(deployment(), [stuck], ever_ready=True) == []
    assert diagnose(deployment(TIMED_OUT), [stuck], ever_ready=True)


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", ""])
def test_a_container_that_is_only_starting_has_not_failed(reason: str) -> None:
    assert diagnose(deployment(), [pod(waiting(reason))], ever_ready=False) == []


def test_pods_are_not_asked_while_one_is_available_or_none_is_wanted() -> None:
    crashing = pod(CRASHED)

    assert diagnose(deployment(availableReplicas=1), [crashing], ever_ready=True) == []
    assert diagnose(deployment(replicas=0), [crashing], ever_ready=True) == []
    assert diagnose(deployment(), [pod(CRASHED, deletionTimestamp="2000-01-01T00:00:00Z")], ever_ready=True) == []
    assert diagnose(deployment(), [pod({**CRASHED, "name": "queue-proxy"})], ever_ready=True) == []


def test_a_pod_without_a_node_is_told_unless_nodes_come() -> None:
    unscheduled = pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}])

    assert diagnose(deployment(), [unscheduled], ever_ready=True)[0].reason == "Unschedulable"
    assert diagnose(deployment(), [unscheduled], ever_ready=True, room_comes=True) == []


@pytest.mark.parametrize(
    ("state", "reachability"), [("active", "Reachable"), ("reserve", "Unreachable"), ("pending", None)]
)
def test_a_revision_is_reachable_while_routes_use_it(state: str, reachability: str | None) -> None:
    obj = revision()
    obj["metadata"]["labels"]["serving.knative.dev/routingState"] = state

    assert make_pod_autoscaler(obj, deployment())["spec"].get("reachability") == reachability


def test_a_revision_that_cannot_start_is_not_waited_for() -> None:
    obj = revision(status={"conditions": [{"type": "ContainerHealthy", "status": "False"}]})
    obj["metadata"]["labels"]["serving.knative.dev/routingState"] = "active"

    assert make_pod_autoscaler(obj, deployment())["spec"]["reachability"] == "Unreachable"
    assert make_pod_autoscaler(obj, deployment(readyReplicas=1))["spec"]["reachability"] == "Reachable"


def test_autoscaling_annotations_follow_the_revision() -> None:
    obj = revision()
    obj["metadata"]["annotations"] = {"autoscaling.knative.dev/max-scale": "3"}
    existing = make_pod_autoscaler(obj, deployment())
    existing["metadata"]["annotations"].update(
        {"autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev", "autoscaling.knative.dev/window": "9s"}
    )
    settled = mutable(existing)
    del settled["metadata"]["annotations"]["autoscaling.knative.dev/window"]

    changed = updated_pod_autoscaler(existing, make_pod_autoscaler(obj, deployment()))

    assert changed == settled
    assert updated_pod_autoscaler(settled, make_pod_autoscaler(obj, deployment())) is None
