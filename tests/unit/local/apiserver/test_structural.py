"""Objects held against their definition by the server itself, as a cluster's holds them."""

from typing import Any

import pytest

from tests.unit.local.apiserver.world import World, service
from upwell.api.crds import open_schema
from upwell.api.objects import Object, new_object
from upwell.api.resources import REVISION, ROUTE, SERVICE
from upwell.local.apiserver.errors import Cause, StatusError
from upwell.local.apiserver.structural import Node


@pytest.fixture
def world() -> World:
    return World()


def refusal(call: Any, *arguments: Any) -> dict[str, Any]:
    with pytest.raises(StatusError) as error:
        call(*arguments)
    return error.value.status()


def told(schema: dict[str, Any], value: Any, old: Any = None, path: str = "x") -> list[str]:
    causes: list[Cause] = []
    node = Node(schema)
    node.check(value, path, causes)
    if not causes:
        node.apply_rules(value, old, path, causes)
    return [f"{cause.field}: {cause.message}" for cause in causes]


def test_what_the_webhook_refuses_is_told_in_its_words(world: World) -> None:
    split = service("hello")
    split["spec"]["traffic"] = [{"latestRevision": True, "percent": 60}, {"revisionName": "hello-1", "percent": 30}]

    answer = refusal(world.create, SERVICE, split)

    assert (answer["code"], answer["reason"]) == (400, "BadRequest")
    assert answer["message"] == (
        'admission webhook "validation.webhook.serving.knative.dev" denied the request: '
        "validation failed: Traffic targets sum to 90, want 100: spec.traffic"
    )


def test_without_the_webhook_the_definition_tells_the_sum_of_traffic_that_does_not_add_up() -> None:
    split = service("hello")
    split["spec"]["traffic"] = [{"latestRevision": True, "percent": 60}, {"revisionName": "hello-1", "percent": 30}]

    assert told(open_schema(SERVICE), split, path="") == [
        'spec.traffic: Invalid value: "array": Traffic targets sum to 90, want 100'
    ]


def test_every_broken_rule_is_told_at_once() -> None:
    target = {"revisionName": "a", "configurationName": "b", "percent": 100, "url": "http://x"}
    route = new_object(ROUTE, "default", "r", spec={"traffic": [target]})

    fields = [line.partition(": ")[0] for line in told(open_schema(ROUTE), route, path="")]
    assert fields == ["spec.traffic[0]", "spec.traffic[0].url"]


def test_a_revision_is_immutable_and_its_labels_are_not(world: World) -> None:
    spec = {"containers": [{"image": "a:1"}]}
    created = world.create(REVISION, new_object(REVISION, "default", "app-1", spec=spec))
    changed = {**created, "spec": {**created["spec"], "timeoutSeconds": 17}}

    answer = refusal(world.merge, REVISION, "app-1", {"spec": {"timeoutSeconds": 17}})

    assert answer["code"] == 400
    assert "Immutable fields changed" in answer["message"]
    (problem,) = told(open_schema(REVISION), changed, created, path="")
    assert problem.startswith('spec: Invalid value: "object": Immutable fields changed')
    assert world.merge(REVISION, "app-1", {"metadata": {"labels": {"a": "b"}}})["metadata"]["labels"] == {"a": "b"}


def test_a_status_keeps_what_its_definition_knows(world: World) -> None:
    created = world.create(SERVICE, service("hello"))
    status = {"url": "http://hello", "frob": 1, "conditions": [{"type": "Ready", "status": "True", "because": "x"}]}

    record = world.registry.update(SERVICE, "default", "hello", {**created, "status": status}, "status")

    assert record.obj["status"] == {"url": "http://hello", "conditions": [{"type": "Ready", "status": "True"}]}


def test_a_status_of_wrong_types_is_refused(world: World) -> None:
    created = world.create(SERVICE, service("hello"))
    wrong = {**created, "status": {"url": 5}}

    answer = refusal(lambda: world.registry.update(SERVICE, "default", "hello", wrong, "status"))

    assert answer["code"] == 422
    assert 'status.url: Invalid value: "integer": status.url in body must be of type string' in answer["message"]


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        ({"type": "integer", "minimum": 1}, 0, "x: Invalid value: 0: x in body should be greater than or equal to 1"),
        ({"type": "integer", "maximum": 1}, 2, "x: Invalid value: 2: x in body should be less than or equal to 1"),
        ({"type": "integer"}, True, 'x: Invalid value: "boolean": x in body must be of type integer: "boolean"'),
        ({"type": "string", "maxLength": 1}, "ab", "x: Too long: may not be more than 1 bytes"),
        ({"type": "string", "minLength": 1}, "", 'x: Invalid value: "": x in body should have at least 1 chars'),
        ({"type": "string", "pattern": "^a$"}, "a\n", "x: Invalid value: \"a\n\": x in body should match '^a$'"),
        ({"type": "string", "enum": ["a"]}, "b", 'x: Unsupported value: "b": supported values: "a"'),
        ({"type": "object", "required": ["a"], "properties": {}}, {}, "x.a: Required value"),
        ({"type": "array", "maxItems": 1, "items": {"type": "integer"}}, [1, 2], "x: Too many: 2: must have at most 1"),
        ({"type": "array", "items": {"type": "integer"}}, ["a"], 'x[0]: Invalid value: "string"'),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"a": 1}, 'x.a: Invalid value: "integer"'),
        ({"x-kubernetes-int-or-string": True}, [], 'x: Invalid value: "array"'),
    ],
)
def test_bounds_are_told_as_a_cluster_tells_them(schema: dict[str, Any], value: Any, problem: str) -> None:
    assert told(schema, value)[0].startswith(problem)


def test_elements_with_the_same_key_are_duplicates() -> None:
    item = {"type": "object", "properties": {"name": {"type": "string"}}}
    schema = {"type": "array", "items": item, "x-kubernetes-list-map-keys": ["name"]}

    assert told(schema, [{"name": "a"}, {"name": "a"}]) == ['x[1]: Duplicate value: {"name":"a"}']


def test_a_rule_that_cannot_be_evaluated_is_broken_and_what_did_not_change_is_not_asked() -> None:
    schema = {"type": "object", "x-kubernetes-validations": [{"rule": "self.a > 1", "message": "a must be large"}]}

    assert told(schema, {"b": 1})[0].startswith('x: Invalid value: "object": a must be large (rule evaluation error')
    assert told(schema, {"b": 1}, old={"b": 1}) == []


def test_pruning_goes_by_fields_values_and_elements() -> None:
    leaf = {"type": "object", "properties": {"a": {"type": "string"}}}
    open_leaf = {**leaf, "x-kubernetes-preserve-unknown-fields": True}
    fields = {"list": {"type": "array", "items": leaf}, "open": open_leaf, "any": {}}
    node = Node({"type": "object", "properties": {**fields, "map": {"type": "object", "additionalProperties": leaf}}})
    full: Object = {"list": [{"a": "1", "b": 2}], "open": {"b": 2}, "map": {"k": {"b": 2}}, "any": {"c": 1}, "gone": 1}

    pruned = node.prune(full)

    assert pruned == {"list": [{"a": "1"}], "open": {"b": 2}, "map": {"k": {}}, "any": {"c": 1}}
    assert node.prune(pruned) is pruned
