"""Capacity, its sharing out, and the choice of pods agree with the reference on every recorded case."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.golden.conftest import load
from upwell.policy.breaker import RUNNING, Breaker
from upwell.policy.capacity import (
    apply_bounds,
    assign_slice,
    num_activators,
    revision_capacity,
    sample_size,
    scrape_average,
)
from upwell.policy.picking import Pod
from upwell.policy.throttler import QueueFull, Throttler

CASES = load("capacity.json")
SERVICE = "10.96.0.1:80"


@pytest.mark.parametrize("case", CASES["sample_size"], ids=lambda case: str(case["population"]))
def test_sample_size(case: dict[str, Any]) -> None:
    assert sample_size(case["population"]) == case["want"]


@pytest.mark.parametrize("case", CASES["scrape_average"])
def test_scrape_average(case: dict[str, Any]) -> None:
    samples = [SimpleNamespace(**stat) for stat in case["sampled_stats"]]
    average = scrape_average(samples, case["total_pods"])._asdict()
    assert average == pytest.approx({name: case["want"][name] for name in average}, abs=1e-6, rel=1e-6)


@pytest.mark.parametrize("case", CASES["num_activators"])
def test_number_of_activators(case: dict[str, Any]) -> None:
    inputs = {name: case[name] for name in case if name != "want"}
    assert num_activators(**inputs) == case["want"]


@pytest.mark.parametrize("case", CASES["apply_bounds"])
def test_bounds(case: dict[str, Any]) -> None:
    assert apply_bounds(case["value"], case["min"], case["max"]) == case["want"]


@pytest.mark.parametrize("case", CASES["revision_capacity"])
def test_capacity_of_a_revision(case: dict[str, Any]) -> None:
    capacity = revision_capacity(
        case["container_concurrency"], case["backends"], case["assigned_trackers"], case["activators"]
    )
    assert capacity == case["want"]


@pytest.mark.parametrize("case", CASES["assign_slice"])
def test_slice_of_an_activator(case: dict[str, Any]) -> None:
    assert assign_slice(range(case["trackers"]), case["self_index"], case["activators"]) == case["want"]


@pytest.mark.parametrize("case", CASES["throttler_sequences"], ids=lambda case: str(case["name"]))
def test_throttler_follows_pods_and_activators(case: dict[str, Any]) -> None:
    throttler: Throttler[int] = Throttler(case["container_concurrency"], queue_limit=0)
    for number, step in enumerate(case["steps"]):
        apply_step(throttler, step, case["self_ip"])
        assert state_of(throttler) == step["want"], f"step {number}: {step}"


def apply_step(throttler: Throttler[int], step: dict[str, Any], self_ip: str) -> None:
    if step["op"] == "pods":
        throttler.set_pods(step["pods"] or [])
    elif step["op"] == "cluster_ip":
        throttler.set_service(SERVICE, step["healthy_pods"])
    elif self_ip in (addresses := sorted(step["activator_ips"] or [])):
        throttler.set_activators(len(addresses), addresses.index(self_ip))


def state_of(throttler: Throttler[int]) -> dict[str, Any]:
    capacity = throttler.capacity
    return {
        "capacity": min(capacity, 1) if throttler.container_concurrency == 0 else capacity,
        "assigned_pods": [pod.address for pod in throttler.assigned],
        "num_activators": throttler.activators,
        "activator_index": throttler.index,
        "uses_cluster_ip": throttler.uses_service,
    }


@pytest.mark.parametrize("case", CASES["pod_picking"])
def test_pod_for_a_request(case: dict[str, Any]) -> None:
    throttler: Throttler[int] = Throttler(case["container_concurrency"], queue_limit=0)
    throttler.set_pods(case["pods"])
    taken: dict[int, Pod] = {}
    for number, step in enumerate(case["steps"]):
        if step["op"] == "pods":
            throttler.set_pods(step["pods"])
        elif step["op"] == "release":
            throttler.release(taken.pop(step["request"]))
        else:
            assert acquire(throttler, step["request"], taken) == step["want"], f"step {number}: {step}"


def acquire(throttler: Throttler[int], request: int, taken: dict[int, Pod]) -> str | None:
    try:
        pod = throttler.admit(request)
    except QueueFull:
        return None
    assert pod is not None
    taken[request] = pod
    return pod.address


@pytest.mark.parametrize("case", CASES["breaker"])
def test_breaker_without_waiting(case: dict[str, Any]) -> None:
    breaker: Breaker[int] = Breaker(case["initial_capacity"], queue_depth=0)
    running: list[int] = []
    for number, step in enumerate(case["steps"]):
        if step["op"] == "update":
            breaker.resize(step["capacity"])
        elif step["op"] == "release":
            breaker.leave(running.pop(0))
        else:
            entered = breaker.enter(number) is RUNNING
            assert entered == step["want"], f"step {number}: {step}"
            if entered:
                running.append(number)
        assert (breaker.capacity, breaker.running) == (step["want_capacity"], step["want_in_flight"])
