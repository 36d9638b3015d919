"""What holds for any traffic and any policy: nothing is lost, nothing is for free, nothing depends on luck alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.simulate.lab_world import integral, policy, tried
from upwell.simulate.policy import Policy

TRAFFIC = st.lists(
    st.tuples(st.floats(0, 400), st.one_of(st.just(0.0), st.floats(0.001, 40))), min_size=1, max_size=120
)
POLICIES = st.builds(
    lambda concurrency, timeout, lowest, highest, window, burst, metric, aggregation: policy(
        concurrency,
        timeout,
        min_scale=str(lowest),
        max_scale=str(lowest + highest if highest else 0),
        window=f"{window}s",
        target_burst_capacity=burst,
        metric=metric,
        metric_aggregation_algorithm=aggregation,
    ),
    st.sampled_from([0, 1, 2, 5]),
    st.sampled_from([2.0, 30.0, 300.0]),
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(6, 60),
    st.sampled_from(["-1", "0", "3", "211"]),
    st.sampled_from(["concurrency", "rps"]),
    st.sampled_from(["linear", "weighted-exponential"]),
)
COLD_STARTS = st.sampled_from(["0s", "1s", "20s", "lognormal:p50=1s,p99=10s"])


@given(TRAFFIC, POLICIES, COLD_STARTS)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_every_request_is_answered_or_counted_as_failed_and_every_pod_paid(
    traffic: list[tuple[float, float]], tried_policy: Policy, cold_start: str
) -> None:
    outcome = tried(tried_policy, *traffic, cold_start=cold_start)

    assert outcome.latency.count + sum(outcome.failed.values()) == outcome.requests == len(traffic)
    assert outcome.latency.at[100.0] <= tried_policy.timeout + 1e-6
    assert 0 <= outcome.idle_seconds <= outcome.pod_seconds + 1e-6
    assert outcome.pod_seconds >= integral(outcome.pods) - 1e-6
    if tried_policy.container_concurrency:
        assert outcome.pod_seconds * tried_policy.container_concurrency >= outcome.busy_request_seconds - 1e-6
    highest = tried_policy.settings.max_scale
    assert not highest or all(ready <= highest for _, ready in outcome.pods)
    lowest = tried_policy.settings.min_scale
    assert all(ready >= lowest for _, ready in outcome.pods[:-1])
    assert outcome.pods[-1][1] == lowest


@given(TRAFFIC, POLICIES)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_same_traffic_policy_and_seed_have_the_same_outcome(
    traffic: list[tuple[float, float]], tried_policy: Policy
) -> None:
    first, second = (tried(tried_policy, *traffic, cold_start="lognormal:p50=1s,p99=9s") for _ in range(2))

    assert first.figures() == second.figures()
    assert first.pods == second.pods


@given(TRAFFIC)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_with_a_pod_for_everyone_each_request_takes_its_own_time(traffic: list[tuple[float, float]]) -> None:
    outcome = tried(policy(min_scale="1"), *traffic)

    assert outcome.cold_starts == 0
    assert outcome.latency.mean == pytest.approx(sum(duration for _, duration in traffic) / len(traffic), abs=1e-9)
