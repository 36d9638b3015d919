"""Cluster settings and annotations are taken and refused as the reference does."""

from typing import Any

import pytest

from tests.golden.conftest import load
from upwell.api.field_errors import FieldError, FieldErrors
from upwell.policy.annotations import validate_annotations
from upwell.policy.autoscaler_config import parse_autoscaler_config
from upwell.ports import ConfigError

RECORDS = load("config.json")
RENAMED = {"requests_per_second_target_default": "rps_target_default"}
# Refused on purpose; docs/reference/autoscaler.md says why.
EXOTIC = "a NaN, an infinity or a number with underscores, which Upwell refuses"


def cases(name: str) -> list[Any]:
    return [
        pytest.param(case, marks=pytest.mark.skip(EXOTIC) if case["exotic"] else (), id=str(number))
        for number, case in enumerate(RECORDS[name])
    ]


@pytest.mark.parametrize("case", cases("config_parsing"))
def test_cluster_settings_are_taken_as_by_the_reference(case: dict[str, Any]) -> None:
    want = case["want"]
    if not want["accepted"]:
        with pytest.raises(ConfigError) as refusal:
            parse_autoscaler_config(case["data"])
        assert str(refusal.value) == want["error"]
        return
    config = parse_autoscaler_config(case["data"])
    for name in config.__dataclass_fields__:
        expected = want["values"].get(RENAMED.get(name, name), want["values"].get(f"{name}_s"))
        value = getattr(config, name)
        assert value == (pytest.approx(expected, rel=1e-9) if isinstance(value, float) else expected), name


@pytest.mark.parametrize("case", cases("annotation_validation"))
def test_annotations_are_checked_as_by_the_reference(case: dict[str, Any]) -> None:
    want = case["want"]
    problems = validate_annotations(case["annotations"], parse_autoscaler_config(case["config"]))
    assert (not problems) == want["accepted"], problems
    errors = FieldErrors()
    errors.extend(FieldError(*problem) for problem in problems)
    assert str(errors) == want.get("error", "")


@pytest.mark.parametrize("case", [case for case in RECORDS["config_parsing"] if case["exotic"]], ids=str)
def test_exotic_numbers_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_autoscaler_config(case["data"])
