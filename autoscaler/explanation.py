"""Why a revision has the scale it has, in words: which window, which limit, and what would change it.

Made from the numbers that a decision keeps, only when somebody asks. The sentences are for people; programs get the
numbers beside them (`autoscaler.inspection`).
"""

import math
from collections.abc import Iterator

from upwell.policy.collector import METRIC_RPS
from upwell.policy.decider import UNKNOWN_SCALE, DeciderState, Decision
from upwell.policy.resolution import Settings
from upwell.policy.scale_to_zero import Plan

__all__ = ["explain_decision", "explain_next", "explain_plan"]


def explain_decision(decision: Decision, panic_window: float) -> Iterator[str]:
    """How a decision came about, in the order in which it was made."""
    spec, seen = decision.spec, decision.observation
    unit = _unit(spec.metric)
    yield (
        f"stable window ({_seconds(spec.stable_window)}): {_figure(seen.stable)} {unit} / {_figure(spec.target_value)} "
        f"per pod = {_pods(decision.wanted_stable)}"
    )
    times = decision.wanted_panic / max(1, seen.ready_pods)
    yield (
        f"panic window ({_seconds(panic_window)}): {_figure(seen.panic)} {unit} / {_figure(spec.target_value)} per pod "
        f"= {_pods(decision.wanted_panic)}, {_figure(times)} times the {seen.ready_pods} ready "
        f"(panic from {_figure(spec.panic_threshold)} times)"
    )
    yield from _limits(decision)
    if decision.in_panic:
        yield "in panic: the higher of both windows counts, and no pod is taken away"
    if decision.desired > decision.undelayed and decision.desired > decision.held:
        delay = _seconds(spec.scale_down_delay)
        yield f"scale-down-delay ({delay}): the highest wish of that time, {decision.desired}, holds"
    if decision.held and decision.desired == decision.held > 0:
        yield f"held at {decision.held}: this autoscaler has just taken over, and has yet to see a whole stable window"
    yield _room(decision)


def _limits(decision: Decision) -> Iterator[str]:
    spec, wanted = decision.spec, max(decision.wanted_stable, decision.wanted_panic)
    if decision.wanted_stable < decision.lowest:
        yield f"max-scale-down-rate ({_figure(spec.max_scale_down_rate)}): no fewer than {decision.lowest} in one step"
    if wanted > decision.highest:
        yield f"max-scale-up-rate ({_figure(spec.max_scale_up_rate)}): no more than {decision.highest} in one step"
    if spec.activation_scale > 1 and 0 < wanted < spec.activation_scale:
        yield f"activation-scale: at least {spec.activation_scale} while there is load"


def _room(decision: Decision) -> str:
    burst, room = decision.spec.target_burst_capacity, decision.excess_burst_capacity
    wished = f"target-burst-capacity ({_figure(burst)})"
    if burst < 0:
        return "target-burst-capacity -1: activators are always in the path"
    if burst == 0:
        return "target-burst-capacity 0: activators are in the path at zero only"
    if room >= 0:
        return f"the ready pods have room for {room} more than {wished}: straight to the pods"
    return f"the ready pods lack room for {-room} of {wished}: through activators"


def explain_plan(settings: Settings, desired: int, step: Plan | None, active: bool) -> Iterator[str]:
    """What became of the decision on the way to the workload."""
    if step is None or step.scale == UNKNOWN_SCALE:
        yield "not applied: pods are on their way, or nothing was decided yet"
        return
    if step.scale > desired:
        if settings.min_scale >= step.scale:
            yield f"min-scale raises it to {step.scale}"
        elif step.scale == 1 and desired == 0 and not settings.enable_scale_to_zero:
            yield "enable-scale-to-zero is false: the last pod stays"
        elif step.scale == 1 and desired == 0:
            yield "the last pod stays until the revision was active for a whole stable window"
        else:
            yield f"initial-scale raises it to {step.scale} until it was reached once"
    elif step.scale < desired:
        yield f"max-scale lowers it to {step.scale}"
    if step.scale == 0 and step.replicas is None and active:
        wait = "" if step.look_again_after is None else f" (again in {_seconds(step.look_again_after)})"
        yield f"the last pod goes when activators are proven to be in the path and the grace period is over{wait}"


def explain_next(settings: Settings, decision: Decision, state: DeciderState, now: float) -> Iterator[str]:
    """What would change the scale."""
    spec, ready = decision.spec, max(1, decision.observation.ready_pods)
    unit, pods = _unit(spec.metric), decision.desired
    ceiling = settings.max_scale
    if ceiling and pods >= ceiling:
        yield f"more pods: only with a higher max-scale ({ceiling})"
    else:
        yield f"more pods: from an average of more than {_figure(max(1, pods) * spec.target_value)} {unit}"
    burst = (math.ceil(spec.panic_threshold * ready) - 1) * spec.target_value
    if decision.in_panic and state.panic_since is not None:
        left = max(0.0, state.panic_since + spec.stable_window - now)
        yield f"panic ends in {_seconds(left)} unless the panic window averages more than {_figure(burst)} {unit} again"
    else:
        yield f"panic: from a panic window that averages more than {_figure(burst)} {unit}"
    if decision.held and now < state.held_until:
        yield f"fewer pods than {decision.held}: not before {_seconds(state.held_until - now)} from now"
    elif pods > max(1, settings.min_scale):
        yield f"fewer pods: at a stable average of {_figure((pods - 1) * spec.target_value)} {unit} or less"
    elif settings.min_scale:
        yield f"fewer pods: only with a lower min-scale ({settings.min_scale})"
    elif pods and settings.enable_scale_to_zero:
        yield f"zero: after {_seconds(spec.stable_window)} without any load"


def _unit(metric: str) -> str:
    return "requests/s" if metric == METRIC_RPS else "concurrent requests"


def _figure(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"
