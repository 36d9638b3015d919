"""The scale subresource: a Deployment seen as `autoscaling/v1` Scale.

As in Kubernetes a count of 0 is left out of the document (`spec: {}`), so a JSON patch has to `add`, not `replace`.
"""

from typing import Any

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.errors import Cause

__all__ = ["parse_scale", "scale_of"]


def scale_of(obj: Object) -> Object:
    """The Scale that stands for `obj`."""
    metadata = obj["metadata"]
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = obj["spec"].get("replicas", 1)
    status: dict[str, Any] = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    if labels:
        status["selector"] = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in shown if field in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def parse_scale(resource: Resource, name: str, body: object) -> tuple[int, str]:
    """The wanted replicas and the expected resourceVersion (may be empty); raise StatusError (400, 422)."""
    if not isinstance(body, dict) or body.get("kind", "Scale") != "Scale":
        raise errors.bad_request("the body must be an autoscaling/v1 Scale")
    metadata = {} if body.get("metadata") is None else body["metadata"]
    spec = {} if body.get("spec") is None else body["spec"]
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise errors.bad_request("metadata and spec of a Scale must be objects")
    replicas = spec.get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        why = f"Invalid value: {replicas}: must be a whole number greater than or equal to 0"
        raise errors.invalid(resource, name, [Cause("FieldValueInvalid", "spec.replicas", why)])
    return replicas, str(metadata.get("resourceVersion") or "")
