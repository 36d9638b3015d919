"""The simulation request by request, against outcomes worked out by hand."""

from dataclasses import replace

import pytest

from tests.unit.simulate.lab_world import integral, pods, policy, ready_at, requests, steady, tried
from upwell.simulate.requests import simulate_requests


def test_one_request_at_zero_takes_the_cold_start_and_its_own_time() -> None:
    outcome = tried(policy(), (10.0, 0.25), cold_start="1.5s")

    assert (outcome.requests, outcome.answered, outcome.cold_starts, outcome.pods_started) == (1, 1, 1, 1)
    assert outcome.latency.at[50.0] == pytest.approx(1.75)
    assert outcome.pods[:2] == [(0.0, 0), (11.5, 1)]


def test_a_revision_just_deployed_asks_for_its_initial_scale_and_needs_no_other_cold_start() -> None:
    deployed = replace(policy(initial_scale="2"), just_deployed=True)

    outcome = tried(deployed, (10.0, 0.25), cold_start="1.5s")

    assert (outcome.cold_starts, outcome.pods_started) == (0, 2)
    assert outcome.pods[:2] == [(0.0, 0), (1.5, 2)]
    assert outcome.latency.at[50.0] == pytest.approx(0.25)


def test_a_pod_costs_from_when_it_is_asked_for_until_it_is_gone() -> None:
    outcome = tried(policy(window="6s"), (10.0, 0.25), cold_start="1.5s")

    # The window holds the last second with a request in it for six seconds, and the decision falls on an even one.
    gone = outcome.pods[-2][0]
    assert outcome.pods[-2:] == [(gone, 0), (outcome.seconds, 0)]
    assert 18 <= gone <= 20
    assert outcome.pod_seconds == pytest.approx(gone - 10.0)
    assert outcome.idle_seconds == pytest.approx(outcome.pod_seconds - 0.25)


def test_the_last_pod_stays_for_as_long_as_it_is_to_be_retained() -> None:
    plain = tried(policy(window="6s"), (0.0, 0.1))
    retained = tried(policy(window="6s", scale_to_zero_pod_retention_period="40s"), (0.0, 0.1))

    assert retained.seconds - plain.seconds == pytest.approx(40, abs=2)


def test_a_service_in_the_path_of_nobody_waits_for_the_grace_period_before_its_last_pod_goes() -> None:
    # Burst capacity 0: requests go straight to the pod, so the activator has to come into the path first.
    direct = tried(policy(window="6s", target_burst_capacity="0"), (0.0, 0.1), (4.0, 0.1))
    proxied = tried(policy(window="6s"), (0.0, 0.1), (4.0, 0.1))

    assert direct.seconds - proxied.seconds == pytest.approx(30, abs=2)


def test_minimum_scale_means_no_cold_start() -> None:
    outcome = tried(policy(min_scale="2"), (5.0, 0.1))

    assert (outcome.cold_starts, outcome.pods_started) == (0, 0)
    assert outcome.latency.at[100.0] == pytest.approx(0.1)
    assert {ready for _, ready in outcome.pods} == {2}


@pytest.mark.parametrize(
    ("rate", "duration", "concurrency", "expected"), [(50, 0.2, 2, 8), (100, 0.1, 5, 3), (20, 1.0, 1, 29)]
)
def test_steady_load_needs_load_over_target_pods(rate: float, duration: float, concurrency: int, expected: int) -> None:
    # rate * duration requests in flight, of which a pod is to have 70 % of its limit.
    outcome = simulate_requests(policy(concurrency), pods(), steady(rate, 200, duration))

    assert outcome.answered == outcome.requests
    assert ready_at(outcome, 190) == expected


def test_scaling_on_rate_needs_rate_over_target_pods() -> None:
    outcome = simulate_requests(policy(metric="rps", target="10"), pods(), steady(50, 150, 0.02))

    assert ready_at(outcome, 145) == 8  # 50 a second over 70 % of 10


def test_maximum_scale_bounds_pods_and_makes_requests_wait() -> None:
    outcome = simulate_requests(policy(1, max_scale="2"), pods(), steady(10, 60, 0.5))

    assert outcome.peak_pods == 2
    assert outcome.latency.at[99.0] > 20  # 5 in flight for 2 slots: the queue grows by 6 a second
    assert outcome.answered == outcome.requests


def test_what_waits_for_longer_than_the_timeout_fails_at_it() -> None:
    outcome = tried(policy(timeout=3.0), (0.0, 0.1), (0.5, 0.1), cold_start="10s")

    assert dict(outcome.failed) == {"timed out": 2}
    assert outcome.latency.count == 0


def test_a_request_that_takes_longer_than_the_timeout_is_cut_off() -> None:
    outcome = tried(policy(timeout=3.0, min_scale="1"), (0.0, 10.0), (0.0, 1.0))

    assert dict(outcome.failed) == {"timed out": 1}
    assert outcome.latency.count == 1


def test_the_activator_turns_away_what_its_queue_cannot_hold() -> None:
    outcome = tried(policy(1, max_scale="1"), *[(1.0, 0.0001)] * 10_050)

    assert outcome.failed["activator's queue full"] == 50


def test_a_pods_sidecar_holds_eleven_times_its_limit_and_refuses_more() -> None:
    # Straight to the one pod: 2 in the app, 20 in line.
    outcome = tried(policy(2, min_scale="1", target_burst_capacity="0"), *[(4.0, 1.0)] * 30)

    assert outcome.failed["pod's queue full"] == 8


def test_a_burst_beyond_what_the_pods_bear_sets_off_panic_and_ends_a_window_after() -> None:
    calm = [(t / 10, 0.1) for t in range(1200)]
    burst = [(60 + t / 200, 0.1) for t in range(1000)]
    outcome = tried(policy(2, min_scale="1"), *calm, *burst)

    assert outcome.panics >= 1
    assert ready_at(outcome, 70) >= 10
    assert ready_at(outcome, 90) >= ready_at(outcome, 70), "no pod goes while it panics"


def test_scale_down_waits_for_the_delay() -> None:
    traffic = steady(40, 60, 0.5)
    plain = simulate_requests(policy(4, window="6s", min_scale="1"), pods(), traffic)
    delayed = simulate_requests(policy(4, window="6s", min_scale="1", scale_down_delay="60s"), pods(), traffic)

    assert ready_at(plain, 80) == 1
    assert ready_at(delayed, 115) >= ready_at(plain, 59) == 8
    assert ready_at(delayed, 140) < 8


def test_pods_are_the_integral_of_ready_and_starting_pods() -> None:
    outcome = simulate_requests(policy(2), pods("2s"), steady(10, 30, 0.2))

    starting = 2.0 * outcome.pods_started
    assert outcome.pod_seconds == pytest.approx(integral(outcome.pods) + starting, rel=0.02)


def test_long_silence_is_skipped_and_makes_a_cold_start_each_time() -> None:
    day = 86_400.0
    outcome = tried(policy(), *[(index * day, 0.1) for index in range(300)])

    assert outcome.cold_starts == 300
    assert len(outcome.timeline) < 300 * 100


def test_the_same_seed_has_the_same_outcome_and_another_one_another() -> None:
    traffic = steady(30, 60, 0.3)
    model = pods("lognormal:p50=1s,p99=5s")

    first, second, other = (simulate_requests(policy(1), model, traffic, seed) for seed in (1, 1, 2))

    assert first.figures() == second.figures()
    assert first.pods == second.pods
    assert first.pods != other.pods


def test_requests_in_unix_time_begin_at_the_first_of_them() -> None:
    start = 1_700_000_000.0

    moved, plain = requests((start + 1.5, 0.1), (start, 0.2)), requests((0.0, 0.2), (1.5, 0.1))

    assert list(moved.arrivals) == pytest.approx(list(plain.arrivals))
    assert moved.out_of_order == 1
