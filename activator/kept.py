"""What the activator keeps of the objects that it watches: the fields that it reads, and equal parts only once.

A cluster has several objects for each revision, so this decides how many revisions fit into an activator's memory:
whole objects of ten thousand revisions take half a gigabyte, these a fifth of it. Objects that are trimmed here are
never written back; whoever changes one reads it first (`activator.sks_reconciler`). ServerlessServices, and the slices
that the activators write themselves, are kept whole.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from activator.public_address import MANAGER
from upwell.api import names
from upwell.api.objects import Object, annotations_of, labels_of

__all__ = ["autoscaler", "endpoint_slice", "revision", "service"]

_IDENTITY: Final = ("name", "namespace", "uid", "resourceVersion")
_REVISION_LABELS: Final = (names.LABEL_SERVICE, names.LABEL_CONFIGURATION)
_REVISION_ANNOTATIONS: Final = (
    names.ANNOTATION_WAITING_PAGE,
    names.ANNOTATION_WAITING_PAGE_STATUS,
    names.ANNOTATION_WAITING_PAGE_REFRESH,
    names.ANNOTATION_WAITING_PAGE_BODY,
)
_REVISION_SPEC: Final = ("containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds")
_SERVICE_SPEC: Final = ("ports", "selector", "clusterIP")
_SHARED_MOST: Final = 4096

_shared: dict[str, Any] = {}


def revision(obj: Object) -> Object:
    """What `activator.revisions` reads."""
    spec = obj.get("spec") or {}
    kept = _chosen(spec, _REVISION_SPEC)
    kept["containers"] = [_container(container) for container in spec.get("containers") or ()]
    metadata = _metadata(obj)
    metadata["labels"] = _chosen(labels_of(obj), _REVISION_LABELS)
    annotations = _chosen(annotations_of(obj), _REVISION_ANNOTATIONS)
    if annotations:
        metadata["annotations"] = annotations
    return {**_kind(obj), "metadata": metadata, "spec": _share(kept)}


def autoscaler(obj: Object) -> Object:
    """Its wish."""
    status = _chosen(obj.get("status") or {}, ("desiredScale",))
    return {**_kind(obj), "metadata": _metadata(obj), "status": _share(status)}


def service(obj: Object) -> Object:
    """Whose it is, its address and ports."""
    metadata = _metadata(obj)
    metadata["labels"] = labels_of(obj)
    metadata["ownerReferences"] = obj["metadata"].get("ownerReferences") or []
    spec = _chosen(obj.get("spec") or {}, _SERVICE_SPEC)
    if "ports" in spec:
        spec["ports"] = _share(spec["ports"])
    return {**_kind(obj), "metadata": metadata, "spec": spec}


def endpoint_slice(obj: Object) -> Object:
    """Endpoints and ports; one of our own is updated as it is, so it stays whole."""
    for part in ("ports", "endpoints"):
        if obj.get(part):
            obj[part] = _share(obj[part])
    labels = labels_of(obj)
    if labels.get(names.LABEL_SLICE_MANAGER) == MANAGER:
        return obj
    metadata = _metadata(obj)
    metadata["labels"] = _chosen(labels, (names.LABEL_SLICE_SERVICE,))
    return {**_kind(obj), "metadata": metadata, **_chosen(obj, ("addressType", "ports", "endpoints"))}


def _kind(obj: Object) -> dict[str, str]:
    return {"apiVersion": _share(obj["apiVersion"]), "kind": _share(obj["kind"])}


def _metadata(obj: Object) -> dict[str, Any]:
    return _chosen(obj["metadata"], _IDENTITY)


def _chosen(fields: Mapping[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    return {name: fields[name] for name in wanted if name in fields}


def _container(container: Mapping[str, Any]) -> dict[str, Any]:
    """What decides about the port and about early probes; its image and environment are most of a revision."""
    kept: dict[str, Any] = {}
    if container.get("ports"):
        kept["ports"] = [_chosen(port, ("name",)) for port in container["ports"]]
    if "exec" in (container.get("readinessProbe") or {}):
        kept["readinessProbe"] = {"exec": {}}
    if container.get("startupProbe"):
        kept["startupProbe"] = {"exec": {}}
    return kept


def _share(value: Any) -> Any:
    """The value like this one that was seen before: thousands of revisions have the same few ports and limits."""
    text = json.dumps(value)
    found = _shared.get(text)
    if found is None:
        if len(_shared) >= _SHARED_MOST:
            _shared.clear()
        found = _shared[text] = value
    return found
