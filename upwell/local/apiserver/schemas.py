"""OpenAPI schemas of the kinds: what `kubectl explain` prints.

Built-in kinds are described by the client library's models. Knative's are described by the shapes that admission
reads them with; where those are a pod's fields, the words are taken from the pod's model.
"""

from collections.abc import Mapping
from typing import Any, Final

from upwell.api.field_words import FIELD_WORDS, KIND_WORDS
from upwell.api.kind_schemas import SPECS
from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.api.schema import ANYTHING, BOOLEAN, INT_OR_STRING, INTEGER, QUANTITY, STRING, Shape, list_of
from upwell.api.status_schemas import STATUSES
from upwell.local.apiserver import builtin_types
from upwell.local.apiserver.builtin_types import fields_of_model, item_type, model_name
from upwell.local.apiserver.catalog import is_custom

__all__ = ["schema_name", "schemas_of"]

_METADATA: Final = "V1ObjectMeta"
_POD_SPEC: Final = "V1PodSpec"
_ANY: Final[Object] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_PLAIN_MODELS: Final[Mapping[str, Object]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "object": {"x-kubernetes-int-or-string": True, "oneOf": [{"type": "integer"}, {"type": "string"}]},
}
_PLAIN_SHAPES: Final[Mapping[str, Object]] = {
    STRING.expected: {"type": "string"},
    QUANTITY.expected: {"type": "string"},
    INTEGER.expected: {"type": "integer"},
    BOOLEAN.expected: {"type": "boolean"},
    INT_OR_STRING.expected: _PLAIN_MODELS["object"],
    ANYTHING.expected: _ANY,
}
_LIST: Final = list_of(STRING).expected


def schema_name(resource: Resource) -> str:
    """The name of a kind's schema within a document."""
    model = model_name(resource)
    if model:
        return builtin_types.schema_name(model)
    group = ".".join(reversed(resource.group.split(".")))
    return f"{group}.{resource.version}.{resource.kind}"


def schemas_of(resource: Resource) -> dict[str, Object]:
    """The schema of `resource` and those that it refers to, by name."""
    found: dict[str, Object] = {}
    model = model_name(resource)
    if model:
        _add_model(model, found)
        schema = found[builtin_types.schema_name(model)]
    else:
        _add_model(_METADATA, found)
        schema = found[schema_name(resource)] = _custom(resource)
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    schema["x-kubernetes-group-version-kind"] = [kind]
    return found


def _add_model(name: str, found: dict[str, Object]) -> None:
    key = builtin_types.schema_name(name)
    if key in found:
        return
    schema: Object = {"type": "object", "properties": {}}
    found[key] = schema
    for field, content in fields_of_model(name).items():
        schema["properties"][field] = {**_model_type(content.type, found), "description": content.description}


def _model_type(type_name: str, found: dict[str, Object]) -> Object:
    container, inner = item_type(type_name)
    if container == "list":
        return {"type": "array", "items": _model_type(inner, found)}
    if container == "map":
        return {"type": "object", "additionalProperties": _model_type(inner, found)}
    if inner in _PLAIN_MODELS:
        return dict(_PLAIN_MODELS[inner])
    if not fields_of_model(inner):
        return dict(_ANY)
    _add_model(inner, found)
    # Beside a bare $ref a description would be ignored.
    return {"allOf": [{"$ref": f"#/components/schemas/{builtin_types.schema_name(inner)}"}]}


def _custom(resource: Resource) -> Object:
    assert is_custom(resource)
    spec = SPECS.get(resource)
    metadata = {"allOf": [{"$ref": f"#/components/schemas/{builtin_types.schema_name(_METADATA)}"}]}
    properties: Object = {
        "apiVersion": _described({"type": "string"}, "apiVersion"),
        "kind": _described({"type": "string"}, "kind"),
        "metadata": _described(metadata, "metadata"),
        "spec": _described(dict(_ANY) if spec is None else _shape(spec, ""), "spec"),
    }
    if resource in STATUSES:
        properties["status"] = _described(_shape(STATUSES[resource], ""), "status")
    return {"type": "object", "description": KIND_WORDS.get(resource.kind, ""), "properties": properties}


def _described(schema: Object, name: str) -> Object:
    return {**schema, "description": FIELD_WORDS[name]} if name in FIELD_WORDS else schema


def _shape(shape: Shape, model: str) -> Object:
    """The schema of a shape; `model` is what describes the same fields, if anything does."""
    if shape.fields is not None:
        if "containers" in shape.fields:
            model = _POD_SPEC
        return {"type": "object", "properties": _properties(shape.fields, model)}
    if shape.expected in _PLAIN_SHAPES:
        return dict(_PLAIN_SHAPES[shape.expected])
    item = _shape(shape.item, item_type(model)[1]) if shape.item is not None else dict(_ANY)
    if shape.expected == _LIST:
        return {"type": "array", "items": item}
    return {"type": "object", "additionalProperties": item}


def _properties(fields: Mapping[str, Shape], model: str) -> dict[str, Any]:
    known = fields_of_model(model) if model else {}
    properties = {}
    for name, shape in fields.items():
        field = known.get(name)
        schema = _shape(shape, field.type if field is not None else "")
        if name in FIELD_WORDS:
            schema["description"] = FIELD_WORDS[name]
        elif field is not None:
            schema["description"] = field.description
        properties[name] = schema
    return properties
