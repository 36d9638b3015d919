"""What one autoscaler leaves for the next: a revision's windows, panic and delay, small enough to be kept elsewhere.

`remember` makes a JSON value of them, `recall` reads it back, `resume` makes the state to go on with. Times are kept as
ages, and the clock stands still between the two: what was seen four seconds before the end counts as four seconds old
at the start. So a gap, in which nobody looked, is neither silence nor load.

Windows of up to a minute are kept second by second; longer ones as sixty sums, each spread evenly over its part. Sums
and maxima are rounded up only, so that memory never asks for fewer pods than what it was made of.

A takeover scales nothing down by itself. With complete memory, one that was made after the last decision, everything
goes on as after a pause, but the last pod stays for a whole stable window: a request may have come and gone in the gap.
Otherwise no pod goes for a whole stable window, since the memory does not know the last burst.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from upwell.policy.collector import Collection
from upwell.policy.decider import DECISION_TICK, DeciderSpec, DeciderState
from upwell.policy.quantities import INT32_MAX

__all__ = ["RevisionMemory", "recall", "remember", "resume"]

PARTS_MOST: Final = 60
"""Sums of a window, and steps of a delay."""
PARTS_COARSE: Final = 20
WINDOW_MOST: Final = 3600
"""Seconds; the longest window that the contract allows."""


@dataclass(frozen=True, slots=True)
class RevisionMemory:
    """What is known of one revision; ages are seconds before the memory was made."""

    metric: str
    newest: int
    """Age of the newest bucket."""
    values: tuple[float, ...]
    """The metric's stable window by the second, oldest first."""
    panic: float | None = None
    """Age of the last burst; None outside panic."""
    max_panic_pods: int = 0
    delay: tuple[tuple[float, int], ...] = ()
    """(age, pods), the oldest and highest first."""

    def replay(self, collection: Collection, now: float) -> None:
        """Fill the windows of a new `collection` up to the second before Unix time `now`, which may yet be reported."""
        collection.replay(self.metric, math.floor(now) - max(1, self.newest), self.values, now)


def remember(
    collection: Collection, metric: str, state: DeciderState, now: float, *, coarse: bool = False
) -> dict[str, Any] | None:
    """A JSON value to `recall`; None when there is nothing to remember, since all is quiet.

    `coarse` keeps a third of the detail, for memory that is made again and again and may never be needed.
    """
    second, values = collection.contents(metric)
    entry: dict[str, Any] = {}
    if any(values):
        part = math.ceil(len(values) / (PARTS_COARSE if coarse else PARTS_MOST))
        # The oldest part is the one that may be shorter, so that the newest seconds stay in their places.
        starts = range(len(values) % part - part if len(values) % part else 0, len(values), part)
        sums = [_rounded_up(sum(values[max(0, at) : at + part])) for at in starts]
        entry |= {"newest": max(0, math.floor(now) - second), "seconds": len(values), "part": part, "sums": sums}
    if state.panic_since is not None:
        entry |= {"panic": round(max(0.0, now - state.panic_since), 1), "most": state.max_panic_pods}
    if state.delay is not None:
        # Counted from the end of its bucket, so that none is over sooner for being moved.
        steps = [(max(0.0, now - (bucket + 1) * DECISION_TICK), pods) for bucket, pods in state.delay.contents()]
        if any(pods for _, pods in steps):
            entry["delay"] = _merged(steps)
    return {"metric": metric, **entry} if entry else None


def recall(entry: Any) -> RevisionMemory | None:
    """Read what `remember` made; None when it is not that, for whatever reason."""
    try:
        seconds, newest = int(entry.get("seconds", 0)), int(entry.get("newest", 0))
        panic, most = entry.get("panic"), int(entry.get("most", 0))
        memory = RevisionMemory(
            metric=str(entry["metric"]),
            newest=newest,
            values=tuple(_spread([float(one) for one in entry.get("sums", ())], seconds, int(entry.get("part", 1)))),
            panic=None if panic is None else float(panic),
            max_panic_pods=most,
            delay=tuple((float(age), int(pods)) for age, pods in entry.get("delay", ())),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None
    return memory if _is_sane(memory) else None


def resume(
    spec: DeciderSpec, ready_pods: int, replicas: int, memory: RevisionMemory | None, complete: bool, now: float
) -> DeciderState:
    """The state to go on with in a process that takes over a revision with `replicas` asked for."""
    known = memory is not None and complete
    state = DeciderState.start(spec, 0 if known else ready_pods, now)
    if memory is not None:
        if memory.panic is not None:
            state.panic_since = max(state.panic_since or -math.inf, now - memory.panic)
            state.max_panic_pods = max(state.max_panic_pods, memory.max_panic_pods)
        for age, pods in memory.delay if state.delay is not None else ():
            assert state.delay is not None
            state.delay.record(now - age, pods)
    pods = max(ready_pods, replicas)
    state.hold(min(1, pods) if known else pods, now + spec.stable_window)
    return state


def _rounded_up(value: float) -> float:
    """To four digits, away from zero where it is positive."""
    rounded = float(f"{value:.4g}")
    return rounded if rounded >= value else float(f"{value * 1.0002:.4g}")


def _merged(steps: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """At most PARTS_MOST of the falling `steps`; those left out raise the next one to their height."""
    part = math.ceil(len(steps) / PARTS_MOST)
    groups = [steps[at : at + part] for at in range(0, len(steps), part)]
    return [(round(group[-1][0], 1), group[0][1]) for group in groups]


def _spread(sums: Sequence[float], seconds: int, part: int) -> list[float]:
    """The second-by-second values that `sums` were made of, as evenly as can be."""
    if not 0 <= seconds <= WINDOW_MOST or not 1 <= part <= WINDOW_MOST or len(sums) != math.ceil(seconds / part):
        raise ValueError("no window")
    values: list[float] = []
    for index, total in enumerate(sums):
        length = seconds % part if index == 0 and seconds % part else part
        values += [total / length] * length
    return values


def _is_sane(memory: RevisionMemory) -> bool:
    numbers = (*memory.values, memory.panic or 0.0, *(age for age, _ in memory.delay))
    pods = (memory.max_panic_pods, *(pods for _, pods in memory.delay))
    return (
        all(map(math.isfinite, numbers))
        and min(memory.newest, memory.panic or 0.0) >= 0
        and all(0 <= count <= INT32_MAX for count in pods)
        and len(memory.delay) <= PARTS_MOST
    )
