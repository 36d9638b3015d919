"""One policy with its settings varied: what each combination costs, and which ones nobody would refuse.

`target=10..100,window=6s..120s` is five values from 10 to 100, each by the same factor above the one before, times five
windows; `target=10..100/8` is eight of them, `target=10|50|80` just those. A setting is an annotation without its
prefix, or `container-concurrency`.

A combination is on the frontier when no other has both fewer pod-seconds and a lower p99 latency (or one of them
equal): whoever prefers another pays more, or waits longer.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from upwell.policy import annotations as keys
from upwell.policy.annotations import PREFIX, Keys
from upwell.policy.durations import NANOSECONDS, format_duration
from upwell.simulate.errors import InputError
from upwell.simulate.lab import Traffic, try_policies
from upwell.simulate.policy import PodModel, Policy
from upwell.simulate.recording import Outcome
from upwell.simulate.words import read_number, read_seconds

__all__ = ["Axis", "Trial", "parse_sweep", "run_sweep"]

VALUES: Final = 5
VALUES_MOST: Final = 50
TRIALS_MOST: Final = 400


def _names(*spellings: Keys) -> tuple[str, ...]:
    return tuple(spelling[0].removeprefix(PREFIX) for spelling in spellings)


_WHOLE: Final = (*_names(keys.MIN_SCALE, keys.MAX_SCALE, keys.ACTIVATION_SCALE), "container-concurrency")
_TIMES: Final = _names(keys.WINDOW, keys.SCALE_DOWN_DELAY, keys.RETENTION)
_NUMBERS: Final = _names(
    keys.TARGET, keys.UTILISATION, keys.TARGET_BURST_CAPACITY, keys.PANIC_WINDOW, keys.PANIC_THRESHOLD
)
_WORDS: Final = _names(keys.METRIC, keys.AGGREGATION)


@dataclass(frozen=True, slots=True)
class Axis:
    """One setting and the values to try."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """One combination and what came of it."""

    values: tuple[str, ...]
    outcome: Outcome
    on_frontier: bool

    def as_json(self, axes: Sequence[Axis]) -> dict[str, Any]:
        varied = {axis.name: value for axis, value in zip(axes, self.values, strict=True)}
        return {"values": varied, "frontier": self.on_frontier, **self.outcome.figures()}


def parse_sweep(text: str) -> list[Axis]:
    """Read `NAME=A..B,NAME=A..B/N,NAME=A|B|C`; raise InputError."""
    axes: list[Axis] = []
    for item in text.split(","):
        name, found, values = (part.strip() for part in item.partition("="))
        if not found or not name or not values:
            raise InputError(f'--sweep: "{item}" is not NAME=A..B', "as in target=10..100,window=6s..120s")
        if name not in (*_WHOLE, *_TIMES, *_NUMBERS, *_WORDS):
            raise InputError(
                f"--sweep: there is no setting {name}", f"there are {', '.join((*_NUMBERS, *_TIMES, *_WHOLE, *_WORDS))}"
            )
        if any(axis.name == name for axis in axes):
            raise InputError(f"--sweep: {name} is there twice", "give it once, with all its values")
        axes.append(Axis(name, tuple(dict.fromkeys(_values(name, values)))))
    trials = math.prod(len(axis.values) for axis in axes)
    if trials > TRIALS_MOST:
        raise InputError(f"--sweep: that is {trials} combinations", f"{TRIALS_MOST} are the most; give fewer values")
    return axes


def run_sweep(
    policy: Policy, axes: Sequence[Axis], pods: PodModel, traffic: Traffic, *, seed: int = 0, jobs: int = 1
) -> list[Trial]:
    """Every combination, cheapest first."""
    combinations = list(itertools.product(*(axis.values for axis in axes)))
    policies = []
    for values in combinations:
        varied = policy
        for axis, value in zip(axes, values, strict=True):
            varied = varied.with_setting(axis.name, value)
        policies.append(varied)
    outcomes = try_policies(policies, pods, traffic, seed=seed, jobs=jobs)
    trials = [
        Trial(values, outcome, not any(_is_better(other, outcome) for other in outcomes))
        for values, outcome in zip(combinations, outcomes, strict=True)
    ]
    return sorted(trials, key=lambda trial: (trial.outcome.pod_seconds, _latency(trial.outcome)))


def _latency(outcome: Outcome) -> float:
    return outcome.latency.at[99.0]


def _is_better(other: Outcome, outcome: Outcome) -> bool:
    """Whether nobody would take `outcome` who can have `other`."""
    pairs = ((other.pod_seconds, outcome.pod_seconds), (_latency(other), _latency(outcome)))
    return all(theirs <= ours for theirs, ours in pairs) and any(theirs < ours for theirs, ours in pairs)


def _values(name: str, text: str) -> list[str]:
    if "|" in text or ".." not in text:
        return [value.strip() for value in text.split("|")]
    if name in _WORDS:
        raise InputError(f"--sweep: {name} has no range", "give its values as A|B")
    bounds, _, wanted = text.partition("/")
    first, _, last = bounds.partition("..")
    count = round(read_number(wanted or str(VALUES), f"--sweep: {name}: how many values", 2, VALUES_MOST))
    if name in _TIMES:
        low, high = (read_seconds(bound, f"--sweep: {name}") for bound in (first, last))
        return [format_duration(round(value) * NANOSECONDS) for value in _between(low, high, count)]
    low, high = (read_number(bound, f"--sweep: {name}", -1, 2**31 - 1) for bound in (first, last))
    if name in _WHOLE:
        return [str(round(value)) for value in _between(low, high, count)]
    return [f"{value:.3g}" for value in _between(low, high, count)]


def _between(low: float, high: float, count: int) -> list[float]:
    """From `low` to `high` in equal ratios; in equal steps where one of them is not above 0."""
    shares = [step / (count - 1) for step in range(count)]
    if low > 0 and high > 0:
        return [low * (high / low) ** share for share in shares]
    return [low + (high - low) * share for share in shares]
