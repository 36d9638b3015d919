"""How objects are printed: as a table of a few columns, or whole as `-o json` and `-o yaml`, or as `name` and `url`.

Tables of Services, Revisions, Routes and DomainMappings have kn's columns; those of all other kinds are made by the
API server. `wide` adds columns. Nothing here asks anyone but the API server.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from upwell.api import names
from upwell.api.objects import Key, Object, key_of, labels_of, name_of, namespace_of
from upwell.api.resources import DOMAIN_MAPPING, REVISION, ROUTE, SERVICE, Resource
from upwell.cli.observe import condition
from upwell.local.apiserver.columns import age

__all__ = [
    "OUTPUTS",
    "Columns",
    "Split",
    "age_of",
    "columns_of",
    "image_of",
    "print_columns",
    "print_objects",
    "print_table",
    "yaml_text",
]

OUTPUTS: Final = ("json", "yaml", "name", "wide", "url")
_LEFT_OUT: Final = ("managedFields",)

Columns = Sequence[tuple[str, Callable[[Object], str]]]
Split = Mapping[Key, tuple[str, str]]
"""By revision, its share of the traffic as `90%`, and its tags."""


def print_objects(resource: Resource, objects: Sequence[Object], output: str, *, single: bool = False) -> None:
    """Print whole objects (`json`, `yaml`: a List unless it is a `single` one), their names or their URLs."""
    if output == "name":
        print(*(f"{_qualified(resource)}/{name_of(obj)}" for obj in objects), sep="\n")
        return
    if output == "url":
        print(*(_url(obj) for obj in objects), sep="\n")
        return
    shown = [_clean(obj) for obj in objects]
    content = shown[0] if single else {"apiVersion": "v1", "kind": "List", "items": shown}
    if output == "json":
        print(json.dumps(content, indent=2))
    else:
        print(yaml_text(content), end="")


class _Plain(yaml.SafeDumper):
    """Without anchors: what is the same twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def yaml_text(content: Any) -> str:
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, allow_unicode=True)


def _qualified(resource: Resource) -> str:
    return f"{resource.kind.lower()}.{resource.group}" if resource.group else resource.kind.lower()


def _clean(obj: Object) -> Object:
    metadata = {name: value for name, value in obj["metadata"].items() if name not in _LEFT_OUT}
    return {**obj, "metadata": metadata}


def columns_of(resource: Resource, split: Split, *, wide: bool = False) -> Columns | None:
    """The columns of a kind that we have a table for; `split` is for those of revisions."""
    found = _revision_columns(split) if resource is REVISION else _COLUMNS.get(resource)
    return (*found, *_WIDE.get(resource, ())) if found and wide else found


def print_table(columns: Columns, objects: Iterable[Object], *, with_namespace: bool) -> None:
    first: Columns = (("NAMESPACE", namespace_of),) if with_namespace else ()
    columns = (*first, *columns)
    rows = [[title for title, _ in columns], *([cell(obj) for _, cell in columns] for obj in objects)]
    print_columns(rows)


def print_columns(rows: list[list[str]]) -> None:
    """Print rows with aligned columns, as kubectl does."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    sys.stdout.flush()


def age_of(obj: Object) -> str:
    return age(obj["metadata"].get("creationTimestamp"))


def _status(obj: Object, field: str) -> str:
    return str((obj.get("status") or {}).get(field) or "")


def _url(obj: Object) -> str:
    return _status(obj, "url")


def _label(name: str) -> Callable[[Object], str]:
    return lambda obj: labels_of(obj).get(name, "")


def _conditions(obj: Object) -> str:
    """How many of all conditions hold, as `3 OK / 3`."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    good = sum(one.get("status") == "True" for one in conditions)
    return f"{good} OK / {len(conditions)}"


def _ready(obj: Object) -> str:
    return str(condition(obj, "Ready").get("status") or "Unknown")


def _reason(obj: Object) -> str:
    ready = condition(obj, "Ready")
    return "" if ready.get("status") == "True" else str(ready.get("reason") or "")


def _message(obj: Object) -> str:
    ready = condition(obj, "Ready")
    return "" if ready.get("status") == "True" else str(ready.get("message") or "")


def image_of(obj: Object) -> str:
    """The image of a Service's or a Revision's app, as its user wrote it."""
    template: Any = obj["spec"].get("template") or obj
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    containers: Any = template["spec"].get("containers") or ({},)
    return str(annotations.get("client.knative.dev/user-image") or containers[0].get("image") or "")


_NAME = ("NAME", name_of)
_STATE: Columns = (("AGE", age_of), ("CONDITIONS", _conditions), ("READY", _ready), ("REASON", _reason))
_COLUMNS: Final[Mapping[Resource, Columns]] = {
    SERVICE: (_NAME, ("URL", _url), ("LATEST", lambda obj: _status(obj, "latestReadyRevisionName")), *_STATE),
    ROUTE: (_NAME, ("URL", _url), ("READY", _ready)),
    DOMAIN_MAPPING: (_NAME, ("URL", _url), ("READY", _ready), ("REASON", _reason)),
}


def _revision_columns(split: Split) -> Columns:
    return (
        _NAME,
        ("SERVICE", _label(names.LABEL_SERVICE)),
        ("TRAFFIC", lambda obj: split.get(key_of(obj), ("", ""))[0]),
        ("TAGS", lambda obj: split.get(key_of(obj), ("", ""))[1]),
        ("GENERATION", _label(names.LABEL_CONFIGURATION_GENERATION)),
        *_STATE,
    )


_WIDE: Final[Mapping[Resource, Columns]] = {
    SERVICE: (("IMAGE", image_of), ("MESSAGE", _message)),
    REVISION: (
        ("PODS", lambda obj: f"{_status(obj, 'actualReplicas') or 0}/{_status(obj, 'desiredReplicas') or 0}"),
        ("IMAGE", image_of),
        ("MESSAGE", _message),
    ),
    ROUTE: (("AGE", age_of), ("MESSAGE", _message)),
    DOMAIN_MAPPING: (("AGE", age_of), ("MESSAGE", _message)),
}
