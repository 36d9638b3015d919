"""Gradual rollouts: how the share of a configuration's latest revision moves over from the one before.

The state stands as JSON in an annotation of the Ingress, so that any controller can carry on. A new revision begins
with 1 %. When the Ingress has taken that in, the time it took is the least that a step may last, and the rest of the
duration is divided into steps of equal size; each takes from the older revisions, the second-newest first. Source:
contract, control-plane.md 6.6.

    duration 20 s, 100 %, first step taken in within 1 s: 19 steps of 1 s, 5 % each: 1, 6, 11, … 96, 100

All times are in nanoseconds since 1970, as in the annotation.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from controller.route.traffic import Traffic
from upwell.policy.durations import NANOSECONDS

__all__ = ["ConfigurationRollout", "Rollout", "goal_of", "parse_rollout"]

Shares = tuple[tuple[str, int], ...]
"""Revisions and their percentages, oldest first."""


@dataclass(frozen=True, slots=True)
class ConfigurationRollout:
    """How the share of one configuration behind one tag is divided among its revisions."""

    configuration: str
    tag: str
    percent: int
    revisions: Shares
    started: int = 0
    """When the present rollout began; 0 when there is none."""
    next_step: int = 0
    step_duration: int = 0
    """0 until the Ingress has taken in the first step."""
    step_size: int = 0

    @property
    def done(self) -> bool:
        return len(self.revisions) < 2


@dataclass(frozen=True, slots=True)
class Rollout:
    """The state of all configurations of a route."""

    configurations: tuple[ConfigurationRollout, ...] = field(default=())

    @property
    def done(self) -> bool:
        return all(one.done for one in self.configurations)

    def shares(self, tag: str, configuration: str) -> Shares:
        for one in self.configurations:
            if (one.tag, one.configuration) == (tag, configuration):
                return one.revisions
        return ()

    def to_json(self) -> str:
        entries = [_entry(one) for one in self.configurations]
        return json.dumps({"configurations": entries} if entries else {}, separators=(",", ":"))

    def observe_ready(self, now: int, duration: int) -> "Rollout":
        """The Ingress has taken in what was new; plan the steps of rollouts that have no plan yet."""
        return Rollout(tuple(_planned(one, now, duration) for one in self.configurations))

    def advance(self, goal: "Rollout", now: int) -> "Rollout":
        """Where to be now, on the way from here to `goal`."""
        before = {(one.tag, one.configuration): one for one in self.configurations}
        return Rollout(
            tuple(_advanced(before.get((one.tag, one.configuration)), one, now) for one in goal.configurations)
        )

    def next_step(self) -> int:
        """When the next step is due; 0 when none is planned."""
        return min((one.next_step for one in self.configurations if not one.done and one.next_step), default=0)


def goal_of(traffic: Traffic) -> Rollout:
    """The state in which every latest revision has all that its target asks for."""
    found = [
        ConfigurationRollout(target.configuration, tag, target.percent, ((target.revision, target.percent),))
        for tag, group in traffic.groups.items()
        for target in group
        if target.latest and target.percent > 0
    ]
    return Rollout(tuple(sorted(found, key=lambda one: (one.tag, one.configuration))))


def parse_rollout(text: str) -> Rollout:
    """The state in an annotation; empty when there is none that makes sense."""
    try:
        entries = json.loads(text or "{}").get("configurations") or ()
        found = tuple(_parsed(entry) for entry in entries)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Rollout()
    return Rollout(found) if all(_is_sound(one) for one in found) else Rollout()


def _parsed(entry: Mapping[str, Any]) -> ConfigurationRollout:
    steps = entry.get("stepParams") or {}
    return ConfigurationRollout(
        configuration=str(entry["configurationName"]),
        tag=str(entry.get("tag") or ""),
        percent=int(entry["percent"]),
        revisions=tuple((str(part["revisionName"]), int(part["percent"])) for part in entry.get("revisions") or ()),
        started=int(steps.get("starttime") or 0),
        next_step=int(steps.get("nextStepTime") or 0),
        step_duration=int(steps.get("stepDuration") or 0),
        step_size=int(steps.get("stepSize") or 0),
    )


def _entry(one: ConfigurationRollout) -> dict[str, Any]:
    steps = {
        "starttime": one.started,
        "nextStepTime": one.next_step,
        "stepDuration": one.step_duration,
        "stepSize": one.step_size,
    }
    return {
        "configurationName": one.configuration,
        **({"tag": one.tag} if one.tag else {}),
        "percent": one.percent,
        "revisions": [{"revisionName": name, "percent": percent} for name, percent in one.revisions],
        "stepParams": {name: value for name, value in steps.items() if value},
    }


def _is_sound(one: ConfigurationRollout) -> bool:
    total = sum(percent for _, percent in one.revisions)
    return one.percent <= 100 and 0 <= one.step_size <= one.percent and total == one.percent


def _planned(one: ConfigurationRollout, now: int, duration: int) -> ConfigurationRollout:
    if not one.started or one.step_duration:
        return one
    step_least = max(1, math.ceil((now - one.started) / NANOSECONDS))
    rest = max(1, duration - step_least)
    steps = min(one.percent - 1, max(1, rest / step_least))
    step_duration = int(rest / steps * NANOSECONDS)
    return replace(
        one,
        # Halves round away from zero, as in the reference.
        step_size=math.floor((one.percent - 1) / steps + 0.5),
        step_duration=step_duration,
        next_step=now + step_duration,
    )


def _advanced(before: ConfigurationRollout | None, goal: ConfigurationRollout, now: int) -> ConfigurationRollout:
    if before is None or not before.revisions:
        return goal
    wanted = goal.revisions[0][0]
    shares = _adjusted(before.revisions, goal.percent)
    if before.revisions[-1][0] == wanted:
        return _stepped(replace(before, percent=goal.percent, revisions=shares), now)
    if goal.percent == 1 or any(name == wanted for name, _ in shares):
        return goal  # nothing to divide, or back to a revision that has never stopped serving
    return replace(goal, revisions=_begun(shares, wanted), started=now)


def _adjusted(shares: Shares, percent: int) -> Shares:
    """The shares when the target's own percentage changed: the newest gets more, the oldest gives first."""
    excess = sum(share for _, share in shares) - percent
    if excess <= 0:
        return (*shares[:-1], (shares[-1][0], shares[-1][1] - excess))
    result = []
    for name, share in shares:
        taken = min(excess, share)
        excess -= taken
        result.append((name, share - taken))
    return _without_empty(result)


def _begun(shares: Shares, wanted: str) -> Shares:
    """1 % for the new revision, from the newest before it that has any."""
    result = list(shares)
    for index in reversed(range(len(result))):
        name, share = result[index]
        if share > 0:
            result[index] = (name, share - 1)
            break
    return (*(one for one in result if one[1] > 0), (wanted, 1))


def _stepped(one: ConfigurationRollout, now: int) -> ConfigurationRollout:
    if one.done:
        return replace(one, started=0, next_step=0, step_duration=0, step_size=0)
    if not one.step_duration or now < one.next_step:
        return one
    shares = list(one.revisions)
    name, share = shares[-1]
    rest = min(one.step_size, one.percent - share)
    shares[-1] = (name, share + rest)
    for index in range(len(shares) - 2, -1, -1):
        older, has = shares[index]
        taken = min(rest, has)
        rest -= taken
        shares[index] = (older, has - taken)
    moved = replace(one, revisions=_without_empty(shares), next_step=now + one.step_duration)
    return replace(moved, started=0, next_step=0, step_duration=0, step_size=0) if moved.done else moved


def _without_empty(shares: Sequence[tuple[str, int]]) -> Shares:
    """Revisions with nothing left are gone; the newest stays."""
    return tuple(one for index, one in enumerate(shares) if one[1] > 0 or index == len(shares) - 1)
