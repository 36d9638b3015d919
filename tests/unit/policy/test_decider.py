"""Decisions told as stories: at a time, the revision sees a load, and is expected to want so many pods."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upwell.policy.decider import DeciderSpec, DeciderState, Decision, Observation, decide

SPEC = DeciderSpec(target_value=10, total_value=10, target_burst_capacity=0)


class Story:
    """One revision over time; the pods that are wanted are there at the next step, unless said otherwise."""

    def __init__(self, *, pods: int = 1, **settings: Any) -> None:
        self.spec = dataclasses.replace(SPEC, **settings)
        self.pods = pods
        self.now = 0.0
        self.state = DeciderState.start(self.spec, pods, 0)
        self.decision: Decision | None = None

    def at(self, *, minutes: float = 0, seconds: float = 0) -> "Story":
        self.now = minutes * 60 + seconds
        return self

    def has(self, pods: int) -> "Story":
        self.pods = pods
        return self

    def sees(self, *, concurrency: float, lately: float | None = None) -> "Story":
        panic = concurrency if lately is None else lately
        self.decision = decide(self.spec, self.state, Observation(concurrency, panic, self.pods), self.now)
        return self

    def expects(self, *, pods: int, panic: bool | None = None) -> "Story":
        assert self.decision is not None
        assert self.decision.desired == pods
        if panic is not None:
            assert self.decision.in_panic is panic
        self.pods = pods
        return self


def test_pods_follow_the_load_rounded_up() -> None:
    story = Story(panic_threshold=10)

    story.at(seconds=2).sees(concurrency=10).expects(pods=1)
    story.at(seconds=4).sees(concurrency=10.1).expects(pods=2)
    story.at(seconds=6).sees(concurrency=0).expects(pods=1)
    story.at(seconds=8).sees(concurrency=0).expects(pods=0)


def test_a_burst_that_doubles_the_need_is_panic_and_nothing_is_taken_away_in_it() -> None:
    story = Story()

    story.at(seconds=2).sees(concurrency=5, lately=40).expects(pods=4, panic=True)
    story.at(seconds=30).sees(concurrency=5, lately=0).expects(pods=4, panic=True)
    story.at(seconds=62).sees(concurrency=5, lately=0).expects(pods=4, panic=True)
    story.at(seconds=62.5).sees(concurrency=5, lately=0).expects(pods=2, panic=False)


def test_each_further_burst_extends_the_panic() -> None:
    story = Story()
    story.at(seconds=2).sees(concurrency=5, lately=40).expects(pods=4, panic=True)
    story.at(seconds=40).sees(concurrency=5, lately=80).expects(pods=8, panic=True)

    story.at(seconds=90).sees(concurrency=5, lately=5).expects(pods=8, panic=True)
    story.at(seconds=101).sees(concurrency=5, lately=5).expects(pods=4, panic=False)


def test_an_autoscaler_that_just_started_takes_no_pod_away_for_a_stable_window() -> None:
    story = Story(pods=7)

    story.at(seconds=2).sees(concurrency=0).expects(pods=7, panic=True)
    story.at(seconds=60).sees(concurrency=0).expects(pods=7, panic=True)
    story.at(seconds=62).sees(concurrency=0).expects(pods=3, panic=False)


def test_rates_limit_one_step_in_both_directions() -> None:
    story = Story(pods=1, max_scale_up_rate=3, panic_threshold=1000)

    story.at(seconds=2).sees(concurrency=500).expects(pods=3)
    story.at(seconds=4).sees(concurrency=500).expects(pods=9)
    story.at(seconds=6).sees(concurrency=0).expects(pods=4)


def test_an_unreachable_revision_may_shrink_at_once() -> None:
    story = Story(pods=1, reachable=False, panic_threshold=1000)
    story.at(seconds=2).has(9).sees(concurrency=0).expects(pods=0)


def test_scale_down_waits_for_the_delay() -> None:
    story = Story(scale_down_delay=300, panic_threshold=1000)

    story.at(seconds=2).sees(concurrency=40).expects(pods=4)
    story.at(minutes=5).sees(concurrency=0).expects(pods=4)
    story.at(minutes=5, seconds=2).sees(concurrency=0).expects(pods=2)
    story.at(minutes=5, seconds=4).sees(concurrency=40).expects(pods=4)


def test_any_load_wakes_as_many_pods_as_the_activation_scale() -> None:
    story = Story(pods=0, activation_scale=5, panic_threshold=1000)

    story.at(seconds=2).sees(concurrency=0).expects(pods=0)
    story.at(seconds=4).sees(concurrency=0.1).expects(pods=5)
    story.at(seconds=6).sees(concurrency=0).expects(pods=2)


@pytest.mark.parametrize(
    ("burst", "pods", "lately", "excess"),
    [(0, 3, 5, 0), (-1, 3, 5, -1), (20, 3, 5, 5), (20, 3, 10.5, -1), (20, 0, 0, -20)],
)
def test_the_room_for_a_burst_is_what_ready_pods_bear_beyond_it(
    burst: float, pods: int, lately: float, excess: int
) -> None:
    story = Story(pods=pods, target_burst_capacity=burst)

    story.at(seconds=2).has(pods).sees(concurrency=0, lately=lately)

    assert story.decision is not None
    assert story.decision.excess_burst_capacity == excess


def test_a_decision_keeps_the_numbers_that_led_to_it() -> None:
    decision = Story(pods=1).at(seconds=2).sees(concurrency=25, lately=5).decision

    assert decision is not None
    assert (decision.wanted_stable, decision.wanted_panic, decision.lowest, decision.highest) == (3, 1, 0, 1000)
    assert decision.observation == Observation(25, 5, 1)


loads = st.floats(0, 1e6)
specs = st.builds(
    DeciderSpec,
    target_value=st.floats(0.01, 1000),
    total_value=st.floats(0.01, 1000),
    target_burst_capacity=st.one_of(st.just(-1.0), st.floats(0, 1000)),
    max_scale_up_rate=st.floats(1.01, 1000),
    max_scale_down_rate=st.floats(1.01, 10),
    stable_window=st.integers(6, 60).map(float),
    scale_down_delay=st.integers(0, 60).map(float),
    activation_scale=st.integers(0, 10),
    reachable=st.booleans(),
)


@given(specs, st.integers(0, 50), st.lists(st.tuples(loads, loads, st.integers(0, 50)), max_size=30))
def test_panic_never_scales_down(spec: DeciderSpec, pods: int, steps: list[tuple[float, float, int]]) -> None:
    state, before = DeciderState.start(spec, pods, 0), 0
    for number, (stable, panic, ready) in enumerate(steps, start=1):
        decision = decide(spec, state, Observation(stable, panic, ready), number * 2)

        if decision.in_panic:
            assert decision.undelayed >= before
        before = decision.undelayed if decision.in_panic else 0


@given(specs, st.integers(0, 50), loads, loads, loads)
def test_more_load_never_means_fewer_pods(
    spec: DeciderSpec, pods: int, stable: float, panic: float, more: float
) -> None:
    def wanted(extra: float) -> int:
        state = DeciderState.start(spec, 0, 0)
        return decide(spec, state, Observation(stable + extra, panic + extra, pods), 2).desired

    assert wanted(more) >= wanted(0)


@given(specs, st.integers(0, 50), loads, loads)
def test_one_step_stays_within_the_rates(spec: DeciderSpec, pods: int, stable: float, panic: float) -> None:
    decision = decide(spec, DeciderState.start(spec, 0, 0), Observation(stable, panic, pods), 2)

    assert decision.lowest <= decision.desired <= max(decision.highest, spec.activation_scale)
