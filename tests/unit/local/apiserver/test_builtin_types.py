"""Checking the types of built-in kinds, and describing them."""

from typing import Any

import pytest

from tests.unit.local.apiserver.world import POD, config_map, deployment, pod
from upwell.api.resources import CONFIG_MAP, DEPLOYMENT, EVENT, HPA, LEASE, RESOURCES, SERVICE
from upwell.local.apiserver.builtin_types import check, model_name
from upwell.local.apiserver.catalog import is_custom
from upwell.local.apiserver.schemas import schema_name, schemas_of


@pytest.mark.parametrize("resource", [one for one in RESOURCES if not is_custom(one)], ids=lambda one: one.plural)
def test_every_built_in_kind_has_a_model(resource: Any) -> None:
    assert model_name(resource)


@pytest.mark.parametrize(
    ("resource", "obj"),
    [
        (POD, pod("p")),
        (DEPLOYMENT, deployment("d")),
        (CONFIG_MAP, config_map("c", {"a": "b"})),
        (EVENT, {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"}, "count": 1, "eventTime": None}),
        (LEASE, {"spec": {"leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}}),
        (HPA, {"spec": {"maxReplicas": 3, "metrics": [{"resource": {"target": {"averageValue": 100}}}]}}),
        (POD, {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}]}}),
        (DEPLOYMENT, {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}}}}),
        (SERVICE, {"spec": "whatever: admission's business"}),
    ],
)
def test_what_a_cluster_takes_is_taken(resource: Any, obj: Any) -> None:
    assert check(resource, obj) == ([], [])


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"containers": [{"image": True}]}, "spec.containers[0].image: true is not a string; put it in quotes"),
        ({"containers": {}}, "spec.containers: an object is not a list"),
        ({"containers": ["x"]}, 'spec.containers[0]: "x" is not an object'),
        ({"hostNetwork": "yes"}, 'spec.hostNetwork: "yes" is not true or false'),
        ({"priority": True}, "spec.priority: true is not a whole number"),
        ({"nodeSelector": {"disk": 1}}, "spec.nodeSelector.disk: 1 is not a string; put it in quotes"),
        ({"containers": [{"resources": {"limits": {"cpu": True}}}]}, "spec.containers[0].resources.limits.cpu: true"),
    ],
)
def test_a_value_of_a_wrong_type_is_told_where_it_is(spec: Any, told: str) -> None:
    (mismatch,) = check(POD, {"spec": spec}).mismatches

    assert mismatch.startswith(told)


def test_unknown_fields_are_listed_with_their_paths() -> None:
    found = check(POD, {"spce": {}, "spec": {"containers": [{"imagePolicy": "x"}]}})

    assert found.unknown == ["spce", "spec.containers[0].imagePolicy"]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: f"{one.plural}.{one.group}")
def test_every_kind_has_a_schema_with_its_own_name(resource: Any) -> None:
    schema = schemas_of(resource)[schema_name(resource)]

    (kind,) = schema["x-kubernetes-group-version-kind"]
    assert (kind["group"], kind["version"], kind["kind"]) == (resource.group, resource.version, resource.kind)
    assert "metadata" in schema["properties"]


def test_the_fields_of_a_knative_kind_are_described() -> None:
    spec = schemas_of(SERVICE)[schema_name(SERVICE)]["properties"]["spec"]
    pod_spec = spec["properties"]["template"]["properties"]["spec"]["properties"]

    assert "serve at once" in pod_spec["containerConcurrency"]["description"]
    assert "Container image name" in pod_spec["containers"]["items"]["properties"]["image"]["description"]
    assert pod_spec["containers"]["items"]["properties"]["env"]["type"] == "array"
