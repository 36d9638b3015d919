"""Settings in force, and what they make of a scale, agree with the reference on every recorded case."""

from typing import Any

import pytest

from tests.golden.conftest import load
from tests.golden.near import near
from upwell.policy.autoscaler_config import parse_autoscaler_config
from upwell.policy.resolution import Settings, resolve
from upwell.policy.scale_to_zero import Activity, Situation, plan

RECORDS = load("resolution.json")


@pytest.mark.parametrize("case", RECORDS["cases"], ids=range(len(RECORDS["cases"])))
def test_settings_in_force_agree_with_the_reference(case: dict[str, Any]) -> None:
    settings = resolve(
        parse_autoscaler_config(case["config"]),
        case["annotations"],
        container_concurrency=case["container_concurrency"],
        reachability=case["reachability"],
    )
    want = dict(case["want"])
    assert decider_values(settings) == near(want.pop("decider"), 1e-9)
    assert metric_values(settings) == near(want.pop("metric"), 1e-9)
    fresh = {"desired_scale": -1, "excess_burst_capacity": settings.fresh_excess_burst_capacity()}
    assert fresh == want.pop("fresh_decider_status")
    assert {
        "target": settings.decider.target_value,
        "total": settings.decider.total_value,
        "min_scale": settings.min_scale,
        "max_scale": settings.max_scale,
        "last_pod_retention_s": settings.last_pod_retention,
        "active_threshold_not_initialized": settings.active_threshold(initialized=False),
        "active_threshold_initialized": settings.active_threshold(initialized=True),
    } == near(want, 1e-9)


def decider_values(settings: Settings) -> dict[str, Any]:
    decider = settings.decider
    same = (
        "activation_scale",
        "max_scale_down_rate",
        "max_scale_up_rate",
        "metric",
        "panic_threshold",
        "reachable",
        "target_burst_capacity",
        "target_value",
        "total_value",
    )
    return {name: getattr(decider, name) for name in same} | {
        "stable_window_s": decider.stable_window,
        "scale_down_delay_s": decider.scale_down_delay,
        "initial_scale": settings.initial_scale,
        "activator_capacity": settings.activator_capacity,
    }


def metric_values(settings: Settings) -> dict[str, Any]:
    collection = settings.collection
    return {
        "stable_window_s": collection.stable_window,
        "panic_window_s": collection.panic_window,
        "scrapes_pods": collection.scrapes_pods,
        "aggregation_algorithm": collection.aggregation,
    }


def describe(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", RECORDS["scale_application"], ids=describe)
def test_a_scale_is_applied_as_by_the_reference(case: dict[str, Any]) -> None:
    settings = resolve(
        parse_autoscaler_config(case["config"]),
        case["annotations"],
        reachability=case["reachability"],
        progress_deadline=case["progress_deadline_s"],
    )
    situation = Situation(
        activity=Activity(case["activity"]),
        in_activity_for=case["in_activity_for_s"],
        initialized=case["scale_target_initialized"],
        wants_proxy=case["sks_mode"] == "Proxy",
        proxying_for=case["proxying_for_s"],
        replicas=case["current_replicas"],
    )
    first = plan(settings, situation, case["desired_scale"])
    found = case["probe"] == "ok"
    final = plan(settings, situation, case["desired_scale"], activator_in_path=found) if first.needs_proof else first
    assert {
        "scale": final.scale,
        "replicas_written": final.replicas,
        "requeue_after_s": final.look_again_after,
        "probed": first.needs_proof,
        "async_probe_started": first.needs_proof and not found,
    } == case["want"]
