"""What Kubernetes demands of a schema in a CustomResourceDefinition, as a list of complaints.

Rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions (structural
schemas, defaults, list types) and the validation of `x-kubernetes-validations`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["complaints", "rule_costs"]

Schema = Mapping[str, Any]
_TYPES: Final = {"object", "array", "string", "integer", "number", "boolean"}
_KEYS: Final = {
    "type": _TYPES,
    "object": {"properties", "additionalProperties", "required", "maxProperties", "minProperties"},
    "array": {"items", "minItems", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"},
    "string": {"pattern", "minLength", "maxLength", "format", "enum"},
    "integer": {"minimum", "maximum", "format"},
    "number": {"minimum", "maximum"},
    "boolean": set(),
}
_ANYWHERE: Final = {"type", "description", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"}
_RULE_KEYS: Final = {"rule", "message", "messageExpression", "reason", "fieldPath", "optionalOldSelf"}
_EITHER: Final = [{"type": "integer"}, {"type": "string"}]
_REQUEST_BYTES: Final = 3 * 1024 * 1024


def complaints(schema: Schema, path: str = "") -> Iterator[str]:
    """Everything that an API server would refuse about a schema; nothing when it is fine."""
    if schema.get("x-kubernetes-int-or-string"):
        if "type" in schema or schema.get("anyOf") != _EITHER:
            yield f"{path}: an int-or-string has no type, and anyOf as Kubernetes has it"
        yield from _unknown(schema, {"x-kubernetes-int-or-string", "anyOf", "pattern"}, path)
        return
    kind = schema.get("type")
    if kind is None and schema.get("x-kubernetes-preserve-unknown-fields") is not True:
        yield f"{path}: no type"
    if kind is not None and kind not in _TYPES:
        yield f"{path}: no such type: {kind}"
    yield from _unknown(schema, set(_KEYS.get(kind, ())) if kind else set(), path)
    if "properties" in schema and "additionalProperties" in schema:
        yield f"{path}: properties and additionalProperties exclude each other"
    if kind == "array" and "items" not in schema:
        yield f"{path}: an array without items"
    for name in schema.get("required", ()):
        if name not in schema.get("properties", {}):
            yield f"{path}: requires {name}, which it does not have"
    if (pattern := schema.get("pattern")) is not None:
        re.compile(pattern)
    yield from _list_complaints(schema, path)
    yield from _rule_complaints(schema, path)
    for name, field in schema.get("properties", {}).items():
        yield from complaints(field, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from complaints(schema[key], path + mark)


def _unknown(schema: Schema, known: set[str], path: str) -> Iterator[str]:
    for key in schema.keys() - known - _ANYWHERE:
        yield f"{path}: {key} does not belong here"


def _list_complaints(schema: Schema, path: str) -> Iterator[str]:
    keys = schema.get("x-kubernetes-list-map-keys")
    if (schema.get("x-kubernetes-list-type") == "map") != (keys is not None):
        yield f"{path}: a list of type map has keys, and no other has"
    for key in keys or ():
        item = schema["items"]
        if key not in item.get("required", ()):
            yield f"{path}: the key {key} is not required"
        if item.get("properties", {}).get(key, {}).get("type") not in ("string", "integer", "boolean"):
            yield f"{path}: the key {key} is no plain value"


def _rule_complaints(schema: Schema, path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        for key in rule.keys() - _RULE_KEYS:
            yield f"{path}: a rule has no {key}"
        if "\n" in rule["message"] or not rule["message"].strip():
            yield f"{path}: a message is one line"
        if "oldSelf" in rule["rule"] and re.search(r"\[\]", path):
            yield f"{path}: a rule about a change cannot be below a list"
        field = rule.get("fieldPath", "").lstrip(".")
        if field and field not in schema.get("properties", {}):
            yield f"{path}: a rule points to {field}, which is not there"
        if re.search(r"metadata\.(?!name\b|generateName\b)", rule["rule"].replace("spec.template.metadata.", "")):
            yield f"{path}: of metadata, rules see the name only"


def rule_costs(schema: Schema, path: str = "", times: int = 1) -> Iterator[tuple[str, float]]:
    """Each rule and, roughly and from above, what a cluster estimates it to cost at most.

    Every operator and access costs 1; a pass over a list or a map multiplies by its bound, and `matches` costs a tenth
    of the bytes of the text (four a character) times a quarter of the length of the pattern. Without bounds, sizes are
    those that fit into a request.
    """
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"{path}: {rule['rule']}", times * _cost(rule["rule"], schema)
    for name, field in schema.get("properties", {}).items():
        yield from rule_costs(field, f"{path}.{name}", times)
    if "items" in schema:
        yield from rule_costs(schema["items"], f"{path}[]", times * schema.get("maxItems", _REQUEST_BYTES // 2))
    if "additionalProperties" in schema:
        most = schema.get("maxProperties", _REQUEST_BYTES // 4)
        yield from rule_costs(schema["additionalProperties"], f"{path}{{}}", times * most)


def _cost(rule: str, schema: Schema) -> float:
    steps = len(re.findall(r"[.\[(]|&&|\|\||==|!=|<=|>=|[?:!+]", rule))
    passes = len(re.findall(r"\.(?:map|all|exists|exists_one|filter)\(", rule))
    elements = schema.get("maxItems") or schema.get("maxProperties") or _REQUEST_BYTES // 2
    loops = float(elements) ** _depth(rule) if passes else 1.0
    characters = schema.get("additionalProperties", {}).get("maxLength", 63 if "name" in rule else _REQUEST_BYTES // 4)
    text: float = 4 * characters * 0.1
    patterns = sum(text * max(1.0, len(found) * 0.25) for found in re.findall(r"matches\('([^']*)'\)", rule))
    conversions = text * len(re.findall(r"\b(?:int|double|duration)\(self", rule))
    equality = _REQUEST_BYTES * 0.1 if rule == "self == oldSelf" else 0.0
    return steps * loops + patterns + conversions + equality


def _depth(rule: str) -> int:
    """How many passes are inside one another at most."""
    deepest = level = 0
    opened: list[bool] = []
    for found in re.finditer(r"(\.(?:map|all|exists|exists_one|filter))?\(|\)", rule):
        if found.group() == ")":
            level -= opened.pop()
        else:
            opened.append(bool(found.group(1)))
            level += opened[-1]
            deepest = max(deepest, level)
    return deepest
