"""Schemas of the kinds, for `kubectl explain`."""

from typing import Any, Final

from upwell.api.objects import Object
from upwell.api.resources import Resource

__all__ = ["schema_name", "schemas_of"]

_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def schema_name(resource: Resource) -> str:
    """The name of a kind's schema within a document."""
    group = ".".join(reversed((resource.group or "core.api.k8s.io").split(".")))
    return f"{group}.{resource.version}.{resource.kind}"


def schemas_of(resource: Resource) -> dict[str, Any]:
    """The schema of `resource` and those that it refers to, by name."""
    properties: Object = {
        "apiVersion": {"type": "string", "description": "The version of the API that this object is written for."},
        "kind": {"type": "string", "description": "What this object is."},
        "metadata": {
            "allOf": [{"$ref": f"#/components/schemas/{_METADATA}"}],
            "description": "Name, labels and the like.",
        },
        "spec": {"type": "object", "description": "What is wanted.", "x-kubernetes-preserve-unknown-fields": True},
        "status": {"type": "object", "description": "What was seen.", "x-kubernetes-preserve-unknown-fields": True},
    }
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    return {
        schema_name(resource): {
            "type": "object",
            "properties": properties,
            "x-kubernetes-group-version-kind": [kind],
        },
        _METADATA: {"type": "object", "properties": {"name": {"type": "string"}}},
    }
