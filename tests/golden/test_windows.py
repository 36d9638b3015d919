"""Windows agree with the reference on every recorded sequence."""

from typing import Any

import pytest

from tests.golden.conftest import load
from upwell.policy.windows import LinearWindow, SlidingMaximum, WeightedWindow, smoothing_coefficient

RECORDS = load("windows.json")
KINDS = {"linear": LinearWindow, "weighted_exponential": WeightedWindow}


@pytest.mark.parametrize("case", RECORDS["average_windows"], ids=lambda case: f"{case['kind']}-{case['name']}")
def test_averages_agree_with_the_reference(case: dict[str, Any]) -> None:
    window = KINDS[case["kind"]](case["window_s"], case["granularity_s"])
    for number, operation in enumerate(case["ops"]):
        kind, at = operation["op"], operation["t"]
        if kind == "record":
            window.record(at, operation["value"])
        elif kind == "resize":
            window.resize(operation["window_s"], at)
        elif kind == "is_empty":
            assert window.is_empty(at) == operation["want"], (number, operation)
        else:
            want = operation["want"]
            assert window.average(at) == pytest.approx(want, abs=1e-6, rel=1e-6), (number, operation)


@pytest.mark.parametrize("case", RECORDS["max_windows"], ids=lambda case: case["name"])
def test_sliding_maxima_agree_with_the_reference(case: dict[str, Any]) -> None:
    window = SlidingMaximum(case["window_s"], case["granularity_s"])
    for record in case["records"]:
        assert window.record(record["t"], record["value"]) == record["want"], record


@pytest.mark.parametrize("case", RECORDS["smoothing_coefficient"], ids=lambda case: f"{case['buckets']} buckets")
def test_the_newest_weight_agrees_with_the_reference(case: dict[str, Any]) -> None:
    assert smoothing_coefficient(case["buckets"]) == pytest.approx(case["want"], rel=1e-6)
