"""How many pods a revision needs, decided every two seconds from what its windows say.

`decide` is a function of (spec, state, observation, now) and nothing else. It divides the load by the target per
pod, over a long (stable) and a short (panic) window; keeps each within a factor of the pods there are; and follows
the stable one until the short one shows a burst that the ready pods could not bear. Then it panics: it follows the
higher of the two and never goes down until a whole stable window has passed without another burst. A delay, if one
is set, holds the highest wish of the recent past. A state that was taken over from another process may hold pods for a
while (`upwell.policy.memory`). Bounds by minimum and maximum scale come later
(`upwell.policy.scale_to_zero`).

`DeciderState` is what must persist between decisions; `decide` changes it in place. `Decision` keeps the numbers
that led to it, so that it can be explained. Source of the rules: contract, autoscaler.md 7.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

from upwell.policy.quantities import INT32_MAX, INT32_MIN
from upwell.policy.windows import SlidingMaximum

__all__ = ["DECISION_TICK", "UNKNOWN_SCALE", "DeciderSpec", "DeciderState", "Decision", "Observation", "decide"]

DECISION_TICK: Final = 2.0
"""Seconds between regular decisions; also the granularity in which a delay is kept."""
UNKNOWN_SCALE: Final = -1
"""The desired scale before the first decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeciderSpec:
    """The settings one revision is decided by."""

    metric: str = "concurrency"
    """`concurrency` or `rps`."""
    target_value: float
    """Load per pod to aim for, in the metric's unit; above 0."""
    total_value: float
    """Load a pod can bear."""
    target_burst_capacity: float = 211.0
    """Load that shall fit on top at once, or else activators stay in the path: -1 always, 0 never."""
    panic_threshold: float = 2.0
    """Panic when the short window wants this many times the ready pods."""
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    stable_window: float = 60.0
    """Seconds; also how long panic lasts after the last burst."""
    scale_down_delay: float = 0.0
    """Seconds; only what it is when the state starts counts."""
    activation_scale: int = 0
    """Pods to have at least whenever there is any load; 0 and 1 mean no such wish."""
    reachable: bool = True
    """Whether a route leads here. An unreachable revision may shrink at once, and without delay."""


class Observation(NamedTuple):
    """What was seen at the time of a decision."""

    stable: float
    """Average load over the stable window, summed over all pods."""
    panic: float
    """The same over the panic window."""
    ready_pods: int


@dataclass(slots=True)
class DeciderState:
    """What one decision leaves for the next."""

    panic_since: float | None = None
    """When the last burst was seen, in Unix seconds; None outside panic."""
    max_panic_pods: int = 0
    """The most pods wished for in this panic."""
    delay: SlidingMaximum | None = None
    held_pods: int = 0
    """No fewer than these until `held_until`, because what was decided before is not known."""
    held_until: float = 0.0
    """Unix seconds."""

    def hold(self, pods: int, until: float) -> None:
        """Have at least `pods` until then, whatever the windows say; they may have missed something."""
        self.held_pods = pods
        self.held_until = until

    @classmethod
    def start(cls, spec: DeciderSpec, ready_pods: int, now: float) -> "DeciderState":
        """The state of a revision not decided on before, with `ready_pods` running.

        More than one pod means somebody wanted them: an autoscaler that just started has empty windows, so it
        begins in panic, which holds that many pods for a stable window.
        """
        delay = SlidingMaximum(spec.scale_down_delay, DECISION_TICK) if spec.scale_down_delay > 0 else None
        if ready_pods > 1:
            return cls(now, ready_pods, delay)
        return cls(delay=delay)


class Decision(NamedTuple):
    """The outcome, and the numbers that led to it."""

    at: float
    """Unix seconds."""
    spec: DeciderSpec
    observation: Observation
    wanted_stable: int
    """Pods for the stable load, before any limit."""
    wanted_panic: int
    """Pods for the panic load, before any limit."""
    lowest: int
    """No fewer pods in one step, from max_scale_down_rate."""
    highest: int
    """No more pods in one step, from max_scale_up_rate."""
    in_panic: bool
    undelayed: int
    """The outcome before the delay."""
    desired: int
    """Pods to have, before minimum and maximum scale."""
    excess_burst_capacity: int
    """Room left on top of target_burst_capacity; negative means activators should be in the path."""
    held: int = 0
    """No fewer pods, because the decider has just taken over; 0 when it holds none."""


def decide(spec: DeciderSpec, state: DeciderState, observation: Observation, now: float) -> Decision:
    """One decision; `state` moves on.

    With target 70, one ready pod and a stable load of 150, three pods are wanted; if the short window shows 150
    too, 3 is at least twice the one ready pod, and panic begins.
    """
    ready = observation.ready_pods
    pods = ready if ready > 1 else 1
    highest = math.ceil(spec.max_scale_up_rate * pods)
    lowest = math.floor(pods / spec.max_scale_down_rate) if spec.reachable else 0

    wanted_stable = math.ceil(observation.stable / spec.target_value)
    wanted_panic = math.ceil(observation.panic / spec.target_value)
    stable = _limited(wanted_stable, lowest, highest, spec.activation_scale)
    desired = stable

    _move_panic(state, wanted_panic / pods >= spec.panic_threshold, spec.stable_window, now)
    in_panic = state.panic_since is not None
    if in_panic:
        panic = _limited(wanted_panic, lowest, highest, spec.activation_scale)
        state.max_panic_pods = desired = max(stable, panic, state.max_panic_pods)

    undelayed = desired = min(desired, INT32_MAX)
    if state.delay is not None and spec.reachable:
        desired = state.delay.record(now, desired)
    held = state.held_pods if now < state.held_until and spec.reachable else 0
    if held > desired:
        desired = held
    excess = _excess_burst_capacity(spec, observation)
    return Decision(
        now, spec, observation, wanted_stable, wanted_panic, lowest, highest, in_panic, undelayed, desired, excess, held
    )


def _limited(wanted: int, lowest: int, highest: int, activation_scale: int) -> int:
    pods = min(max(wanted, lowest), highest)
    return activation_scale if wanted > 0 and activation_scale > 1 and activation_scale > pods else pods


def _move_panic(state: DeciderState, is_burst: bool, stable_window: float, now: float) -> None:
    if is_burst:
        state.panic_since = now
    elif state.panic_since is not None and state.panic_since + stable_window < now:
        state.panic_since = None
        state.max_panic_pods = 0


def _excess_burst_capacity(spec: DeciderSpec, observation: Observation) -> int:
    burst = spec.target_burst_capacity
    if burst == 0:
        return 0
    if burst < 0:
        return -1
    room = math.floor(observation.ready_pods * spec.total_value - burst - observation.panic)
    return max(INT32_MIN, min(room, INT32_MAX))
