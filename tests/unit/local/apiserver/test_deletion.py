"""How objects go: preconditions, grace, finalizers, owners, namespaces."""

from typing import Any

import pytest

from tests.unit.local.apiserver.world import (
    DEPLOYMENT,
    NAMESPACE,
    POD,
    World,
    config_map,
    deployment,
    namespace,
    owned_by,
    pod,
)
from upwell.api.resources import CONFIG_MAP
from upwell.local.apiserver.deletion import DeleteOptions
from upwell.local.apiserver.errors import StatusError

FOREGROUND = DeleteOptions("Foreground")
ORPHAN = DeleteOptions("Orphan")


def test_an_object_that_nothing_holds_goes_at_once(world: World) -> None:
    world.create(CONFIG_MAP, config_map("c"))

    _, gone = world.delete(CONFIG_MAP, "c")

    assert gone
    assert world.find(CONFIG_MAP, "c") is None


@pytest.mark.parametrize("options", [DeleteOptions(uid="other"), DeleteOptions(resource_version="1")])
def test_a_precondition_that_fails_keeps_the_object(world: World, options: DeleteOptions) -> None:
    world.create(CONFIG_MAP, config_map("c"))

    with pytest.raises(StatusError) as refused:
        world.delete(CONFIG_MAP, "c", options)

    assert (refused.value.code, refused.value.reason) == (409, "Conflict")
    assert "in the precondition" in refused.value.message
    assert world.find(CONFIG_MAP, "c") is not None


def test_a_precondition_that_holds_lets_it_go(world: World) -> None:
    metadata = world.create(CONFIG_MAP, config_map("c"))["metadata"]

    _, gone = world.delete(
        CONFIG_MAP, "c", DeleteOptions(uid=metadata["uid"], resource_version=metadata["resourceVersion"])
    )

    assert gone


def test_a_finalizer_holds_the_object_until_it_is_removed(world: World) -> None:
    world.create(CONFIG_MAP, config_map("c", finalizers=["example.com/hold"]))

    record, gone = world.delete(CONFIG_MAP, "c")
    world.delete(CONFIG_MAP, "c")
    held = world.find(CONFIG_MAP, "c")
    world.merge(CONFIG_MAP, "c", {"metadata": {"finalizers": None}})

    assert not gone
    assert record.obj["metadata"]["deletionTimestamp"] == "2000-01-01T00:00:00Z"
    assert held is not None
    assert world.find(CONFIG_MAP, "c") is None


def test_no_finalizer_may_be_added_to_what_is_going(world: World) -> None:
    world.create(CONFIG_MAP, config_map("c", finalizers=["example.com/hold"]))
    world.delete(CONFIG_MAP, "c")

    with pytest.raises(StatusError) as refused:
        world.merge(CONFIG_MAP, "c", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}})

    assert "no new finalizers can be added if the object is being deleted" in refused.value.message


def test_a_pod_on_a_node_waits_for_its_kubelet(world: World) -> None:
    world.create(POD, pod("p", node="laptop"))

    record, gone = world.delete(POD, "p")
    again, still = world.delete(POD, "p")
    _, finally_gone = world.delete(POD, "p", DeleteOptions(grace_seconds=0))

    assert (gone, still, finally_gone) == (False, False, True)
    assert record.obj["metadata"]["deletionTimestamp"] == "2000-01-01T00:00:30Z"
    assert record.obj["metadata"]["deletionGracePeriodSeconds"] == 30
    assert again.revision == record.revision


def test_the_grace_of_a_pod_can_be_shortened_but_not_prolonged(world: World) -> None:
    world.create(POD, pod("p", node="laptop"))
    world.delete(POD, "p", DeleteOptions(grace_seconds=10))

    longer, _ = world.delete(POD, "p", DeleteOptions(grace_seconds=60))
    shorter, _ = world.delete(POD, "p", DeleteOptions(grace_seconds=3))

    assert longer.obj["metadata"]["deletionGracePeriodSeconds"] == 10
    assert shorter.obj["metadata"]["deletionGracePeriodSeconds"] == 3


def test_status_of_a_terminating_pod_can_still_be_written(world: World) -> None:
    world.create(POD, pod("p", node="laptop"))
    world.delete(POD, "p")

    written = world.merge(POD, "p", {"status": {"phase": "Running"}}, "status")

    assert written["status"]["phase"] == "Running"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_goes_at_once(world: World, phase: str) -> None:
    world.create(POD, pod("p", node="laptop"))
    world.merge(POD, "p", {"status": {"phase": phase}}, "status")

    assert world.delete(POD, "p")[1]


def test_a_pod_that_no_node_has_goes_at_once(world: World) -> None:
    world.create(POD, pod("p"))

    assert world.delete(POD, "p")[1]


def test_dependents_follow_their_owner(world: World) -> None:
    owner = world.create(DEPLOYMENT, deployment("web"))
    child = world.create(POD, pod("child", [owner]))
    world.create(CONFIG_MAP, config_map("grandchild", ownerReferences=[owned_by(child)]))
    world.create(POD, pod("other"))

    world.delete(DEPLOYMENT, "web")
    world.collect_garbage()

    assert world.names(POD) == ["other"]
    assert world.names(CONFIG_MAP) == []


def test_a_dependent_on_a_node_is_marked_not_removed(world: World) -> None:
    owner = world.create(DEPLOYMENT, deployment("web"))
    world.create(POD, pod("child", [owner], node="laptop"))

    world.delete(DEPLOYMENT, "web")
    world.collect_garbage()

    child = world.find(POD, "child")
    assert child is not None
    assert child["metadata"]["deletionTimestamp"]


def test_a_dependent_stays_while_another_owner_is_there(world: World) -> None:
    first = world.create(CONFIG_MAP, config_map("first"))
    second = world.create(CONFIG_MAP, config_map("second"))
    world.create(POD, pod("child", [first, second]))

    world.delete(CONFIG_MAP, "first")
    world.collect_garbage()

    child = world.find(POD, "child")
    assert child is not None
    assert [one["name"] for one in child["metadata"]["ownerReferences"]] == ["second"]


def test_an_object_whose_owner_never_existed_goes(world: World) -> None:
    ghost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "no-such-uid"}}
    world.create(POD, pod("child", [ghost]))

    world.collect_garbage()

    assert world.names(POD) == []


@pytest.mark.parametrize("change", [{"name": "renamed"}, {"kind": "Secret"}])
def test_an_owner_must_be_named_rightly(world: World, change: dict[str, str]) -> None:
    owner = world.create(CONFIG_MAP, config_map("owner"))
    world.create(POD, pod("child", ownerReferences=[{**owned_by(owner), **change}]))

    world.collect_garbage()

    assert world.names(POD) == []


def test_an_owner_in_another_namespace_is_none(world: World) -> None:
    owner = world.registry.create(CONFIG_MAP, "knative-serving", config_map("owner")).obj
    world.create(POD, pod("child", [owner]))

    world.collect_garbage()

    assert world.names(POD) == []


def test_an_owner_of_an_unknown_kind_counts_as_present(world: World) -> None:
    owner = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x", "uid": "u"}}
    world.create(POD, pod("child", [owner]))

    world.collect_garbage()

    assert world.names(POD) == ["child"]


def test_orphaned_dependents_stay_and_forget_their_owner(world: World) -> None:
    owner = world.create(DEPLOYMENT, deployment("web"))
    world.create(POD, pod("child", [owner]))

    _, gone = world.delete(DEPLOYMENT, "web", ORPHAN)
    world.collect_garbage()

    child = world.find(POD, "child")
    assert not gone
    assert world.find(DEPLOYMENT, "web") is None
    assert child is not None
    assert "ownerReferences" not in child["metadata"]


def test_foreground_deletion_waits_for_the_dependents(world: World) -> None:
    owner = world.create(DEPLOYMENT, deployment("web"))
    world.create(POD, pod("child", [owner], node="laptop"))

    world.delete(DEPLOYMENT, "web", FOREGROUND)
    world.collect_garbage()
    waiting = world.find(DEPLOYMENT, "web")
    world.delete(POD, "child", DeleteOptions(grace_seconds=0))
    world.collect_garbage()

    assert waiting is not None
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert world.find(DEPLOYMENT, "web") is None


def test_foreground_deletion_does_not_wait_for_dependents_that_do_not_block(world: World) -> None:
    owner = world.create(DEPLOYMENT, deployment("web"))
    reference = {**owned_by(owner), "blockOwnerDeletion": False}
    world.create(POD, pod("child", ownerReferences=[reference], node="laptop"))

    world.delete(DEPLOYMENT, "web", FOREGROUND)
    world.collect_garbage()

    assert world.find(DEPLOYMENT, "web") is None


def test_foreground_deletion_leaves_a_dependent_that_has_another_owner(world: World) -> None:
    first = world.create(CONFIG_MAP, config_map("first"))
    second = world.create(CONFIG_MAP, config_map("second"))
    world.create(POD, pod("child", [first, second]))

    world.delete(CONFIG_MAP, "first", FOREGROUND)
    world.collect_garbage()

    assert world.names(POD) == ["child"]
    assert world.names(CONFIG_MAP) == ["second"]


def test_a_sweep_finds_what_was_left_behind(world: World) -> None:
    owner = world.create(DEPLOYMENT, deployment("web"))
    world.create(POD, pod("child", [owner]))
    world.delete(DEPLOYMENT, "web")
    world.worklist.take(1000)

    world.collector.sweep()
    world.collect_garbage()

    assert world.names(POD) == []


def test_a_namespace_goes_with_all_that_is_in_it(world: World) -> None:
    world.create(NAMESPACE, namespace("team"))
    world.registry.create(POD, "team", pod("p", node="laptop"))
    world.registry.create(CONFIG_MAP, "team", config_map("c"))

    _, gone = world.delete(NAMESPACE, "team")
    world.collect_garbage()
    terminating = world.find(NAMESPACE, "team")
    world.registry.delete(POD, "team", "p", DeleteOptions(grace_seconds=0))
    world.collect_garbage()

    assert not gone
    assert terminating is not None
    assert terminating["status"]["phase"] == "Terminating"
    assert world.names(CONFIG_MAP) == []
    assert world.find(NAMESPACE, "team") is None


def test_nothing_can_be_made_in_a_namespace_that_is_going(world: World) -> None:
    world.create(NAMESPACE, namespace("team"))
    world.registry.create(POD, "team", pod("p", node="laptop"))
    world.delete(NAMESPACE, "team")

    with pytest.raises(StatusError) as refused:
        world.registry.create(POD, "team", pod("q"))

    assert refused.value.code == 403
    assert "because it is being terminated" in refused.value.message


def test_the_default_namespace_stays(world: World) -> None:
    with pytest.raises(StatusError) as refused:
        world.delete(NAMESPACE, "default")

    assert refused.value.code == 403


@pytest.mark.parametrize(
    ("body", "query", "expected"),
    [
        (None, {}, DeleteOptions()),
        ({"propagationPolicy": "Orphan"}, {}, ORPHAN),
        (None, {"propagationPolicy": "Foreground", "gracePeriodSeconds": "5"}, DeleteOptions("Foreground", 5)),
        ({"orphanDependents": True}, {}, ORPHAN),
        ({"orphanDependents": False}, {}, DeleteOptions("Background")),
        ({"preconditions": {"uid": "u", "resourceVersion": "3"}}, {}, DeleteOptions(None, None, "u", "3")),
        ({"dryRun": ["All"], "gracePeriodSeconds": -1}, {}, DeleteOptions(None, 0, dry_run=True)),
    ],
)
def test_delete_options_come_from_body_and_query(body: Any, query: dict[str, str], expected: DeleteOptions) -> None:
    assert DeleteOptions.parse(body, query) == expected


@pytest.mark.parametrize(
    "body", [{"propagationPolicy": "Later"}, {"gracePeriodSeconds": "soon"}, {"preconditions": "x"}]
)
def test_delete_options_that_make_no_sense_are_refused(body: Any) -> None:
    with pytest.raises(StatusError) as refused:
        DeleteOptions.parse(body, {})

    assert refused.value.code == 400
