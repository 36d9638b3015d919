"""JSON patch, merge patch, and who may use which."""

from typing import Any

import pytest

from upwell.api.resources import DEPLOYMENT, SERVICE
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.patch import merge_patch, patcher

JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_examples_of_rfc_7386(document: Any, patch: Any, result: Any) -> None:
    assert merge_patch(document, patch) == result


def test_json_patch_adds_replaces_and_removes() -> None:
    apply = patcher(
        SERVICE,
        JSON,
        [
            {"op": "test", "path": "/a", "value": 1},
            {"op": "replace", "path": "/a", "value": 2},
            {"op": "add", "path": "/list/-", "value": "x"},
            {"op": "remove", "path": "/b~1c"},
        ],
    )

    assert apply({"a": 1, "list": [], "b/c": 0}) == {"a": 2, "list": ["x"]}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/missing/child", "value": 1},
        {"op": "add", "path": "/a/b", "value": 1},
    ],
)
def test_a_json_patch_that_does_not_fit_is_unprocessable(operation: dict[str, Any]) -> None:
    with pytest.raises(StatusError) as refused:
        patcher(SERVICE, JSON, [operation])({"a": 1})

    assert (refused.value.code, refused.value.reason) == (422, "Invalid")


@pytest.mark.parametrize("patch", [{}, None, ["x"], [{"op": "jump", "path": "/a"}], [{"path": "/a"}], [{"op": "add"}]])
def test_what_is_no_json_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(StatusError) as refused:
        patcher(SERVICE, JSON, patch)({"a": 1})

    assert refused.value.code in (400, 422)


def test_a_merge_patch_must_be_an_object() -> None:
    with pytest.raises(StatusError) as refused:
        patcher(SERVICE, MERGE, [])({})

    assert refused.value.code == 400


def test_strategic_patches_are_for_built_in_kinds_only() -> None:
    assert patcher(DEPLOYMENT, STRATEGIC, {"a": 1})({}) == {"a": 1}
    with pytest.raises(StatusError) as refused:
        patcher(SERVICE, STRATEGIC, {})

    assert refused.value.code == 415
    assert "application/merge-patch+json" in refused.value.message


def test_server_side_apply_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(StatusError) as refused:
        patcher(DEPLOYMENT, APPLY, {})

    assert refused.value.code == 415
    assert "kubectl apply without --server-side" in refused.value.message
