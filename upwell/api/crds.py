"""The CustomResourceDefinitions of Knative's kinds, made from the types that admission reads objects with.

    shapes (kind_schemas, status_schemas) ─┐
    words (field_words) ───────────────────┼─> structural schema ─> definition ─> charts/upwell/crds/*.yaml
    bounds and CEL rules (crd_rules) ──────┘                                  └─> the embedded API server

`make crds` writes the files; a test fails when they differ. Schemas are structural as Kubernetes demands: a type
everywhere (but where anything may be), no references, no defaults: those are admission's.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from upwell.api.crd_columns import CRD_COLUMNS
from upwell.api.crd_rules import MARKS, Marks
from upwell.api.field_words import FIELD_WORDS, KIND_WORDS
from upwell.api.kind_schemas import SPECS
from upwell.api.legacy import LEGACY
from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.api.schema import ANYTHING, BOOLEAN, INT32, INT_OR_STRING, INTEGER, QUANTITY, STRING, Shape
from upwell.api.status_schemas import STATUSES

__all__ = ["definition", "definition_name", "open_schema"]

_EITHER: Final = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
_QUANTITY: Final = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_PLAIN: Final[Mapping[str, Mapping[str, Any]]] = {
    STRING.expected: {"type": "string"},
    INTEGER.expected: {"type": "integer"},
    INT32.expected: {"type": "integer", "format": "int32"},
    BOOLEAN.expected: {"type": "boolean"},
    INT_OR_STRING.expected: _EITHER,
    QUANTITY.expected: {**_EITHER, "pattern": _QUANTITY},
    ANYTHING.expected: {_PRESERVE: True},
}
_LABELS: Final = {"app.kubernetes.io/name": "knative-serving", "knative.dev/crd-install": "true"}


def definition_name(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}"


def definition(resource: Resource, old_versions_in: str = "") -> Object:
    """The whole definition of a kind.

    With a namespace in `old_versions_in`, where it has had other versions they are served too, marked as deprecated,
    and converted by the webhook in that namespace.
    """
    version: Object = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": open_schema(resource)},
    }
    if resource.has_status:
        version["subresources"] = {"status": {}}
    if columns := CRD_COLUMNS.get(resource):
        version["additionalPrinterColumns"] = [column.definition() for column in columns]
    names: Object = {"kind": resource.kind, "plural": resource.plural, "singular": resource.kind.lower()}
    if resource.categories:
        names["categories"] = list(resource.categories)
    if resource.short_names:
        names["shortNames"] = list(resource.short_names)
    spec: Object = {
        "group": resource.group,
        "names": names,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "versions": [version],
    }
    if old_versions_in:
        _serve_old_versions(spec, resource, old_versions_in)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": definition_name(resource), "labels": dict(_LABELS)},
        "spec": spec,
    }


def _serve_old_versions(spec: Object, resource: Resource, namespace: str) -> None:
    """Take what documents of 2019 hold as it is; what it means today is checked once it is converted."""
    old = [version.rpartition("/")[2] for (version, _), today in LEGACY.items() if today is resource]
    anything = {"type": "object", _PRESERVE: True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    for name in old:
        spec["versions"].append(
            {
                "name": name,
                "served": True,
                "storage": False,
                "deprecated": True,
                "deprecationWarning": f"{resource.group}/{name} {resource.kind} is {resource.api_version} today",
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}},
            }
        )
    if old:
        service = {"name": "webhook", "namespace": namespace, "path": "/resource-conversion"}
        spec["conversion"] = {
            "strategy": "Webhook",
            "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": service}},
        }


@cache
def open_schema(resource: Resource) -> Object:
    """The structural schema of a kind, to be read only."""
    marks = MARKS.get(resource, {})
    properties: Object = {
        "apiVersion": _described({"type": "string"}, "apiVersion"),
        "kind": _described({"type": "string"}, "kind"),
        "metadata": {"type": "object"},
        "spec": _described(_schema(SPECS[resource], "spec", marks), "spec"),
    }
    if resource in STATUSES:
        properties["status"] = _described(_schema(STATUSES[resource], "status", {}), "status")
    return {
        "type": "object",
        "description": KIND_WORDS[resource.kind],
        "required": ["spec"],
        "properties": properties,
        **marks.get("", {}),
    }


def _schema(shape: Shape, path: str, marks: Marks) -> Object:
    return {**_typed(shape, path, marks), **marks.get(path, {})}


def _typed(shape: Shape, path: str, marks: Marks) -> Object:
    if shape.fields is not None:
        properties = {
            name: _described(_schema(field, f"{path}.{name}", marks), name) for name, field in shape.fields.items()
        }
        return {"type": "object", "properties": properties, **({_PRESERVE: True} if shape.open else {})}
    if shape.item is None:
        return dict(_PLAIN[shape.expected])
    if shape.is_list:
        return {"type": "array", "items": _schema(shape.item, f"{path}[]", marks)}
    return {"type": "object", "additionalProperties": _schema(shape.item, f"{path}{{}}", marks)}


def _described(schema: Object, name: str) -> Object:
    return {"description": FIELD_WORDS[name], **schema} if name in FIELD_WORDS else schema
