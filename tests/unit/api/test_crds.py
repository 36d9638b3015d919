"""The definitions that the chart installs: made from the types, and fit for a real API server."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.api.cel_types import checked_type
from tests.unit.api.structural_rules import complaints, rule_costs
from upwell.api.crd_files import crd_files, main
from upwell.api.crds import definition, open_schema
from upwell.api.resources import KNATIVE_RESOURCES, POD_AUTOSCALER, REVISION, SERVICE, Resource

CHART = Path(__file__).parents[3] / "charts/upwell/crds"
KINDS = pytest.mark.parametrize("resource", KNATIVE_RESOURCES, ids=lambda one: one.kind)
RULE_LIMIT = 10_000_000
DEFINITION_LIMIT = 100_000_000


def test_the_charts_definitions_are_those_of_the_types() -> None:
    written = {path.name: path.read_text() for path in CHART.glob("*.yaml")}

    assert written == dict(crd_files()), "run `make crds`"


def test_what_is_no_kind_any_more_is_removed(tmp_path: Path) -> None:
    (tmp_path / "frobs.serving.knative.dev.yaml").touch()

    main(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == dict(crd_files()).keys()


@KINDS
def test_schemas_are_structural(resource: Resource) -> None:
    assert list(complaints(open_schema(resource))) == []


@KINDS
def test_rules_have_the_types_that_a_cluster_demands(resource: Resource) -> None:
    for path, schema, rule in rules(open_schema(resource)):
        for part, wanted in (("rule", "BOOL"), ("messageExpression", "STRING")):
            if part in rule:
                name = f"{resource.kind}{abs(hash((path, part, rule[part])))}"
                assert checked_type(rule[part], seen_by_rules(schema, path), name) == wanted, rule[part]


@KINDS
def test_rules_cost_no_more_than_a_cluster_allows(resource: Resource) -> None:
    costs = dict(rule_costs(open_schema(resource)))

    assert [rule for rule, cost in costs.items() if cost > RULE_LIMIT] == []
    assert sum(costs.values()) <= DEFINITION_LIMIT


@KINDS
def test_definitions_fit_into_the_annotation_that_kubectl_apply_keeps(resource: Resource) -> None:
    assert len(yaml.safe_dump(definition(resource))) < 200_000


def test_names_scope_subresources_and_columns_are_those_of_the_contract() -> None:
    spec = definition(SERVICE)["spec"]
    version = spec["versions"][0]

    assert spec["names"]["shortNames"] == ["kservice", "ksvc"]
    assert spec["names"]["categories"] == ["all", "knative", "serving"]
    assert version["subresources"] == {"status": {}}
    titles = [column["name"] for column in version["additionalPrinterColumns"]]
    assert titles == ["URL", "LatestCreated", "LatestReady", "Ready", "Reason"]
    config_name = definition(REVISION)["spec"]["versions"][0]["additionalPrinterColumns"][0]
    assert config_name["jsonPath"] == r".metadata.labels['serving\.knative\.dev/configuration']"
    assert definition(POD_AUTOSCALER)["metadata"]["name"] == "podautoscalers.autoscaling.internal.knative.dev"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"properties": {}}, "no type"),
        ({"type": "object", "$ref": "#/x"}, "$ref does not belong here"),
        ({"type": "array"}, "an array without items"),
        ({"type": "object", "required": ["a"]}, "requires a, which it does not have"),
        ({"type": "string", "default": "x"}, "default does not belong here"),
        ({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"}, "a list of type map"),
    ],
)
def test_the_checker_itself_finds_what_a_cluster_refuses(wrong: dict[str, Any], complaint: str) -> None:
    assert any(complaint in found for found in complaints(wrong))


def rules(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, str]]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path, schema, rule
    for name, field in schema.get("properties", {}).items():
        yield from rules(field, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from rules(schema[key], path + mark)


def seen_by_rules(schema: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """At the top, rules see the name besides what the schema says."""
    if path:
        return schema
    metadata = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}
    return {**schema, "properties": {**schema["properties"], "metadata": metadata}}


def test_versions_of_2019_are_served_by_conversion_where_they_are_asked_for() -> None:
    spec = definition(SERVICE, old_versions_in="serving")["spec"]
    storage = [version["name"] for version in spec["versions"] if version["storage"]]
    old = [version for version in spec["versions"] if not version["storage"]]

    assert storage == ["v1"]
    assert [version["name"] for version in old] == ["v1alpha1", "v1beta1"]
    assert all(
        version["deprecated"] and "is serving.knative.dev/v1 today" in version["deprecationWarning"] for version in old
    )
    assert [complaint for version in old for complaint in complaints(version["schema"]["openAPIV3Schema"])] == []
    assert spec["conversion"]["webhook"]["clientConfig"]["service"] == {
        "name": "webhook",
        "namespace": "serving",
        "path": "/resource-conversion",
    }
    assert "conversion" not in definition(POD_AUTOSCALER, old_versions_in="serving")["spec"]
