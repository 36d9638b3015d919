"""Label and field selectors: `app=web,tier in (a,b),!old` and `metadata.name=x,status.phase!=Running`.

A selector is a list of requirements that must all hold. `!=` and `notin` also hold where the label is missing, as
in Kubernetes. What field selectors may look at is fixed for each kind; any other field is an error, since a typo
that silently selects everything deletes everything.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.local.apiserver import errors

__all__ = ["Requirement", "Selector", "fields_of", "parse_fields", "parse_labels"]

Operator = Literal["in", "notin", "exists", "!exists", "gt", "lt"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one key."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, found: Mapping[str, str]) -> bool:
        value = found.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "!exists":
                return value is None
        return _compare(value, self.operator, next(iter(self.values)))


def _compare(value: str | None, operator: str, bound: str) -> bool:
    try:
        number, limit = int(value or ""), int(bound)
    except ValueError:
        return False
    return number > limit if operator == "gt" else number < limit


@dataclass(frozen=True, slots=True)
class Selector:
    """What a list or a watch wants to see."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
        return all(one.holds(labels) for one in self.labels) and all(one.holds(fields) for one in self.fields)

    def field_value(self, key: str) -> str | None:
        """The one value that this selector allows for a field, if it allows only one."""
        for one in self.fields:
            if one.key == key and one.operator == "in" and len(one.values) == 1:
                return next(iter(one.values))
        return None


_SET: Final = re.compile(r"^(?P<key>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUALITY: Final = re.compile(r"^(?P<key>[^\s=!<>]+)\s*(?P<operator>==|=|!=|>|<)\s*(?P<value>[^\s=!<>]*)$")
_KEY: Final = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_VALUE: Final = re.compile(r"^[-A-Za-z0-9_.]*$")
_SPLIT: Final = re.compile(r",(?![^(]*\))")


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Parse a labelSelector; raise StatusError (400) when it is none."""
    return tuple(_label_requirement(part.strip()) for part in _SPLIT.split(text) if text.strip())


def _label_requirement(part: str) -> Requirement:
    found = _requirement(part)
    if not _KEY.match(found.key) or not all(map(_VALUE.match, found.values)):
        raise errors.bad_request(f"unable to parse requirement: {part!r} is not KEY, !KEY, KEY=VALUE or KEY in (A,B)")
    return found


def _requirement(part: str) -> Requirement:
    if match := _SET.match(part):
        values = frozenset(value.strip() for value in match["values"].split(","))
        return Requirement(match["key"], "in" if match["operator"] == "in" else "notin", values)
    if match := _EQUALITY.match(part):
        operators: dict[str, Operator] = {"!=": "notin", ">": "gt", "<": "lt"}
        return Requirement(match["key"], operators.get(match["operator"], "in"), frozenset({match["value"]}))
    if part.startswith("!"):
        return Requirement(part[1:].strip(), "!exists")
    return Requirement(part, "exists")


def parse_fields(resource: Resource, text: str) -> tuple[Requirement, ...]:
    """Parse a fieldSelector for `resource`; raise StatusError (400) for fields that cannot be selected by."""
    known = _FIELDS.get((resource.group, resource.kind), {})
    requirements = []
    for part in filter(None, text.split(",")):
        match = _EQUALITY.match(part.strip())
        if match is None or match["operator"] in "<>":
            raise errors.bad_request(f"invalid field selector {part!r}: expected FIELD=VALUE or FIELD!=VALUE")
        key = match["key"]
        if key not in known and key not in ("metadata.name", "metadata.namespace"):
            raise errors.bad_request(f"field label not supported: {key}")
        operator: Operator = "notin" if match["operator"] == "!=" else "in"
        requirements.append(Requirement(key, operator, frozenset({match["value"]})))
    return tuple(requirements)


def fields_of(resource: Resource, obj: Object) -> dict[str, str]:
    """What field selectors can see of `obj`; absent fields count as empty."""
    metadata = obj["metadata"]
    fields = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
    for key, read in _FIELDS.get((resource.group, resource.kind), {}).items():
        fields[key] = read(obj)
    return fields


def _at(*path: str) -> Callable[[Object], str]:
    def read(obj: Object) -> str:
        value: Any = obj
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    return read


def _paths(*paths: str) -> dict[str, Callable[[Object], str]]:
    return {path: _at(*path.split(".")) for path in paths}


_FIELDS: Final[Mapping[tuple[str, str], Mapping[str, Callable[[Object], str]]]] = {
    ("", "Pod"): _paths(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    ("", "Event"): {
        **_paths(
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "type",
        ),
        "source": lambda obj: _at("source", "component")(obj) or _at("reportingComponent")(obj),
    },
    ("", "Namespace"): _paths("status.phase"),
    ("", "Node"): _paths("spec.unschedulable"),
    ("", "Secret"): _paths("type"),
    ("", "Service"): _paths("spec.clusterIP", "spec.type"),
}
