"""Deployments: which pods to start and to end, and what the status says."""

from typing import Any

from upwell.local.runtime.deployments import (
    Plan,
    Replica,
    Rollout,
    deployment_status,
    is_complete,
    plan,
    template_hash,
)
from upwell.local.runtime.spec import Problem

NOW = 1_000_000.0


def replica(name: str, *, old: bool = False, ready: bool = True, created: float = 0.0, **more: Any) -> Replica:
    return Replica(name, "old" if old else "new", created, ready, **more)


def deployment(replicas: int = 1, status: dict[str, Any] | None = None, deadline: int = 600) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "generation": 2},
        "spec": {"replicas": replicas, "progressDeadlineSeconds": deadline},
        **({"status": status} if status else {}),
    }


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}


def test_missing_pods_are_started_all_at_once() -> None:
    assert plan(3, "new", []) == Plan(start=3)


def test_nothing_is_done_when_there_are_as_many_as_wanted() -> None:
    assert plan(2, "new", [replica("a"), replica("b", ready=False)]) == Plan()


def test_going_down_takes_pods_that_are_not_ready_first_and_then_the_newest() -> None:
    pods = [replica("oldest", created=1), replica("newest", created=9), replica("starting", ready=False, created=3)]

    assert plan(2, "new", pods).stop == ("starting",)
    assert plan(1, "new", pods).stop == ("starting", "newest")
    assert plan(0, "new", pods).stop == ("starting", "newest", "oldest")


def test_a_new_template_starts_a_new_pod_before_the_old_one_goes() -> None:
    assert plan(1, "new", [replica("a", old=True)]) == Plan(start=1)
    assert plan(1, "new", [replica("a", old=True), replica("b", ready=False)]) == Plan()
    assert plan(1, "new", [replica("a", old=True), replica("b")]) == Plan(stop=("a",))


def test_a_rollout_of_many_pods_surges_by_a_quarter() -> None:
    old = [replica(f"old-{number}", old=True, created=number) for number in range(4)]

    assert plan(4, "new", old) == Plan(start=1)
    assert plan(4, "new", [*old, replica("new-0")]).stop == ("old-3",)


def test_old_pods_that_are_not_ready_serve_nobody_and_go_at_once() -> None:
    assert plan(1, "new", [replica("a", old=True, ready=False)]) == Plan(start=1, stop=("a",))


def test_at_zero_everything_goes() -> None:
    assert set(plan(0, "new", [replica("a", old=True), replica("b")]).stop) == {"a", "b"}


def test_the_hash_of_a_template_does_not_depend_on_the_order_of_its_fields() -> None:
    one = {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": []}}
    other = {"spec": {"containers": []}, "metadata": {"labels": {"a": "1"}}}

    assert template_hash(one) == template_hash(other)
    assert template_hash(one) != template_hash({**one, "spec": {"containers": [{"name": "x"}]}})


def test_a_new_deployment_progresses_and_is_not_available() -> None:
    status = deployment_status(deployment(), "new", [replica("a", ready=False)], Rollout.NEW, NOW)

    assert conditions(status) == {
        "Available": ("False", "MinimumReplicasUnavailable"),
        "Progressing": ("True", "ReplicaSetUpdated"),
    }
    assert status["observedGeneration"] == 2
    assert (status["replicas"], status["updatedReplicas"], status["unavailableReplicas"]) == (1, 1, 1)


def test_a_deployment_with_all_pods_ready_is_available() -> None:
    pods = [replica("a")]
    assert is_complete(1, "new", pods)

    status = deployment_status(deployment(), "new", pods, Rollout.DONE, NOW)

    assert conditions(status) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    assert (status["readyReplicas"], status["availableReplicas"], status["unavailableReplicas"]) == (1, 1, 0)


def test_a_rollout_is_not_complete_while_old_pods_are_left() -> None:
    assert not is_complete(1, "new", [replica("a"), replica("b", old=True)])


def test_a_rollout_without_progress_fails_at_its_deadline_and_says_why() -> None:
    waiting = [replica("a", ready=False, unready_message="user-container does not listen on 127.0.0.1:20001")]
    first = deployment_status(deployment(deadline=60), "new", waiting, Rollout.NEW, NOW)

    before = deployment_status(deployment(1, first, 60), "new", waiting, Rollout.UNDERWAY, NOW + 59)
    after = deployment_status(deployment(1, before, 60), "new", waiting, Rollout.UNDERWAY, NOW + 61)

    assert conditions(before)["Progressing"] == ("True", "ReplicaSetUpdated")
    assert conditions(after)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    progressing = next(item for item in after["conditions"] if item["type"] == "Progressing")
    assert progressing["message"].endswith("user-container does not listen on 127.0.0.1:20001")


def test_progress_starts_the_deadline_anew() -> None:
    one = [replica("a", ready=False)]
    first = deployment_status(deployment(2, deadline=60), "new", one, Rollout.NEW, NOW)

    second = deployment_status(deployment(2, first, 60), "new", [*one, replica("b")], Rollout.UNDERWAY, NOW + 50)
    third = deployment_status(deployment(2, second, 60), "new", [*one, replica("b")], Rollout.UNDERWAY, NOW + 90)

    assert conditions(third)["Progressing"] == ("True", "ReplicaSetUpdated")


def test_a_rollout_that_failed_succeeds_after_all_when_its_pods_get_ready() -> None:
    failed = {
        "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": ""}]
    }

    status = deployment_status(deployment(1, failed), "new", [replica("a")], Rollout.DONE, NOW)

    assert conditions(status)["Progressing"] == ("True", "NewReplicaSetAvailable")


def test_a_container_that_cannot_start_fails_the_deployment_at_once_with_its_own_reason() -> None:
    pods = [replica("a", ready=False, problem=Problem("CommandMissing", "add command: [...]"))]

    status = deployment_status(deployment(), "new", pods, Rollout.NEW, NOW)

    assert conditions(status)["ReplicaFailure"] == ("True", "CommandMissing")


def test_a_condition_keeps_its_times_until_it_changes() -> None:
    first = deployment_status(deployment(), "new", [replica("a", ready=False)], Rollout.NEW, NOW)
    same = deployment_status(deployment(1, first), "new", [replica("a", ready=False)], Rollout.UNDERWAY, NOW + 10)
    ready = deployment_status(deployment(1, same), "new", [replica("a")], Rollout.DONE, NOW + 20)

    assert same == first
    assert [
        item["lastTransitionTime"] == first["conditions"][0]["lastTransitionTime"] for item in ready["conditions"]
    ] == [
        False,
        True,
    ]
