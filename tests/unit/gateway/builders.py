"""Ingress objects, Services and EndpointSlices as the control plane writes them, in few words."""

from typing import Any

from upwell.api.names import ANNOTATION_INGRESS_CLASS, INGRESS_CLASS, LABEL_SLICE_SERVICE
from upwell.api.objects import Object, new_object
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, INGRESS


def split(service: str, percent: int = 100, port: int | str = 80, **headers: str) -> Object:
    return {
        "serviceNamespace": "default",
        "serviceName": service,
        "servicePort": port,
        "percent": percent,
        "appendHeaders": {name.replace("_", "-"): value for name, value in headers.items()},
    }


def path(*splits: Object, **fields: Any) -> Object:
    return {"splits": list(splits), **fields}


def rule(*hosts: str, paths: list[Object], visibility: str = "ExternalIP") -> Object:
    return {"hosts": list(hosts), "visibility": visibility, "http": {"paths": paths}}


def ingress(
    name: str, *rules: Object, generation: int = 1, ingress_class: str = INGRESS_CLASS, **metadata: Any
) -> Object:
    annotations = {ANNOTATION_INGRESS_CLASS: ingress_class}
    return new_object(
        INGRESS,
        "default",
        name,
        metadata={"generation": generation, "annotations": annotations, **metadata},
        spec={"rules": list(rules)},
    )


def simple(name: str, host: str, service: str, **metadata: Any) -> Object:
    """One host that leads to one Service."""
    return ingress(name, rule(host, paths=[path(split(service))]), **metadata)


def service(name: str, **ports: int) -> Object:
    listed = [{"name": port, "port": number} for port, number in (ports or {"http": 80}).items()]
    return new_object(CORE_SERVICE, "default", name, spec={"ports": listed})


def slices(service_name: str, *addresses: str, port: str = "http", ready: bool = True) -> list[Object]:
    """One EndpointSlice for each HOST:PORT."""
    return [
        new_object(
            ENDPOINT_SLICE,
            "default",
            f"{service_name}-{number}",
            metadata={"labels": {LABEL_SLICE_SERVICE: service_name}},
            endpoints=[{"addresses": [address.split(":")[0]], "conditions": {"ready": ready}}],
            ports=[{"name": port, "port": int(address.split(":")[1])}],
        )
        for number, address in enumerate(addresses)
    ]
