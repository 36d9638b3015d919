"""Placeholder Services: the cluster's own names for a Route and its tags (contract: control-plane.md 6.5).

One for each, named so that `<name>.<namespace>.svc` is what clients inside the cluster call. First each points to where
another Ingress of the class is served, as that is nearly always the place for all; at its domain name when none is
known. Once its own Ingress has told where it can be reached, there.
"""

from collections.abc import Mapping
from typing import Any, Final

from controller.route.hosts import Host
from upwell.api.names import ANNOTATION_LAST_APPLIED, LABEL_ROUTE, LABEL_VISIBILITY
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    labels_of,
    mutable,
    name_of,
    namespace_of,
    new_object,
)
from upwell.api.resources import CORE_SERVICE

__all__ = ["make_placeholder", "pointed_at", "retarget"]

_PORT: Final = {"name": "http2", "port": 80, "targetPort": 80, "appProtocol": "kubernetes.io/h2c", "protocol": "TCP"}
_MESH_PORT: Final = {"name": "http", "port": 80, "targetPort": 80, "protocol": "TCP"}


def make_placeholder(route: Object, host: Host, likely: Object | None) -> Object:
    """The Service as it is created; `likely` is an Ingress that is served where this one probably will be."""
    service = new_object(
        CORE_SERVICE,
        namespace_of(route),
        host.service,
        metadata={
            "labels": _labels(route),
            "annotations": _annotations(route),
            "ownerReferences": [controller_reference(route)],
        },
        spec=_external(host.domain),
    )
    target = pointed_at(service, likely) if likely is not None else None
    # A name can be changed later, whereas another type might have to be made anew.
    if target is not None and target["type"] == "ExternalName":
        service["spec"] = target
    return service


def _labels(route: Object) -> dict[str, str]:
    # Whether a name is reachable from outside is the user's to say on each placeholder.
    kept = {key: value for key, value in labels_of(route).items() if key != LABEL_VISIBILITY}
    return {**kept, LABEL_ROUTE: name_of(route)}


def _annotations(route: Object) -> dict[str, str]:
    return {key: value for key, value in annotations_of(route).items() if key != ANNOTATION_LAST_APPLIED}


def pointed_at(service: Object, ingress: Object) -> dict[str, Any] | None:
    """The spec by which `service` leads to where the Ingress is served; None while that is not known."""
    status = ingress.get("status") or {}
    private = (status.get("privateLoadBalancer") or {}).get("ingress") or []
    public = (status.get("publicLoadBalancer") or {}).get("ingress") or []
    inside_only = labels_of(service).get(LABEL_VISIBILITY) == "cluster-local"
    balancers = private if private or inside_only else public
    if len(balancers) != 1:
        return None
    balancer: Mapping[str, Any] = balancers[0]
    if balancer.get("domainInternal") or balancer.get("domain"):
        return _external(str(balancer.get("domainInternal") or balancer["domain"]))
    if balancer.get("meshOnly"):
        return {"type": "ClusterIP", "ports": [_MESH_PORT]}
    return None


def retarget(service: Object, wanted: dict[str, Any], route: Object) -> tuple[Object | None, bool]:
    """`service` as it should be (None when it is), and whether it must be made anew for that.

    Its labels and annotations follow the route's; what others put on it stays.
    """
    spec, result = service["spec"], mutable(service)
    for field, values in (("labels", _labels(route)), ("annotations", _annotations(route))):
        if not values.items() <= (service["metadata"].get(field) or {}).items():
            result["metadata"][field] = {**(service["metadata"].get(field) or {}), **values}
    if all(_same(spec, name, value) for name, value in wanted.items()):
        return (None if result["metadata"] == service["metadata"] else result), False
    if spec.get("type") == wanted["type"]:
        result["spec"].update(wanted)
        return result, False
    result["spec"] = dict(wanted)
    # Leaving ExternalName behind is the one change of type that the API allows.
    return result, spec.get("type") != "ExternalName"


def _same(spec: Mapping[str, Any], name: str, value: Any) -> bool:
    if name != "ports":
        return bool(spec.get(name) == value)
    return bool([{key: port.get(key) for key in value[0]} for port in spec.get("ports") or ()] == value)


def _external(domain: str) -> dict[str, Any]:
    return {"type": "ExternalName", "externalName": domain, "sessionAffinity": "None", "ports": [_PORT]}
