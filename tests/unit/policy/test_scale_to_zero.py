"""From a wish to a workload's scale: bounds, the steps to zero, and what the revision is called meanwhile."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upwell.policy.autoscaler_config import AutoscalerConfig
from upwell.policy.resolution import Settings, resolve
from upwell.policy.scale_to_zero import (
    ACTIVATING,
    ACTIVE,
    INACTIVE,
    Activity,
    Outlook,
    Plan,
    Situation,
    next_activity,
    plan,
)

CONFIG = AutoscalerConfig(stable_window=60, scale_to_zero_grace_period=30)


def settings(**annotations: str) -> Settings:
    return resolve(
        CONFIG, {f"autoscaling.knative.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    )


def standing(**values: Any) -> Situation:
    usual = Situation(
        activity=ACTIVE, in_activity_for=1000, initialized=True, wants_proxy=False, proxying_for=None, replicas=1
    )
    return usual._replace(**values)


def test_an_unknown_scale_changes_nothing() -> None:
    assert plan(settings(), standing(), -1) == Plan(-1)


def test_the_last_pod_goes_step_by_step() -> None:
    mine = settings()

    soon = plan(mine, standing(in_activity_for=20), 0)
    assert soon == Plan(1, look_again_after=40)
    quiet = plan(mine, standing(in_activity_for=60), 0)
    assert quiet == Plan(0)
    inactive = standing(activity=INACTIVE, in_activity_for=0, wants_proxy=True, proxying_for=0)
    assert plan(mine, inactive, 0) == Plan(0, needs_proof=True)
    assert plan(mine, inactive, 0, activator_in_path=False) == Plan(0)
    assert plan(mine, inactive, 0, activator_in_path=True) == Plan(0, look_again_after=30)
    over = standing(activity=INACTIVE, in_activity_for=30, wants_proxy=True, proxying_for=30)
    assert plan(mine, over, 0, activator_in_path=True) == Plan(0, replicas=0)


def test_the_last_pod_is_retained_as_long_as_asked_for() -> None:
    mine = settings(scale_to_zero_pod_retention_period="50s")
    inactive = standing(activity=INACTIVE, in_activity_for=40, wants_proxy=True, proxying_for=40)

    assert plan(mine, inactive, 0, activator_in_path=True) == Plan(0, look_again_after=10)


def test_where_zero_is_not_allowed_one_pod_stays() -> None:
    mine = resolve(dataclasses.replace(CONFIG, enable_scale_to_zero=False), {})

    assert plan(mine, standing(replicas=3), 0) == Plan(1, replicas=1)


def test_an_activation_that_takes_too_long_is_given_up() -> None:
    mine = settings()

    assert plan(mine, standing(activity=ACTIVATING, in_activity_for=630), 0) == Plan(-1, look_again_after=630)
    assert plan(mine, standing(activity=ACTIVATING, in_activity_for=631), 0) == Plan(0, replicas=0)


def test_the_initial_scale_is_a_minimum_until_it_was_reached_once() -> None:
    mine = settings(initial_scale="4", max_scale="3")

    assert plan(mine, standing(activity=ACTIVATING, initialized=False), 1) == Plan(4, replicas=4)
    assert plan(mine, standing(activity=ACTIVATING), 1).scale == 1


@pytest.mark.parametrize(
    ("activity", "want", "ready", "threshold", "outlook"),
    [
        (ACTIVATING, -1, 0, 1, Outlook.QUEUED),
        (ACTIVATING, -1, 1, 1, Outlook.ACTIVE),
        (ACTIVATING, 0, 0, 1, Outlook.TIMED_OUT),
        (ACTIVATING, -1, 0, 0, Outlook.NO_TRAFFIC),
        (ACTIVE, 0, 1, 1, Outlook.NO_TRAFFIC),
        (ACTIVE, 2, 0, 1, Outlook.QUEUED),
        (INACTIVE, -1, 1, 1, Outlook.UNCHANGED),
        (INACTIVE, -1, 0, 1, Outlook.NO_TRAFFIC),
        (INACTIVE, 1, 0, 1, Outlook.QUEUED),
        (INACTIVE, 1, 1, 1, Outlook.ACTIVE),
    ],
)
def test_what_a_revision_is_called(activity: Activity, want: int, ready: int, threshold: int, outlook: Outlook) -> None:
    assert next_activity(activity, want, ready, threshold) is outlook


situations = st.builds(
    Situation,
    activity=st.sampled_from(Activity),
    in_activity_for=st.floats(0, 1000),
    initialized=st.booleans(),
    wants_proxy=st.booleans(),
    proxying_for=st.one_of(st.none(), st.floats(0, 1000)),
    replicas=st.integers(0, 20),
)


@given(situations, st.integers(-1, 50), st.integers(0, 5), st.integers(0, 10), st.booleans())
def test_what_is_written_stays_within_the_bounds(
    situation: Situation, desired: int, minimum: int, extra: int, proven: bool
) -> None:
    maximum = minimum + extra
    mine = settings(min_scale=str(minimum), max_scale=str(maximum))

    written = plan(mine, situation, desired, activator_in_path=proven).replicas

    assert written is None or minimum <= written <= (maximum or 50)


@given(situations, st.booleans())
def test_a_revision_in_use_is_never_taken_to_zero(situation: Situation, proven: bool) -> None:
    active = situation._replace(activity=ACTIVE)

    assert plan(settings(), active, 0, activator_in_path=proven).replicas != 0


@given(situations)
def test_without_proof_the_last_pod_never_goes(situation: Situation) -> None:
    inactive = situation._replace(activity=INACTIVE)

    assert plan(settings(), inactive, 0, activator_in_path=False).replicas is None
