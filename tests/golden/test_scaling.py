"""Decisions agree with the reference on every recorded sequence."""

from typing import Any

import pytest

from tests.golden.conftest import load
from upwell.policy.decider import DeciderSpec, DeciderState, Observation, decide

CASES = load("scaling.json")["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_decisions_agree_with_the_reference(case: dict[str, Any]) -> None:
    spec = decider_spec(case["spec"])
    state = DeciderState.start(spec, case.get("initial_ready_pods", 0), case["created_at"])
    for number, step in enumerate(case["steps"]):
        if "update_spec" in step:
            spec = decider_spec(step["update_spec"])
        got = take(step, spec, state)
        want = dict(step["want"])
        if not want["in_panic"]:
            del want["max_panic_pods"]
        assert got == {**got, **want}, (number, step)


def take(step: dict[str, Any], spec: DeciderSpec, state: DeciderState) -> dict[str, Any]:
    outcome: dict[str, Any] = {"valid": False}
    seen = not (step.get("no_data") or step.get("metric_error")) and step.get("pods_error") != "other"
    if seen:
        observation = Observation(step["stable_value"], step["panic_value"], step.get("ready_pods", 0))
        decision = decide(spec, state, observation, step["t"])
        outcome = {
            "valid": True,
            "desired_pod_count": decision.desired,
            "excess_burst_capacity": decision.excess_burst_capacity,
        }
    return outcome | {"in_panic": state.panic_since is not None, "max_panic_pods": state.max_panic_pods}


def decider_spec(values: dict[str, Any]) -> DeciderSpec:
    names = {"stable_window_s": "stable_window", "scale_down_delay_s": "scale_down_delay"}
    return DeciderSpec(**{names.get(name, name): value for name, value in values.items()})
