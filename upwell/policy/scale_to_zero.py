"""From the scale a revision should have to what is written to its workload, and the steps down to zero.

The last pod goes only when requests cannot be lost by it. In order: no traffic for a whole stable window; then the
revision counts as inactive and its traffic is sent through the activator; then a probe of the revision's address
proves that the activator answers there; then a grace period passes, counted from when the activator became the
backend; then the pods go.

`plan` says what to do now and when to look again. It asks for the proof where it needs it, rather than getting it;
`proven_plan` gets it and plans again. `next_activity` says whether the revision counts as active from now on. Pure: all
times are durations that are passed in. Source: contract, autoscaler.md 8.1 and 9.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from upwell.policy.decider import UNKNOWN_SCALE
from upwell.policy.resolution import Settings

__all__ = [
    "ACTIVATING",
    "ACTIVE",
    "INACTIVE",
    "Activity",
    "Outlook",
    "Plan",
    "Situation",
    "next_activity",
    "plan",
    "proven_plan",
    "without_a_guess",
]


class Activity(StrEnum):
    """What the condition Active of a PodAutoscaler says."""

    ACTIVE = "active"
    ACTIVATING = "activating"
    """Pods were asked for and are not there yet."""
    INACTIVE = "inactive"


ACTIVE: Final = Activity.ACTIVE
ACTIVATING: Final = Activity.ACTIVATING
INACTIVE: Final = Activity.INACTIVE

ACTIVATION_SLACK: Final = 30.0
"""Seconds on top of the progress deadline before an activation counts as failed."""
PROXY_RECHECK: Final = 3.0
"""Seconds until a revision that is on its way to the activator is looked at again."""


class Situation(NamedTuple):
    """Where a revision stands."""

    activity: Activity
    in_activity_for: float
    """Seconds."""
    initialized: bool
    """Whether it ever had its initial scale."""
    wants_proxy: bool
    """Whether its traffic is to go through the activator already."""
    proxying_for: float | None
    """Seconds that the activator has been the backend; None when it is not."""
    replicas: int
    """What the workload is set to now."""


class Plan(NamedTuple):
    """What to do now."""

    scale: int
    """The scale to report and to act on; -1 when it is not known."""
    replicas: int | None = None
    """To write to the workload; None: leave it."""
    look_again_after: float | None = None
    """Seconds."""
    needs_proof: bool = False
    """Whether to find out if the activator is in the path, and then plan again."""


def plan(settings: Settings, situation: Situation, desired: int, *, activator_in_path: bool | None = None) -> Plan:
    """What to do about a `desired` scale (-1: unknown); `activator_in_path` None means nobody looked yet."""
    if desired < 0 and situation.activity is not ACTIVATING:
        return Plan(desired)
    scale = _within_bounds(settings, situation, desired)
    if scale != 0:
        return _apply(situation, scale)
    if not settings.enable_scale_to_zero:
        return _apply(situation, 1)
    if situation.activity is ACTIVATING:
        return _give_up_activation(settings, situation)
    if situation.activity is ACTIVE:
        return _become_inactive(settings, situation)
    if settings.decider.target_burst_capacity != -1 and not activator_in_path:
        return Plan(0, needs_proof=activator_in_path is None)
    return _remove_last_pods(settings, situation)


def proven_plan(settings: Settings, situation: Situation, desired: int, proof: Callable[[], bool]) -> Plan:
    """What to do about a `desired` scale; `proof` says if the activator is in the path; asked if need be."""
    step = plan(settings, situation, desired)
    if step.needs_proof:
        step = plan(settings, situation, desired, activator_in_path=proof())
    return without_a_guess(step, situation, desired)


def without_a_guess(step: Plan, situation: Situation, desired: int) -> Plan:
    """`step`, but for taking pods away from a revision that has been scaled before while the scale is not known.

    A decider that just took over a revision in the middle of its start knows none yet; the minimum is no reason to
    stop the pods that somebody waits for.
    """
    replicas = step.replicas
    if desired >= 0 or not situation.initialized or replicas is None or not 0 < replicas < situation.replicas:
        return step
    return Plan(situation.replicas, look_again_after=step.look_again_after)


def _within_bounds(settings: Settings, situation: Situation, desired: int) -> int:
    minimum = settings.min_scale
    if settings.initial_scale > 1 and not situation.initialized and settings.decider.reachable:
        minimum = max(settings.initial_scale, minimum)
    # The minimum wins over the maximum: an initial scale above it is reached once.
    if desired < minimum:
        return minimum
    return min(desired, settings.max_scale) if settings.max_scale else desired


def _apply(situation: Situation, scale: int, look_again_after: float | None = None) -> Plan:
    return Plan(scale, None if scale == situation.replicas else scale, look_again_after)


def _give_up_activation(settings: Settings, situation: Situation) -> Plan:
    patience = settings.progress_deadline + ACTIVATION_SLACK
    if situation.in_activity_for > patience:
        return _apply(situation, 0)
    return Plan(UNKNOWN_SCALE, look_again_after=patience)


def _become_inactive(settings: Settings, situation: Situation) -> Plan:
    remaining = settings.decider.stable_window - situation.in_activity_for
    if remaining > 0:
        return _apply(situation, 1, remaining)
    # Reporting 0 without applying it makes the revision inactive and sends its traffic to the activator.
    return Plan(0, look_again_after=PROXY_RECHECK if situation.wants_proxy else None)


def _remove_last_pods(settings: Settings, situation: Situation) -> Plan:
    grace, retention, inactive_for = (
        settings.scale_to_zero_grace_period,
        settings.last_pod_retention,
        situation.in_activity_for,
    )
    if inactive_for >= max(grace, retention):
        return _apply(situation, 0)
    if inactive_for < retention:
        return Plan(0, look_again_after=retention - inactive_for)
    remaining = grace - (situation.proxying_for or 0.0)
    return _apply(situation, 0) if remaining <= 0 else Plan(0, look_again_after=remaining)


class Outlook(StrEnum):
    """What the condition Active is to become."""

    ACTIVE = "active"
    QUEUED = "queued"
    """Requests wait for pods."""
    NO_TRAFFIC = "no traffic"
    TIMED_OUT = "timed out"
    """The pods asked for did not come in time."""
    UNCHANGED = "unchanged"


def next_activity(activity: Activity, want: int, ready_pods: int, threshold: int) -> Outlook:
    """Where a revision that should have `want` pods (-1: unknown) goes from `activity`.

    `threshold` is `Settings.active_threshold`. A revision that is inactive stays so until pods are wanted, however
    many there still are.
    """
    if want == 0 or threshold == 0:
        return Outlook.TIMED_OUT if activity is ACTIVATING and threshold > 0 else Outlook.NO_TRAFFIC
    wakes = want > 0 or activity is not INACTIVE
    if ready_pods < threshold:
        return Outlook.QUEUED if wakes else Outlook.NO_TRAFFIC
    return Outlook.ACTIVE if wakes else Outlook.UNCHANGED
