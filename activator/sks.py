"""What a ServerlessService asks for: its two Services, where its public address leads, and its status. All pure.

A ServerlessService gives a revision one address that is always there. Its private Service selects the pods. Its
public Service selects nothing: the slices behind it are copies, of the ready pods in mode Serve, of some activators in
mode Proxy. Whatever the mode says, pods that are not there are never pointed at while there are activators, nor the
other way round (contract: autoscaler.md 10).

How those copies are laid out is for `activator.public_address` to say.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from upwell.api import names
from upwell.api.conditions import ConditionSet
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    labels_of,
    name_of,
    namespace_of,
    new_object,
)
from upwell.api.resources import CORE_SERVICE
from upwell.policy.subset import choose_subset

__all__ = [
    "Backends",
    "address_of",
    "effective_mode",
    "group_of",
    "port_name_of",
    "private_name_of",
    "private_service",
    "public_backends",
    "public_service",
    "ready_backends",
    "status_for",
    "status_not_owned",
    "status_unwritten",
]

PROXY: Final = "Proxy"
SERVE: Final = "Serve"
POPULATED: Final = "EndpointsPopulated"
ACTIVATORS_POPULATED: Final = "ActivatorEndpointsPopulated"
NOT_READY: Final = "K8s Service is not ready"
_CONDITIONS: Final = ConditionSet(dependents=(POPULATED,))
_HTTPS: Final = "https"

Backends = dict[tuple[str, str], list[dict[str, Any]]]
"""Ready endpoints by (address type, JSON of the ports they share)."""


def private_name_of(sks: Object) -> str:
    return names.child_name(name_of(sks), "-private")


def port_name_of(sks: Object) -> str:
    """The name of the port that requests go to."""
    return names.PORT_NAME_H2C if sks["spec"].get("protocolType") == "h2c" else names.PORT_NAME_HTTP


def private_service(sks: Object, selector: Mapping[str, str]) -> Object:
    """The Service that selects the pods."""
    serving = _serving_port(sks, 80)
    target = serving["targetPort"]
    ports = [
        serving,
        _port(_HTTPS, 443, names.PORT_TLS),
        _port("http-autometric", names.PORT_STATS, "http-autometric"),
        _port("http-usermetric", names.PORT_USER_METRICS, "http-usermetric"),
        _port(f"{port_name_of(sks)}-istio", target, target),
    ]
    return _service(sks, private_name_of(sks), names.SERVICE_TYPE_PRIVATE, ports, {"selector": dict(selector)})


def public_service(sks: Object) -> Object:
    """The Service that the world uses; it selects nothing."""
    serving = _serving_port(sks, 81 if port_name_of(sks) == names.PORT_NAME_H2C else 80)
    ports = [serving, _port(_HTTPS, 443, names.PORT_TLS)]
    return _service(sks, name_of(sks), names.SERVICE_TYPE_PUBLIC, ports, {})


def ready_backends(slices: Iterable[Object], port_name: str) -> Backends:
    """The ready endpoints in `slices` that have a port of that name, each once."""
    found: Backends = {}
    seen: set[tuple[str, str]] = set()
    for endpoint_slice in slices:
        ports = [port for port in endpoint_slice.get("ports") or () if port.get("name") in (port_name, _HTTPS)]
        if not any(port["name"] == port_name for port in ports):
            continue
        group = group_of({**endpoint_slice, "ports": ports})
        for endpoint in endpoint_slice.get("endpoints") or ():
            address = (group[1], address_of(endpoint))
            if _is_ready(endpoint) and address[1] and address not in seen:
                seen.add(address)
                found.setdefault(group, []).append(endpoint)
    return found


def effective_mode(sks: Object, pods: Backends, activators: Backends) -> str:
    """Where the public address leads, given who is ready."""
    if not activators:
        return SERVE
    return SERVE if pods and sks["spec"].get("mode") == SERVE else PROXY


def public_backends(sks: Object, pods: Backends, activators: Backends) -> Backends:
    """Who stands behind the public address now."""
    if effective_mode(sks, pods, activators) == SERVE:
        return pods
    count = int(sks["spec"].get("numActivators") or 0)
    everyone = (address_of(endpoint) for group in activators.values() for endpoint in group)
    chosen = choose_subset(everyone, count, name_of(sks))
    mine = {
        group: [endpoint for endpoint in endpoints if address_of(endpoint) in chosen]
        for group, endpoints in activators.items()
    }
    return {group: endpoints for group, endpoints in mine.items() if endpoints}


def status_for(sks: Object, pods: Backends, now: float) -> Object:
    """The status when both Services are there."""
    status = _fresh_status(sks, names_known=True)
    conditions = _CONDITIONS.manage(status, now)
    if pods:
        conditions.mark_true(POPULATED)
    else:
        conditions.mark_unknown(POPULATED, "NoHealthyBackends", NOT_READY)
    backed = not pods or sks["spec"].get("mode") == PROXY
    conditions.mark(ACTIVATORS_POPULATED, str(backed), ACTIVATORS_POPULATED, "Revision is backed by Activator")
    return status


def status_unwritten(sks: Object, reason: str, now: float) -> Object:
    """The status when the API server refuses something; `reason` says what, in the contract's words."""
    status = _fresh_status(sks, names_known=False)
    _CONDITIONS.manage(status, now).mark_unknown(POPULATED, reason, NOT_READY)
    return status


def status_not_owned(sks: Object, kind: str, name: str, now: float) -> Object:
    """The status when somebody else's object has the name that ours would have."""
    status = _fresh_status(sks, names_known=False)
    message = f"Resource {name} of type {kind} is not owned by SKS"
    _CONDITIONS.manage(status, now).mark_false(POPULATED, "NotOwned", message)
    return status


def _fresh_status(sks: Object, *, names_known: bool) -> dict[str, Any]:
    before = sks.get("status") or {}
    status: dict[str, Any] = {**before, "conditions": list(before.get("conditions") or ())}
    status["observedGeneration"] = sks["metadata"].get("generation", 0)
    if names_known:
        status.update(serviceName=name_of(sks), privateServiceName=private_name_of(sks))
    return status


def _serving_port(sks: Object, port: int) -> dict[str, Any]:
    if port_name_of(sks) == names.PORT_NAME_H2C:
        return {
            **_port(names.PORT_NAME_H2C, port, names.PORT_H2C),
            "appProtocol": names.APP_PROTOCOL_H2C,
        }
    return _port(names.PORT_NAME_HTTP, port, names.PORT_HTTP)


def _port(name: str, port: int, target: int | str) -> dict[str, Any]:
    return {"name": name, "protocol": "TCP", "port": port, "targetPort": target}


def _service(sks: Object, name: str, kind: str, ports: list[dict[str, Any]], spec: dict[str, Any]) -> Object:
    metadata = {
        "labels": {**labels_of(sks), names.LABEL_SKS: name_of(sks), names.LABEL_SERVICE_TYPE: kind},
        "annotations": dict(annotations_of(sks)),
        "ownerReferences": [controller_reference(sks)],
    }
    return new_object(CORE_SERVICE, namespace_of(sks), name, metadata=metadata, spec={"ports": ports, **spec})


def group_of(endpoint_slice: Object) -> tuple[str, str]:
    """By what the endpoints of a slice belong together; a key of `Backends`."""
    ports = sorted(endpoint_slice.get("ports") or (), key=lambda port: str(port.get("name")))
    return str(endpoint_slice.get("addressType") or "IPv4"), json.dumps(ports, sort_keys=True)


def address_of(endpoint: Mapping[str, Any]) -> str:
    return str((endpoint.get("addresses") or [""])[0])


def _is_ready(endpoint: Mapping[str, Any]) -> bool:
    conditions = endpoint.get("conditions") or {}
    return conditions.get("ready") is not False and not conditions.get("terminating")
