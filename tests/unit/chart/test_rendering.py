"""The chart in Helm's own engine: every combination of values renders to objects that Kubernetes understands."""

import base64
import gzip
import json
from typing import Any

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration

from tests.unit.chart.rendering import CHART, COMBINATIONS, COMPONENTS, NAMESPACE, combinations, helm, objects, rendered
from upwell.api.resources import Resource
from upwell.local.apiserver.builtin_types import check, fields_of_model, model_name

SECRET_MAX = 1 << 20
"""Helm keeps a release in a Secret, and Kubernetes limits those."""


@combinations
def test_the_chart_passes_helms_own_lint(values: dict[str, Any]) -> None:
    report = helm().lint(CHART, values, strict=True, namespace=NAMESPACE)

    assert [message for message in report["messages"] if message["severity"] > 1] == []
    assert report["errors"] == []


@combinations
def test_every_object_has_only_fields_of_its_kind_with_values_of_their_types(values: dict[str, Any]) -> None:
    for one in _of_kubernetes(values):
        resource = _resource(one)
        assert fields_of_model(model_name(resource)), f"no types for {one['kind']}"
        problems = check(resource, one)
        assert (problems.unknown, problems.mismatches) == ([], []), one["metadata"]["name"]


@combinations
async def test_every_object_has_the_fields_that_its_kind_demands(values: dict[str, Any]) -> None:
    async with ApiClient(Configuration()) as api:
        for one in _of_kubernetes(values):
            if one["kind"] != "CustomResourceDefinition":  # its models do not know all of JSON Schema
                # The models refuse to be made without what they demand.
                api._ApiClient__deserialize(one, model_name(_resource(one)))


@combinations
def test_no_object_is_there_twice(values: dict[str, Any]) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in objects(values)]

    assert len(names) == len(set(names))


@combinations
def test_namespaced_objects_are_in_the_namespace_of_the_release(values: dict[str, Any]) -> None:
    cluster_wide = ("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding")
    for one in objects(values):
        wide = one["kind"] in cluster_wide or one["kind"].endswith("WebhookConfiguration")
        assert one["metadata"].get("namespace") == (None if wide else NAMESPACE), one["metadata"]["name"]


@pytest.mark.parametrize("values", [COMBINATIONS["defaults"], COMBINATIONS["everything"]])
def test_an_upgrade_with_the_same_values_changes_nothing(values: dict[str, Any]) -> None:
    assert objects(values, upgrade=True) == objects(values)


def test_a_release_fits_into_the_secret_that_helm_keeps_it_in() -> None:
    sources = {str(path): path.read_text() for path in CHART.rglob("*") if path.is_file()}
    release = json.dumps({"chart": sources, "manifest": rendered(COMBINATIONS["everything"])})

    assert len(base64.b64encode(base64.b64encode(gzip.compress(release.encode(), 9)))) < SECRET_MAX / 2


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"controller": {"replica": 3}}, "'replica' not allowed"),
        ({"activator": {"flips": "maybe"}}, "/activator/flips"),
        ({"knative": {"replace": ["kourier"]}}, "/knative/replace/0"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
        ({"gateway": {"replicas": 0}}, "/gateway/replicas"),
        ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
        ({"activator": {"drainSeconds": 600}}, "must be longer than activator.drainSeconds"),
        ({"gateway": {"drainTimeoutSeconds": 700}}, "must cover drainDelaySeconds and drainTimeoutSeconds"),
        ({"activator": {"autoscaling": {"enabled": True, "minReplicas": 30}}}, "must not be above maxReplicas"),
    ],
)
def test_values_that_cannot_work_are_refused_with_their_path(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(helm().HelmError, match=complaint):
        rendered(values)


@combinations
def test_the_notes_name_every_component_that_is_installed_beside_knative(values: dict[str, Any]) -> None:
    notes = rendered(values)["NOTES.txt"]

    for name in (values.get("knative") or {}).get("replace", ()):
        assert "queue-sidecar-image" in notes if name == "queue-proxy" else f"deployment/upwell-{name}" in notes


def test_the_notes_send_knatives_second_autoscaler_away_only_with_the_first() -> None:
    second = "scale deployment/autoscaler-hpa --replicas=0"

    assert second in rendered(COMBINATIONS["autoscaler beside Knative"])["NOTES.txt"]
    assert second not in rendered(COMBINATIONS["activator beside Knative"])["NOTES.txt"]


def test_without_a_component_nothing_of_it_is_left() -> None:
    for component in COMPONENTS:
        left = [
            one["kind"]
            for one in objects(COMBINATIONS[f"without {component}"])
            if one["metadata"].get("labels", {}).get("app.kubernetes.io/component") == component
            and one["kind"] not in ("ConfigMap",)
        ]
        assert left == [], component


def _of_kubernetes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in objects(values) if "coreos" not in one["apiVersion"]]


def _resource(one: dict[str, Any]) -> Resource:
    group, _, version = one["apiVersion"].rpartition("/")
    return Resource(group, version, f"{one['kind'].lower()}s", one["kind"])
