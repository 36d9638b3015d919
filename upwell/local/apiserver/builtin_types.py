"""The fields of the built-in kinds, read from the client library's generated models.

They serve two purposes: `kubectl explain`, and telling a user that `image: true` is not a text before a program trips
over it. The models are large, so they are loaded when the first of the two is wanted, not at start.
"""

import functools
import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from upwell.api.objects import Object
from upwell.api.resources import EVENT, Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.catalog import is_custom

__all__ = [
    "Field",
    "Problems",
    "check",
    "fields_of_model",
    "item_type",
    "model_name",
    "refuse_wrong_types",
    "schema_name",
]

_MODULE: Final = "kubernetes_asyncio.client.models"
_LIST: Final = re.compile(r"^list\[(.+)\]$")
_MAP: Final = re.compile(r"^dict[\[(]str, ?(.+)[\])]$")
_PLAIN: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "str": ((str,), "a string; put it in quotes"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "datetime": ((str,), "a time such as 2026-01-31T12:00:00Z"),
}
_QUANTITIES: Final = frozenset(
    {"limits", "requests", "capacity", "allocatable", "overhead", "sizeLimit", "divisor", "averageValue"}
)
"""Fields of texts that may be written as numbers too: `cpu: 1`."""


class Field(NamedTuple):
    """A field of a model: its type in the library's words (`str`, `list[V1Container]`) and what it is for."""

    type: str
    description: str


class Problems(NamedTuple):
    """What is wrong with an object: unknown fields' paths, and values of a wrong type."""

    unknown: list[str]
    mismatches: list[str]


def model_name(resource: Resource) -> str:
    """The model of a built-in kind; empty for the others."""
    if is_custom(resource):
        return ""
    name = "CoreV1Event" if resource == EVENT else f"{resource.version.capitalize()}{resource.kind}"
    return name if fields_of_model(name) else ""


@functools.cache
def fields_of_model(name: str) -> Mapping[str, Field]:
    """The fields of a model by their JSON names; empty when there is no such model."""
    model = getattr(importlib.import_module(_MODULE), name, None)
    if model is None:
        return {}
    return {
        json_name: Field(model.openapi_types[attribute], _description(getattr(model, attribute).__doc__ or ""))
        for attribute, json_name in model.attribute_map.items()
    }


def _description(docstring: str) -> str:
    """The middle paragraph of a generated property's docstring."""
    lines = [line.partition("# noqa")[0].strip() for line in docstring.splitlines()[1:]]
    return " ".join(line for line in lines if line and not line.startswith(":"))


def item_type(name: str) -> tuple[str, str]:
    """Split a type into its container (`list`, `map` or empty) and what is in it."""
    if match := _LIST.match(name):
        return "list", match[1]
    if match := _MAP.match(name):
        return "map", match[1]
    return "", name


def check(resource: Resource, obj: Object) -> Problems:
    """What is wrong with the types of an object of a built-in kind, but for its status, which is not the sender's."""
    problems = Problems([], [])
    name = model_name(resource)
    if name:
        _check_model({field: value for field, value in obj.items() if field != "status"}, name, "", problems)
    return problems


def refuse_wrong_types(resource: Resource, obj: Object) -> None:
    """Raise StatusError (400) when an object of a built-in kind has values of a wrong type or unknown fields."""
    problems = check(resource, obj)
    if problems.mismatches:
        raise errors.cannot_be_handled(resource, ", ".join(problems.mismatches))
    if problems.unknown:
        unknown = ", ".join(f'unknown field "{path}"' for path in problems.unknown)
        raise errors.cannot_be_handled(resource, f"strict decoding error: {unknown}")


def _check_model(value: Mapping[str, Any], model: str, path: str, problems: Problems) -> None:
    fields = fields_of_model(model)
    for name, content in value.items():
        where = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is None:
            problems.unknown.append(where)
        elif content is not None and not (name in _QUANTITIES and _is_quantity(content)):
            _check_value(content, field.type, where, problems)


def _check_value(value: Any, type_name: str, path: str, problems: Problems) -> None:
    container, inner = item_type(type_name)
    if container == "list" or container == "map":
        expected: type = list if container == "list" else dict
        if not isinstance(value, expected):
            problems.mismatches.append(f"{path}: {_shown(value)} is not a {container}")
            return
        for where, item in _items(value, path):
            if item is not None:
                _check_value(item, inner, where, problems)
    elif inner in _PLAIN:
        accepted, told = _PLAIN[inner]
        if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
            problems.mismatches.append(f"{path}: {_shown(value)} is not {told}")
    elif fields_of_model(inner):
        if not isinstance(value, dict):
            problems.mismatches.append(f"{path}: {_shown(value)} is not an object")
        else:
            _check_model(value, inner, path, problems)


def _items(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        return ((f"{path}[{index}]", item) for index, item in enumerate(value))
    return ((f"{path}.{key}", item) for key, item in value.items())


def _is_quantity(value: Any) -> bool:
    values = value.values() if isinstance(value, dict) else [value]
    return all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in values)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return f'"{value}"' if isinstance(value, str) else str(value)


def schema_name(model: str) -> str:
    """The name of a model's schema in an OpenAPI document: `io.k8s.v1.Container`."""
    match = re.match(r"^(?:Core)?V(\d[a-z0-9]*)(.+)$", model)
    return f"io.k8s.v{match[1]}.{match[2]}" if match else f"io.k8s.{model}"
