"""How an object that a client sends becomes the object that is stored.

The client owns spec, labels, annotations and the like; the server owns uid, creationTimestamp, generation and
deletion times, and the `status` subresource owns status. `for_create`, `for_update` and `for_status` put the parts
together; the generation counts changes of what the client asks for, never of status or metadata.
"""

import random
import uuid
from collections.abc import Callable, Container
from typing import Final

from upwell.api.objects import Object, timestamp
from upwell.api.resources import Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.catalog import is_custom
from upwell.local.apiserver.errors import Cause

__all__ = ["assign_address", "counts_generation", "for_create", "for_status", "for_update", "with_generation"]

_SERVER_OWNED: Final = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED_BASE_LIMIT: Final = 58
_STATUS_FROM_CREATOR: Final = {("", "Node")}
"""Kinds whose creator may say the status; for all others with a status subresource it starts empty."""
_GENERATION: Final = {("", "Pod"), ("apps", "Deployment")}
"""Built-in kinds that count generations; custom resources all do."""


def counts_generation(resource: Resource) -> bool:
    return is_custom(resource) or (resource.group, resource.kind) in _GENERATION


def for_create(resource: Resource, obj: Object, now: float) -> Object:
    """Complete a new object; `obj` is changed. Raise StatusError (422) when it has no name."""
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise errors.bad_request("resourceVersion should not be set on objects to be created")
    if not metadata.get("name"):
        metadata["name"] = _generated(resource, metadata)
    for field in _SERVER_OWNED:
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = timestamp(now)
    if counts_generation(resource):
        metadata["generation"] = 1
    if resource.has_status and (resource.group, resource.kind) not in _STATUS_FROM_CREATOR:
        obj.pop("status", None)
        if not is_custom(resource):
            obj["status"] = {}
    return obj


def _generated(resource: Resource, metadata: Object) -> str:
    base = str(metadata.get("generateName", ""))
    if not base:
        cause = Cause("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")
        raise errors.invalid(resource, "", [cause])
    return base[:_GENERATED_BASE_LIMIT] + "".join(random.choices(_SUFFIX_LETTERS, k=5))


def for_update(resource: Resource, obj: Object, old: Object) -> Object:
    """The stored form of an update of everything but status; `obj` is changed."""
    _keep_server_owned(obj["metadata"], old["metadata"])
    if resource.has_status:
        obj.pop("status", None)
        if "status" in old:
            obj["status"] = old["status"]
    return obj


def _keep_server_owned(metadata: Object, old: Object) -> None:
    for field in _SERVER_OWNED:
        metadata.pop(field, None)
        if field in old:
            metadata[field] = old[field]


def for_status(obj: Object, old: Object) -> Object:
    """The stored form of an update through `/status`: the old object with the new status."""
    result = {**old, "metadata": dict(old["metadata"])}
    result.pop("status", None)
    if obj.get("status") is not None:
        result["status"] = obj["status"]
    return result


def with_generation(resource: Resource, obj: Object, old: Object) -> Object:
    """Count the generation up if the client's part of the object has changed."""
    if counts_generation(resource) and _asked(obj) != _asked(old):
        obj["metadata"]["generation"] = int(old["metadata"].get("generation", 0)) + 1
    return obj


def _asked(obj: Object) -> Object:
    return {field: value for field, value in obj.items() if field not in ("metadata", "status")}


def assign_address(obj: Object, old: Object | None, taken: Callable[[], Container[str]]) -> None:
    """Give a Service a cluster IP, or keep the one that it has; `taken` tells those in use.

    They are from 10.96.0.0/12, and for people to see: nothing listens there.
    """
    spec = obj["spec"]
    if spec.get("type") == "ExternalName":
        return
    if not spec.get("clusterIP"):
        spec["clusterIP"] = (old or {}).get("spec", {}).get("clusterIP") or _free_address(taken())
    spec["clusterIPs"] = [spec["clusterIP"]]


def _free_address(taken: Container[str]) -> str:
    while True:
        number = random.randrange(1 << 8, 1 << 20)
        address = f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        if address not in taken:
            return address
