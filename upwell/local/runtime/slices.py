"""EndpointSlices: where a Service's pods can be reached. Pure.

Pods share one address here and differ in their ports, and a slice has one set of ports for all of its endpoints, so
there is a slice for each pair of Service and Pod. Consumers take all slices of a Service together anyway.
"""

from collections.abc import Mapping
from typing import Any, Final

from upwell.api.names import LABEL_SLICE_MANAGER, LABEL_SLICE_SERVICE, child_name
from upwell.api.objects import (
    Object,
    controller_reference,
    labels_of,
    matches_labels,
    name_of,
    namespace_of,
    new_object,
)
from upwell.api.resources import ENDPOINT_SLICE
from upwell.local.runtime.ports import ports_of

__all__ = ["MANAGER", "endpoint_slice", "selects", "slice_name"]

MANAGER: Final = "upwell-runtime"
ADDRESS: Final = "127.0.0.1"


def selects(service: Object, pod: Object) -> bool:
    """Whether the Service has a selector and it takes in the pod."""
    selector = service["spec"].get("selector")
    return bool(selector) and namespace_of(service) == namespace_of(pod) and matches_labels(pod, selector)


def slice_name(service: str, pod: str) -> str:
    return child_name(service, "-" + pod)


def endpoint_slice(service: Object, pod: Object, *, ready: bool, terminating: bool) -> Object:
    """The slice of one Service and one of its pods; a port that the pod does not have is left out."""
    shown_ready = (ready and not terminating) or bool(service["spec"].get("publishNotReadyAddresses"))
    return new_object(
        ENDPOINT_SLICE,
        namespace_of(service),
        slice_name(name_of(service), name_of(pod)),
        metadata={
            # The Service's own labels too, as in Kubernetes: by them, watchers choose.
            "labels": {
                **labels_of(service),
                LABEL_SLICE_SERVICE: name_of(service),
                LABEL_SLICE_MANAGER: MANAGER,
            },
            "ownerReferences": [controller_reference(service)],
        },
        addressType="IPv4",
        ports=_ports(service, pod),
        endpoints=[
            {
                "addresses": [ADDRESS],
                "conditions": {"ready": shown_ready, "serving": ready, "terminating": terminating},
                "nodeName": str(pod["spec"].get("nodeName") or ""),
                "targetRef": {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod)},
            }
        ],
    )


def _ports(service: Object, pod: Object) -> list[Object]:
    translated = ports_of(pod)
    ports = []
    for port in service["spec"].get("ports") or ():
        actual = _actual(port, pod, translated)
        if actual:
            item = {"name": str(port.get("name") or ""), "port": actual, "protocol": str(port.get("protocol") or "TCP")}
            if port.get("appProtocol"):
                item["appProtocol"] = port["appProtocol"]
            ports.append(item)
    return ports


def _actual(port: Mapping[str, Any], pod: Object, translated: Mapping[int, int]) -> int:
    target = port.get("targetPort") or port["port"]
    if isinstance(target, str) and not target.isdigit():
        declared = (item for container in pod["spec"]["containers"] for item in container.get("ports") or ())
        return next((int(item["containerPort"]) for item in declared if item.get("name") == target), 0)
    # A port that no container declares is not translated: whoever listens there uses the number as it stands.
    return translated.get(int(target), int(target))
