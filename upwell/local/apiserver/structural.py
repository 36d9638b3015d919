"""What a definition's schema says about an object: what to drop, and what is wrong with it.

A schema is compiled once into a tree of `Node`s, each of which knows whether anything below it has to be looked at.
Rules in CEL are asked when the rest is fine, as on a cluster, and told where they hang with their own message.
`oldSelf` is the value at the same place before, below maps and fields; elements of lists have none.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from upwell.api.field_errors import at, at_index
from upwell.local.apiserver.cel import Rule, Values
from upwell.local.apiserver.errors import Cause

__all__ = ["Node"]

Schema = Mapping[str, Any]
_ABSENT: Final = object()
_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


class Bound(NamedTuple):
    """One bound on a value: whether it holds, and what to say when it does not."""

    holds: Callable[[Any], bool]
    reason: str
    message: Callable[[Any, str], str]


class Node:
    """The schema of one place."""

    def __init__(self, schema: Schema) -> None:
        self._type: str = schema.get("type", "")
        self._either = bool(schema.get("x-kubernetes-int-or-string"))
        self._open = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        self._fields = {name: Node(field) for name, field in schema.get("properties", {}).items()}
        self._required: tuple[str, ...] = tuple(schema.get("required", ()))
        items, values = schema.get("items"), schema.get("additionalProperties")
        self._items = None if items is None else Node(items)
        self._values = None if values is None else Node(values)
        self._keys: tuple[str, ...] = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        self._bounds = tuple(_bounds(schema))
        self._rules = tuple(Rule(rule) for rule in schema.get("x-kubernetes-validations", ()))
        below = [*self._fields.values(), *(node for node in (self._items, self._values) if node is not None)]
        self._has_rules: bool = bool(self._rules) or any(node._has_rules for node in below)

    def field(self, name: str) -> "Node | None":
        """The schema of a field; None when it has none."""
        return self._fields.get(name)

    def prune(self, value: Any) -> Any:
        """The value without what the schema does not know; the same object when there is nothing of that kind."""
        if isinstance(value, dict):
            return self._prune_map(value)
        if isinstance(value, list) and self._items is not None:
            pruned = [self._items.prune(element) for element in value]
            return value if all(a is b for a, b in zip(pruned, value, strict=True)) else pruned
        return value

    def _prune_map(self, value: dict[str, Any]) -> dict[str, Any]:
        if self._values is not None:
            kept = {name: self._values.prune(element) for name, element in value.items()}
        elif self._type == "object" and (self._fields or not self._open):
            kept = {
                name: self._fields[name].prune(element) if name in self._fields else element
                for name, element in value.items()
                if self._open or name in self._fields
            }
        else:
            return value
        unchanged = len(kept) == len(value) and all(kept[name] is value[name] for name in kept)
        return value if unchanged else kept

    def check(self, value: Any, path: str, causes: list[Cause]) -> None:
        """Add what is wrong with the value by its types and bounds."""
        if self._either:
            if not isinstance(value, int | str) or isinstance(value, bool):
                causes.append(_mistyped(value, path, "integer,string"))
        elif self._type and not _TYPES[self._type](value):
            causes.append(_mistyped(value, path, self._type))
            return
        causes += [Cause(b.reason, path, b.message(value, path)) for b in self._bounds if not b.holds(value)]
        if isinstance(value, dict):
            self._check_map(value, path, causes)
        elif isinstance(value, list) and self._items is not None:
            for index, element in enumerate(value):
                self._items.check(element, at_index(path, index), causes)
            if self._keys:
                causes.extend(_duplicates(value, self._keys, path))

    def _check_map(self, value: dict[str, Any], path: str, causes: list[Cause]) -> None:
        missing = [name for name in self._required if name not in value]
        causes += [Cause("FieldValueRequired", at(path, name), "Required value") for name in missing]
        for name, node, element in self._children(value):
            node.check(element, at(path, name), causes)

    def apply_rules(self, value: Any, old: Any, path: str, causes: list[Cause]) -> None:
        """Add the rules that the value breaks; its types must be right. `old` is what was there, None for nothing.

        What has not changed is left in peace, as on a cluster: a rule may be newer than the object.
        """
        if not self._has_rules or (old is not None and value == old):
            return
        if self._rules:
            values = Values(value, old)
            for rule in self._rules:
                if problem := rule.problem(values):
                    where = (path + rule.field).lstrip(".") or "<nil>"
                    causes.append(Cause("FieldValueInvalid", where, f"Invalid value: {_shown(value)}: {problem}"))
        if isinstance(value, dict):
            before: Mapping[str, Any] = old if isinstance(old, dict) else {}
            for name, node, element in self._children(value):
                node.apply_rules(element, before.get(name), at(path, name), causes)
        elif isinstance(value, list) and self._items is not None:
            for index, element in enumerate(value):
                self._items.apply_rules(element, None, at_index(path, index), causes)

    def _children(self, value: dict[str, Any]) -> Iterator[tuple[str, "Node", Any]]:
        if self._values is not None:
            for name, element in value.items():
                yield name, self._values, element
            return
        for name, node in self._fields.items():
            element = value.get(name, _ABSENT)
            if element is not _ABSENT:
                yield name, node, element


def _bounds(schema: Schema) -> Iterator[Bound]:
    """The bounds of a schema, in the order in which a cluster tells of them."""
    if (low := schema.get("minimum")) is not None:
        yield Bound(lambda v: v >= low, *_body(f"be greater than or equal to {low}"))
    if (high := schema.get("maximum")) is not None:
        yield Bound(lambda v: v <= high, *_body(f"be less than or equal to {high}"))
    if (pattern := schema.get("pattern")) is not None:
        search = re.compile(pattern.replace("$", r"\Z") if pattern.endswith("$") else pattern).search
        yield Bound(lambda v: not isinstance(v, str) or search(v) is not None, *_body(f"match '{pattern}'"))
    if (choices := schema.get("enum")) is not None:
        told = ", ".join(f'"{choice}"' for choice in choices)
        yield Bound(
            lambda v: v in choices,
            "FieldValueNotSupported",
            lambda v, _: f"Unsupported value: {_shown(v)}: supported values: {told}",
        )
    for key, unit in (("minItems", "items"), ("minLength", "chars")):
        if (fewest := schema.get(key)) is not None:
            yield Bound(partial(_is_at_least, fewest), *_body(f"have at least {fewest} {unit}"))
    for key, unit in (("maxItems", "items"), ("maxProperties", "properties")):
        if (most := schema.get(key)) is not None:
            told_most = f"must have at most {most} {unit}"
            yield Bound(partial(_is_at_most, most), "FieldValueTooMany", partial(_too_many, told_most))
    if (longest := schema.get("maxLength")) is not None:
        yield Bound(
            lambda v: len(v) <= longest,
            "FieldValueTooLong",
            lambda v, _: f"Too long: may not be more than {longest} bytes",
        )


def _is_at_least(fewest: int, value: Any) -> bool:
    return len(value) >= fewest


def _is_at_most(most: int, value: Any) -> bool:
    return len(value) <= most


def _too_many(told: str, value: Any, _: str) -> str:
    return f"Too many: {len(value)}: {told}"


def _body(what: str) -> tuple[str, Callable[[Any, str], str]]:
    return "FieldValueInvalid", lambda value, path: f"Invalid value: {_shown(value)}: {path} in body should {what}"


def _mistyped(value: Any, path: str, expected: str) -> Cause:
    found = _type_name(value)
    told = f'Invalid value: "{found}": {path} in body must be of type {expected}: "{found}"'
    return Cause("FieldValueTypeInvalid", path, told)


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    return next(name for name in ("boolean", "integer", "number", "string", "array", "object") if _TYPES[name](value))


def _shown(value: Any) -> str:
    """A plain value itself, of others what they are."""
    if isinstance(value, dict | list):
        return f'"{_type_name(value)}"'
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _duplicates(values: list[Any], keys: tuple[str, ...], path: str) -> Iterator[Cause]:
    seen = set()
    for index, element in enumerate(values):
        if isinstance(element, dict):
            identity = tuple(element.get(key) for key in keys)
            if identity in seen:
                told = ",".join(f'"{key}":"{value}"' for key, value in zip(keys, identity, strict=True))
                yield Cause("FieldValueDuplicate", at_index(path, index), f"Duplicate value: {{{told}}}")
            seen.add(identity)
