"""Decisions in words: each rule that had a say is named, and none that had not."""

from dataclasses import replace

from autoscaler.explanation import explain_decision, explain_next, explain_plan
from upwell.policy.autoscaler_config import AutoscalerConfig
from upwell.policy.decider import DeciderSpec, DeciderState, Observation, decide
from upwell.policy.resolution import Settings, resolve
from upwell.policy.scale_to_zero import Plan

SPEC = DeciderSpec(target_value=7, total_value=10, target_burst_capacity=5)
NOW = 1000.0


def told(spec: DeciderSpec, observation: Observation, state: DeciderState | None = None) -> str:
    state = state or DeciderState.start(spec, 0, NOW)
    return "\n".join(explain_decision(decide(spec, state, observation, NOW), 6))


def settings(spec: DeciderSpec = SPEC, **annotations: str) -> Settings:
    given = {f"autoscaling.knative.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return replace(resolve(AutoscalerConfig(), given), decider=spec)


def test_both_windows_are_told_with_their_figures() -> None:
    assert told(SPEC, Observation(20, 6, 3)).splitlines() == [
        "stable window (60 s): 20 concurrent requests / 7 per pod = 3 pods",
        "panic window (6 s): 6 concurrent requests / 7 per pod = 1 pod, 0.3333 times the 3 ready (panic from 2 times)",
        "the ready pods have room for 19 more than target-burst-capacity (5): straight to the pods",
    ]


def test_each_limit_is_named_where_it_held() -> None:
    assert "max-scale-down-rate (2): no fewer than 5 in one step" in told(SPEC, Observation(1, 1, 10))
    fast = replace(SPEC, max_scale_up_rate=2.0)
    assert "max-scale-up-rate (2): no more than 4 in one step" in told(fast, Observation(100, 100, 2))
    assert "in panic" in told(fast, Observation(100, 100, 2))
    assert "activation-scale: at least 4" in told(replace(SPEC, activation_scale=4), Observation(1, 1, 1))
    assert "requests/s" in told(replace(SPEC, metric="rps"), Observation(1, 1, 1))
    held = DeciderState.start(SPEC, 0, NOW)
    held.hold(9, NOW + 60)
    assert "held at 9" in told(SPEC, Observation(7, 7, 9), held)
    delayed = replace(SPEC, scale_down_delay=60.0)
    state = DeciderState.start(delayed, 0, NOW)
    decide(delayed, state, Observation(70, 7, 9), NOW - 2)
    assert "scale-down-delay (60 s): the highest wish of that time, 10, holds" in told(
        delayed, Observation(7, 7, 9), state
    )
    for burst, part in ((0.0, "at zero only"), (-1.0, "always in the path"), (100.0, "lack room for 97 of")):
        assert part in told(replace(SPEC, target_burst_capacity=burst), Observation(7, 7, 1))


def test_what_became_of_a_decision_is_told() -> None:
    def applied(given: Settings, desired: int, step: Plan | None) -> str:
        return "\n".join(explain_plan(given, desired, step, True))

    assert applied(settings(), 3, Plan(3)) == ""
    assert applied(settings(min_scale="2"), 1, Plan(2)) == "min-scale raises it to 2"
    assert applied(settings(max_scale="2"), 5, Plan(2)) == "max-scale lowers it to 2"
    assert applied(settings(initial_scale="3"), 1, Plan(3)) == "initial-scale raises it to 3 until it was reached once"
    assert "the last pod stays until" in applied(settings(), 0, Plan(1))
    assert "grace period is over (again in 3 s)" in applied(settings(), 0, Plan(0, look_again_after=3))
    assert "nothing was decided" in applied(settings(), -1, None)


def test_what_would_change_the_scale_is_told() -> None:
    def following(given: Settings, observation: Observation, state: DeciderState | None = None) -> list[str]:
        state = state or DeciderState.start(given.decider, 0, NOW)
        decision = decide(given.decider, state, observation, NOW)
        return list(explain_next(given, decision, state, NOW))

    assert following(settings(), Observation(20, 6, 3)) == [
        "more pods: from an average of more than 21 concurrent requests",
        "panic: from a panic window that averages more than 35 concurrent requests",
        "fewer pods: at a stable average of 14 concurrent requests or less",
    ]
    assert following(settings(), Observation(1, 1, 1))[-1] == "zero: after 60 s without any load"
    assert "only with a lower min-scale (1)" in following(settings(min_scale="1"), Observation(1, 1, 1))[-1]
    assert "only with a higher max-scale (2)" in following(settings(max_scale="2"), Observation(14, 1, 1))[0]
    panicking = following(settings(), Observation(70, 70, 1))
    assert "panic ends in 60 s unless" in panicking[1]
    held = DeciderState.start(SPEC, 0, NOW)
    held.hold(9, NOW + 30)
    assert following(settings(), Observation(7, 7, 9), held)[-1] == "fewer pods than 9: not before 30 s from now"
