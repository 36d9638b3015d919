"""The simulation minute by minute: by hand, against itself without leaps, and against the one by requests."""

import random
from dataclasses import replace

import pytest

from tests.unit.simulate.lab_world import pods, policy
from upwell.simulate.arrivals import SpreadArrivals
from upwell.simulate.function_run import FunctionRun
from upwell.simulate.lab import spread, try_policies
from upwell.simulate.minutes import simulate_minutes
from upwell.simulate.policy import Policy
from upwell.simulate.requests import simulate_requests
from upwell.simulate.stillness import Stillness
from upwell.simulate.traces import MinuteCounts


def run(counts: list[int], with_policy: Policy | None = None, service_time: str = "200ms") -> FunctionRun:
    return simulate_minutes(with_policy or policy(), pods("1s", service_time), MinuteCounts("f", counts))


def test_arrivals_are_evenly_spaced_in_their_minute() -> None:
    arrivals = SpreadArrivals([2, 0, 4])

    assert [arrivals.by(t) for t in (0, 15, 15.1, 60, 120, 127.5, 127.6, 1000)] == [0, 0, 1, 2, 2, 2, 3, 6]
    assert [arrivals.next_before(t, 200) for t in (0, 15, 15.1, 46, 173)] == [15, 15, 45, 127.5, None]
    assert [arrivals.next_before(46, end) for end in (60, 127.5, 127.6)] == [None, None, 127.5]
    assert [arrivals.latest_before(t) for t in (15, 16, 60, 127.5, 500)] == [None, 15, 45, 45, 172.5]


@pytest.mark.parametrize("duration", [0.3, 5.0, 90.0])
def test_the_number_in_service_is_what_counting_each_request_gives(duration: float) -> None:
    counts = [3, 0, 7, 61, 2]
    times = [60 * minute + (i + 0.5) * 60 / count for minute, count in enumerate(counts) for i in range(count)]
    arrivals = SpreadArrivals(counts)

    for second in range(0, 360, 7):
        overlaps = (max(0.0, min(second + 1, t + duration) - max(second, t)) for t in times)
        new, in_service = arrivals.between(second, second + 1, duration)
        assert in_service == pytest.approx(sum(overlaps), abs=1e-6)
        assert new == sum(second <= t < second + 1 for t in times)


def test_a_request_an_hour_is_a_cold_start_an_hour() -> None:
    outcome = run([1 if minute % 60 == 0 else 0 for minute in range(300)])

    assert (outcome.cold_starts, outcome.pods_started) == (5, 5)
    assert dict(outcome.cold_waits) == {1.0: 5.0}
    assert outcome.pod_seconds / 5 == pytest.approx(62, abs=2)  # the window, and on to an even second


def test_a_request_a_minute_keeps_its_pod() -> None:
    outcome = run([1] * 200)

    assert (outcome.cold_starts, outcome.pods_started) == (1, 1)
    assert list(outcome.ready[10:200]) == [1.0] * 190


def test_steady_counts_need_load_over_target_pods() -> None:
    # 6,000 a minute for 200 ms are 20 at once; over 70 % of 2 that makes 15 pods.
    outcome = run([6000] * 30, policy(2))

    assert outcome.ready[20] == 15.0
    assert outcome.failed.total() == 0


def test_what_comes_above_the_pods_capacity_waits_and_then_fails() -> None:
    # 6 a second, of which the pod bears 5: the queue's end waits for 30 s after three minutes.
    outcome = run([360] * 20, policy(1, timeout=30.0, max_scale="1"))
    early = run([360] * 2, policy(1, timeout=30.0, max_scale="1"))

    assert early.failed.total() == 0
    assert max(early.waits) == pytest.approx(26, abs=1)  # 120 too many, and the two seconds of the start
    assert outcome.failed["timed out"] > 1000
    assert outcome.failed.total() + sum(outcome.waits.values()) == pytest.approx(outcome.requests, rel=0.01)


@pytest.mark.parametrize("rate", [0.05, 0.5, 1, 3, 40, 3000])
@pytest.mark.parametrize(
    "tried",
    [
        policy(),
        policy(1),
        policy(5, window="30s", min_scale="1"),
        policy(2, scale_down_delay="90s"),
        policy(metric="rps"),
        policy(2, window="90s", metric_aggregation_algorithm="weighted-exponential"),
    ],
    ids=["default", "one at a time", "minimum", "delayed", "rps", "weighted"],
)
def test_leaps_change_nothing(rate: float, tried: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(rate)
    counts = [max(0, round(rng.gauss(rate, rate**0.5))) for _ in range(90)]

    leaping = run(counts, tried)
    monkeypatch.setattr(Stillness, "until", lambda self, t, minute, ready: t)
    walking = run(counts, tried)

    assert list(leaping.ready) == pytest.approx(list(walking.ready))
    assert (leaping.cold_starts, leaping.pods_started) == (walking.cold_starts, walking.pods_started)
    assert leaping.pod_seconds == pytest.approx(walking.pod_seconds)
    assert leaping.idle_seconds == pytest.approx(walking.idle_seconds, rel=0.01, abs=5)


def test_a_revision_just_deployed_starts_with_its_initial_scale_and_is_at_zero_a_window_later() -> None:
    deployed = replace(policy(initial_scale="3"), just_deployed=True)

    idle = run([0] * 20, deployed)

    assert (idle.pods_started, idle.peak_pods) == (3, 3)
    # From the first decision on the pods are halved, and the last one stays for the window of a minute.
    assert (idle.ready[0] > 1, list(idle.ready[2:])) == (True, [0.0] * 18)
    assert run([0] * 20, policy(initial_scale="3")).pods_started == 0


@pytest.mark.parametrize("rate", [2, 60, 3000])
def test_both_models_agree_on_cost(rate: int) -> None:
    rng = random.Random(rate)
    function = MinuteCounts("f", [max(0, round(rng.gauss(rate, rate**0.5))) for _ in range(120)])
    tried, model = policy(10), pods("1s", "200ms")

    by_minutes = simulate_minutes(tried, model, function)
    by_requests = simulate_requests(tried, model, spread(function, model.service_time, 1))

    assert by_minutes.pod_seconds == pytest.approx(by_requests.pod_seconds, rel=0.1)


def test_many_functions_add_up_whatever_the_number_of_processes() -> None:
    functions = [MinuteCounts(f"f{number}", [number % 7 * 20, 0, number] * 5) for number in range(60)]

    (alone,) = try_policies([policy(3)], pods(), functions, jobs=1)
    (shared,) = try_policies([policy(3)], pods(), functions, jobs=2)

    assert alone.figures() == shared.figures()
    assert alone.requests == sum(sum(function.counts) for function in functions)
    assert len(alone.revisions) == 60
    assert sum(alone.timeline.column("arrivals")) == alone.requests
