"""API objects are plain JSON; these are the accessors that everyone needs.

Keeping objects as the dictionaries that the API server sent means that fields we do not know survive an update.
Kinds whose fields matter to a decision have typed views in modules of their own.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from upwell.api.resources import Resource

__all__ = [
    "Key",
    "Object",
    "ObjectError",
    "annotations_of",
    "controller_of",
    "controller_reference",
    "is_controlled_by",
    "is_deleting",
    "key_of",
    "labels_of",
    "matches_labels",
    "mutable",
    "name_of",
    "namespace_of",
    "new_object",
    "timestamp",
    "timestamp_seconds",
    "uid_of",
]

Object: TypeAlias = dict[str, Any]
"""One API object: apiVersion, kind, metadata, spec, status."""


class Key(NamedTuple):
    """What identifies an object of one resource; namespace is empty for cluster-scoped ones."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass
class ObjectError(ValueError):
    """A field of an object cannot be used: its path, its value and what would be right."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def name_of(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str:
    return str(obj["metadata"].get("namespace") or "")


def uid_of(obj: Object) -> str:
    return str(obj["metadata"].get("uid") or "")


def key_of(obj: Object) -> Key:
    return Key(namespace_of(obj), name_of(obj))


def labels_of(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}


def is_deleting(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def mutable(obj: Object) -> Object:
    """A copy that may be changed; objects from a cache are shared and must not be."""
    return copy.deepcopy(obj)


def matches_labels(obj: Object, selector: Mapping[str, str]) -> bool:
    """Whether `obj` carries every label of `selector` with that value."""
    labels = labels_of(obj)
    return all(labels.get(name) == value for name, value in selector.items())


def new_object(resource: Resource, namespace: str, name: str, **fields: Any) -> Object:
    """A fresh object; `fields` are further top-level fields, and `metadata` is merged."""
    metadata: dict[str, Any] = {"name": name}
    if resource.namespaced:
        metadata["namespace"] = namespace
    metadata.update(fields.pop("metadata", {}))
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}


def controller_reference(owner: Object) -> Object:
    """The ownerReference that makes `owner` the controller of an object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Object) -> Object | None:
    """The ownerReference marked as controller, if any."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Object = reference
            return found
    return None


def is_controlled_by(obj: Object, owner: Object) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid_of(owner)


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with second precision, as Kubernetes writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def timestamp_seconds(text: str) -> float:
    """Unix seconds of an RFC 3339 time; raise ValueError when it is none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
