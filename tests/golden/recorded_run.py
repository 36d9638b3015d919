"""A recorded run in the record's words: what happened when, and the same words for an object of today.

A *state* is a value that one path of one object had for a time. Those of STRICT are demanded in their order; one that
lasted less than BRIEF seconds may be missing. Of all other paths only the last state is demanded.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from upwell.api.conditions import find
from upwell.api.objects import Object, annotations_of, labels_of

__all__ = ["STRICT", "Demand", "Run", "State", "Subject", "is_within", "read", "readable"]

STRICT = ("condition Ready", "spec.mode", "spec.replicas")
BRIEF = 0.5
DUE_AFTER = 0.45
"""Seconds from the start of a state until the replay waits for it: before any state of at least BRIEF has ended."""


class Subject(NamedTuple):
    """One path of one object."""

    kind: str
    name: str
    path: str


class State(NamedTuple):
    """A value and when it was first seen, in seconds since the start."""

    since: float
    value: Any
    is_brief: bool = False


@dataclass(frozen=True)
class Demand:
    """A state that ours must show too."""

    since: float
    subject: Subject
    value: Any

    @property
    def due(self) -> float:
        """When to wait for it."""
        return self.since + DUE_AFTER


class Run:
    """One case."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        self.actions: Sequence[Mapping[str, Any]] = case["actions"]
        self.events: Sequence[Mapping[str, Any]] = case["events"]
        self.gone: set[tuple[str, str]] = set()
        """Kind and name of what was deleted, and not made anew."""
        self.last: dict[Subject, Any] = {}
        self.states: dict[Subject, list[State]] = {}
        self._read_events()

    def _read_events(self) -> None:
        states: defaultdict[Subject, list[State]] = defaultdict(list)
        for event in self.events:
            identity = event["kind"], event["name"]
            if event.get("event") == "deleted":
                self.gone.add(identity)
                self.last = {subject: value for subject, value in self.last.items() if subject[:2] != identity}
                continue
            if event.get("event") == "created":
                self.gone.discard(identity)
            changed = event.get("values") if "values" in event else {event["path"]: event.get("to")}
            for path, value in (changed or {}).items():
                subject = Subject(*identity, path)
                self.last[subject] = value
                if path in STRICT:
                    states[subject].append(State(event["t"], value))
        self.states = {subject: list(_with_lengths(found)) for subject, found in states.items()}

    def at(self, subject: Subject, t: float) -> Any:
        """What that path was by the time `t`; None when it was not there, or is not among STRICT."""
        identity = subject[:2]
        if any(event.get("event") == "deleted" and _is_before(event, identity, t) for event in self.events):
            return None
        values = [state.value for state in self.states.get(subject, ()) if state.since <= t]
        return values[-1] if values else None

    def demands(self, kinds: Iterable[str]) -> Iterator[Demand]:
        """What objects of those kinds must show."""
        for subject, states in self.states.items():
            if subject.kind in kinds:
                for state in states:
                    if not state.is_brief:
                        yield Demand(state.since, subject, state.value)


def _is_before(event: Mapping[str, Any], identity: tuple[str, ...], t: float) -> bool:
    return (event["kind"], event["name"]) == identity and bool(event["t"] <= t)


def _with_lengths(states: Sequence[State]) -> Iterator[State]:
    ends = [*(state.since for state in states[1:]), float("inf")]
    for state, end in zip(states, ends, strict=True):
        yield state._replace(is_brief=end - state.since < BRIEF)


def is_within(ours: Sequence[Any], states: Sequence[State]) -> bool:
    """Whether our values are those of `states` in that order, with nothing missing but brief ones."""
    matched = {0}  # how many of ours may be accounted for so far
    for state in states:
        matched = {
            count
            for before in matched
            for count in (before, before + 1)
            if (count == before and (state.is_brief or (before and ours[before - 1] == state.value)))
            or (count > before and before < len(ours) and ours[before] == state.value)
        }
    return len(ours) in matched


# An object of today


def readable(path: str) -> bool:
    """Whether `read` knows what the path means."""
    first = path.split(maxsplit=1)[0].split(".")[0]
    return first in {"condition", "annotation", "label", "spec", "status", "finalizers", "splits", "rollout"}


def read(obj: Object, path: str) -> Any:
    """What the record would say of that object."""
    word, _, rest = path.partition(" ")
    if word == "condition":
        return _condition(find(obj.get("status"), rest))
    if word in ("annotation", "label"):
        found = annotations_of(obj) if word == "annotation" else labels_of(obj)
        return found.get(rest if "/" in rest else f"serving.knative.dev/{rest}", "")
    if path == "finalizers":
        return obj["metadata"].get("finalizers")
    if path == "splits":
        return [_split(rule) for rule in obj["spec"].get("rules") or ()]
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path == "status.traffic" and value is not None:
        return [{name: target[name] for name in target if name != "url"} for target in value]
    return value


def _condition(condition: Mapping[str, Any]) -> str | None:
    if not condition:
        return None
    status, reason, message = (condition.get(name) or "" for name in ("status", "reason", "message"))
    told = f"{status} {reason}".strip()
    return f"{told}: {message}" if message else told


def _split(rule: Mapping[str, Any]) -> dict[str, Any]:
    shares: dict[str, int] = {}
    for backend in rule["http"]["paths"][0]["splits"]:
        shares[backend["serviceName"]] = shares.get(backend["serviceName"], 0) + int(backend["percent"])
    return {"visibility": rule["visibility"], "hosts": rule["hosts"][:1], "splits": shares}
