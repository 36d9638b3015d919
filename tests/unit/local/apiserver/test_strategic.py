"""Strategic merge patch: lists that are maps, directives, order."""

from typing import Any

import pytest

from upwell.local.apiserver.strategic import PatchError, strategic_merge


def pod_spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **more}}


def test_containers_are_merged_by_name() -> None:
    current = pod_spec({"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"})

    result = strategic_merge(current, pod_spec({"name": "b", "image": "b:2"}))

    assert result == pod_spec({"name": "a", "image": "a:1"}, {"name": "b", "image": "b:2"})


def test_a_new_item_is_added_and_the_current_object_left_alone() -> None:
    current = pod_spec({"name": "a"})

    result = strategic_merge(current, pod_spec({"name": "b"}))

    assert result == pod_spec({"name": "a"}, {"name": "b"})
    assert current == pod_spec({"name": "a"})


def test_nested_lists_have_keys_of_their_own() -> None:
    env = [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]
    ports = [{"containerPort": 80, "name": "http"}]
    current = pod_spec({"name": "a", "env": env, "ports": ports})
    patch = pod_spec({"name": "a", "env": [{"name": "Y", "value": "3"}], "ports": [{"containerPort": 81}]})

    container = strategic_merge(current, patch)["spec"]["containers"][0]

    assert container["env"] == [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}]
    assert container["ports"] == [{"containerPort": 80, "name": "http"}, {"containerPort": 81}]


def test_the_ports_of_a_service_are_merged_by_port() -> None:
    current = {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}

    result = strategic_merge(current, {"spec": {"ports": [{"port": 80, "targetPort": 9090}]}})

    assert result["spec"]["ports"] == [{"port": 80, "targetPort": 9090}]


def test_an_item_is_deleted_by_directive() -> None:
    current = pod_spec({"name": "a"}, {"name": "b"})

    assert strategic_merge(current, pod_spec({"name": "a", "$patch": "delete"})) == pod_spec({"name": "b"})


def test_a_list_is_replaced_by_directive() -> None:
    current = pod_spec({"name": "a"}, {"name": "b"})

    result = strategic_merge(current, pod_spec({"name": "c"}, {"$patch": "replace"}))

    assert result == pod_spec({"name": "c"})


def test_a_map_is_replaced_or_emptied_by_directive() -> None:
    current = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}

    replaced = strategic_merge(current, {"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}})
    emptied = strategic_merge(current, {"spec": {"strategy": {"$patch": "delete"}}})

    assert replaced == {"spec": {"strategy": {"type": "Recreate"}}}
    assert emptied == {"spec": {"strategy": {}}}


def test_retained_keys_drop_the_other_members_of_a_union() -> None:
    current = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}

    result = strategic_merge(current, {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}})

    assert result == {"strategy": {"type": "Recreate"}}


def test_plain_values_are_merged_and_deleted_in_finalizers() -> None:
    current = {"metadata": {"finalizers": ["a", "b"]}}

    added = strategic_merge(current, {"metadata": {"finalizers": ["c"]}})
    removed = strategic_merge(current, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}})

    assert added == {"metadata": {"finalizers": ["a", "b", "c"]}}
    assert removed == {"metadata": {"finalizers": ["b"]}}


def test_lists_without_a_key_are_replaced() -> None:
    current = pod_spec({"name": "a", "args": ["1", "2"]}, tolerations=[{"key": "x"}])

    result = strategic_merge(current, pod_spec({"name": "a", "args": ["3"]}, tolerations=[{"key": "y"}]))

    assert result == pod_spec({"name": "a", "args": ["3"]}, tolerations=[{"key": "y"}])


def test_null_removes_a_field() -> None:
    assert strategic_merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}) == {"a": {"c": 2}}


@pytest.mark.parametrize(
    ("current", "order", "expected"),
    [
        ("abc", "cba", "cba"),
        ("abc", "ca", "cab"),
        ("xab", "ba", "xba"),
        ("abc", "", "abc"),
        ("abc", "zc", "abc"),
    ],
)
def test_the_order_that_a_patch_asks_for_is_kept(current: str, order: str, expected: str) -> None:
    items = [{"name": one} for one in current]
    patch = {"$setElementOrder/volumes": [{"name": one} for one in order]}

    result = strategic_merge({"volumes": items}, patch)

    assert "".join(one["name"] for one in result["volumes"]) == expected


def test_the_order_of_plain_values_is_set_too() -> None:
    patch = {"$setElementOrder/finalizers": ["b", "a"], "finalizers": ["b"]}

    assert strategic_merge({"finalizers": ["a"]}, patch) == {"finalizers": ["b", "a"]}


@pytest.mark.parametrize(
    "patch", [{"$patch": "explode"}, {"spec": {"containers": [{"image": "x"}]}}, {"spec": {"$patch": "?"}}]
)
def test_a_patch_that_cannot_be_understood_is_an_error(patch: dict[str, Any]) -> None:
    with pytest.raises(PatchError):
        strategic_merge(pod_spec({"name": "a"}), patch)
