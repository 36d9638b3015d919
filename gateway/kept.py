"""What the gateway keeps of the objects that it watches: what routing asks of them, and equal parts only once.

A cluster has an Ingress, Services and slices for every route and revision, so this decides how many routes fit into a
gateway's memory. An Ingress that is ours keeps its spec as JSON, which is a tenth of it as dictionaries and is read
once a generation; one that is not keeps its name. Slices and Services of what only the activator asks for (`Private`)
are not even sent (`PUBLIC_ONLY`).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from upwell.api import names
from upwell.api.objects import Object, annotations_of, labels_of

__all__ = ["PUBLIC_ONLY", "endpoint_slice", "ingress_trim", "service", "whole_ingress"]

PUBLIC_ONLY: Final = f"{names.LABEL_SERVICE_TYPE}!={names.SERVICE_TYPE_PRIVATE}"
"""A selector: Services that users and controllers make have no such label, and are wanted."""

_IDENTITY: Final = ("name", "namespace", "uid", "resourceVersion")
_INGRESS_METADATA: Final = (*_IDENTITY, "generation", "creationTimestamp", "deletionTimestamp")
_INGRESS_ANNOTATIONS: Final = (names.ANNOTATION_INGRESS_CLASS, names.ANNOTATION_STICKINESS)
_CONDITIONS: Final = ("ready", "serving", "terminating")
_SHARED_MOST: Final = 4096

_shared: dict[str, Any] = {}


def ingress_trim(ingress_class: str) -> Callable[[Object], Object]:
    """For Ingress objects, where those of this class are ours."""

    def trim(obj: Object) -> Object:
        metadata = _chosen(obj["metadata"], _INGRESS_METADATA)
        annotations = _chosen(annotations_of(obj), _INGRESS_ANNOTATIONS)
        metadata["annotations"] = _share(annotations)
        if annotations.get(names.ANNOTATION_INGRESS_CLASS) != ingress_class:
            return {**_kind(obj), "metadata": metadata}
        status = {name: _share(value) for name, value in (obj.get("status") or {}).items()}
        spec = json.dumps(obj.get("spec"), separators=(",", ":"), ensure_ascii=False)
        return {**_kind(obj), "metadata": metadata, "spec": spec, "status": status}

    return trim


def whole_ingress(obj: Object) -> Object:
    """An Ingress of ours with its spec as it came."""
    spec = obj.get("spec")
    return {**obj, "spec": json.loads(spec)} if isinstance(spec, str) else obj


def service(obj: Object) -> Object:
    """Its ports: which number goes by which name, and what is spoken there."""
    ports = [_chosen(port, ("name", "port", "appProtocol")) for port in (obj.get("spec") or {}).get("ports") or ()]
    return {**_kind(obj), "metadata": _chosen(obj["metadata"], _IDENTITY), "spec": _share({"ports": ports})}


def endpoint_slice(obj: Object) -> Object:
    """Whose it is, and where to dial in which condition; nodes, zones, hints and the pods' names are most of it."""
    metadata = _chosen(obj["metadata"], _IDENTITY)
    metadata["labels"] = _chosen(labels_of(obj), (names.LABEL_SLICE_SERVICE,))
    ports = [_chosen(port, ("name", "port")) for port in obj.get("ports") or ()]
    endpoints = [
        {
            "addresses": endpoint.get("addresses") or [],
            "conditions": _share(_chosen(endpoint.get("conditions") or {}, _CONDITIONS)),
        }
        for endpoint in obj.get("endpoints") or ()
    ]
    return {**_kind(obj), "metadata": metadata, "ports": _share(ports), "endpoints": endpoints}


def _kind(obj: Object) -> dict[str, str]:
    return {"apiVersion": _share(obj["apiVersion"]), "kind": _share(obj["kind"])}


def _chosen(fields: Mapping[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    return {name: fields[name] for name in wanted if name in fields}


def _share(value: Any) -> Any:
    """The value like this one that was seen before: thousands of revisions have the same few ports and conditions."""
    text = json.dumps(value)
    found = _shared.get(text)
    if found is None:
        if len(_shared) >= _SHARED_MOST:
            _shared.clear()
        found = _shared[text] = value
    return found
