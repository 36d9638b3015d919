"""Conditions: what an object says about itself, and how `Ready` follows from the parts it depends on.

A `ConditionSet` is the fixed part: the name of the happy condition and its dependents. `manage` binds it to the
`status` of one object and to the time; the methods of the result change that status in place.

The rule of the happy condition (contract: control-plane.md 1): a dependent that is False makes it False with the same
reason and message; one that is Unknown makes it Unknown unless another is False; one that becomes True has it
recomputed: the latest False dependent, else the latest Unknown one, else True with no reason. Conditions that are no
dependents carry the severity Info and have no say.

A condition's lastTransitionTime moves when anything in it changes. A reconciler that marks a condition Unknown and
then True again in one pass calls `keep_transition_times` at the end, so that only what differs from before moves.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from upwell.api.objects import timestamp

__all__ = [
    "FALSE",
    "READY",
    "TRUE",
    "UNKNOWN",
    "ConditionSet",
    "Conditions",
    "find",
    "keep_transition_times",
    "status_of",
]

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"
READY: Final = "Ready"

_SEVERITY_INFO: Final = "Info"


def find(status: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any]:
    """The condition of that type in a status; empty when there is none."""
    for condition in (status or {}).get("conditions") or ():
        if condition.get("type") == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}


def status_of(status: Mapping[str, Any] | None, kind: str) -> str:
    """`True`, `False` or `Unknown`; Unknown also when the condition is not there."""
    return str(find(status, kind).get("status") or UNKNOWN)


class ConditionSet:
    """The condition types of one kind: the happy one and those it depends on."""

    def __init__(self, happy: str = READY, dependents: Sequence[str] = ()) -> None:
        self.happy = happy
        self.dependents = tuple(dependents)

    def manage(self, status: dict[str, Any], now: float) -> "Conditions":
        """Bind to the `status` of an object, which the result changes in place; `now` is in Unix seconds."""
        return Conditions(self, status, now)

    def severity(self, kind: str) -> str:
        return "" if kind == self.happy or kind in self.dependents else _SEVERITY_INFO


class Conditions:
    """The conditions of one object at one time."""

    def __init__(self, kinds: ConditionSet, status: dict[str, Any], now: float) -> None:
        self._kinds = kinds
        self._status = status
        self._now = timestamp(now)
        self._changed: list[str] = []
        """Types changed here, oldest first: tells apart changes within one second."""

    def init(self) -> None:
        """Add what is missing: Unknown, or True for dependents when the happy condition is True already."""
        if not self.get(self._kinds.happy):
            self._set(self._kinds.happy, UNKNOWN)
        initial = TRUE if self.is_true(self._kinds.happy) else UNKNOWN
        for kind in self._kinds.dependents:
            if not self.get(kind):
                self._set(kind, initial)

    def get(self, kind: str) -> Mapping[str, Any]:
        """The condition; empty when there is none."""
        return find(self._status, kind)

    def status(self, kind: str) -> str:
        """`True`, `False` or `Unknown`; Unknown also when the condition is not there."""
        return status_of(self._status, kind)

    def is_true(self, kind: str) -> bool:
        return self.status(kind) == TRUE

    def is_false(self, kind: str) -> bool:
        return self.status(kind) == FALSE

    def mark_true(self, kind: str, reason: str = "", message: str = "") -> None:
        self._set(kind, TRUE, reason, message)
        unhappy = self._find_unhappy_dependent()
        if unhappy is not None:
            self._set(self._kinds.happy, unhappy["status"], unhappy.get("reason", ""), unhappy.get("message", ""))
        elif kind != self._kinds.happy:
            self._set(self._kinds.happy, TRUE)

    def mark_unknown(self, kind: str, reason: str = "", message: str = "") -> None:
        self._set(kind, UNKNOWN, reason, message)
        failed = any(self.is_false(dependent) for dependent in self._kinds.dependents)
        if failed and not self.is_false(self._kinds.happy):
            self._set(self._kinds.happy, FALSE, reason, message)
        elif not failed and kind in self._kinds.dependents:
            self._set(self._kinds.happy, UNKNOWN, reason, message)

    def mark_false(self, kind: str, reason: str, message: str = "") -> None:
        self._set(kind, FALSE, reason, message)
        if kind in self._kinds.dependents:
            self._set(self._kinds.happy, FALSE, reason, message)

    def mark(self, kind: str, status: str, reason: str = "", message: str = "") -> None:
        """Mark by the text of a status, as when one object's condition is carried over to another's."""
        if status == TRUE:
            self.mark_true(kind, reason, message)
        elif status == FALSE:
            self.mark_false(kind, reason, message)
        else:
            self.mark_unknown(kind, reason, message)

    def restore(self, condition: Mapping[str, Any]) -> None:
        """Put a condition back as it was read, and leave all others as they are."""
        self._set(condition["type"], condition["status"], condition.get("reason", ""), condition.get("message", ""))

    def clear(self, kind: str) -> None:
        """Drop a condition that is not part of the happy rule."""
        assert self._kinds.severity(kind) == _SEVERITY_INFO, f"{kind} belongs to the rule and cannot be dropped"
        self._status["conditions"] = [found for found in self._all() if found["type"] != kind]

    def _all(self) -> list[dict[str, Any]]:
        return list(self._status.get("conditions") or ())

    def _set(self, kind: str, status: str, reason: str = "", message: str = "") -> None:
        fields = {"type": kind, "status": status}
        optional = {"severity": self._kinds.severity(kind), "reason": reason, "message": message}
        fields.update({name: value for name, value in optional.items() if value})
        if _without_time(self.get(kind)) == fields:
            return
        fields["lastTransitionTime"] = self._now
        others = [found for found in self._all() if found["type"] != kind]
        self._status["conditions"] = sorted([*others, fields], key=lambda found: str(found["type"]))
        self._changed = [changed for changed in self._changed if changed != kind] + [kind]

    def _find_unhappy_dependent(self) -> Mapping[str, Any] | None:
        found = [condition for kind in self._kinds.dependents if (condition := self.get(kind))]
        found.sort(key=self._age, reverse=True)
        for status in (FALSE, UNKNOWN):
            for condition in found:
                if condition["status"] == status:
                    return condition
        return {"status": UNKNOWN} if len(found) < len(self._kinds.dependents) else None

    def _age(self, condition: Mapping[str, Any]) -> tuple[str, int, bool]:
        kind = condition["type"]
        order = self._changed.index(kind) if kind in self._changed else -1
        # Of those read with the same second one that says why speaks, or the next pass would write that it does not.
        return str(condition.get("lastTransitionTime") or ""), order, bool(condition.get("reason"))


def keep_transition_times(before: Iterable[Mapping[str, Any]], status: Mapping[str, Any]) -> None:
    """Give every condition of `status` that is as it was `before` its earlier lastTransitionTime."""
    earlier = {condition.get("type"): condition for condition in before}
    for condition in status.get("conditions") or ():
        known = earlier.get(condition["type"])
        if known is not None and _without_time(known) == _without_time(condition):
            condition["lastTransitionTime"] = known.get("lastTransitionTime", condition["lastTransitionTime"])


def _without_time(condition: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in condition.items() if name != "lastTransitionTime" and value != ""}
