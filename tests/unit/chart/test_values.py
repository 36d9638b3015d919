"""Every value is described, typed and documented."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from charts.reference import reference, rows
from tests.unit.chart.rendering import CHART, ROOT

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_schema_knows_exactly_the_values_that_there_are() -> None:
    assert list(_differences(SCHEMA, DEFAULTS, "")) == []


def test_every_value_has_a_description_that_is_a_sentence() -> None:
    for path, _, about in rows():
        assert about.endswith("."), path


def test_the_reference_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "reference" / "chart.md").read_text()

    assert page == reference(), "run `make docs`"


def test_chart_and_package_have_the_same_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert f'version = "{chart["appVersion"]}"' in (ROOT / "pyproject.toml").read_text()
    assert f"ARG VERSION={chart['appVersion']}" in (ROOT / "Dockerfile").read_text()


def _differences(schema: Mapping[str, Any], values: Any, path: str) -> Iterator[str]:
    properties = schema.get("properties")
    if properties is None:
        return
    assert schema.get("additionalProperties") is False, f"{path or 'values'} would take anything"
    yield from (f"{path}.{name}" for name in properties.keys() ^ values.keys())
    for name in properties.keys() & values.keys():
        yield from _differences(properties[name], values[name], f"{path}.{name}")
