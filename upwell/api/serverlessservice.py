"""ServerlessService: a revision's address, and whether it leads to the pods or to activators.

It is named as the revision and controlled by its PodAutoscaler. The autoscaler writes the spec: the mode, and how many
activators stand in front. The activator makes the Services and writes the status. Source: contract, autoscaler.md 10.1.
"""

from typing import Any, Final

from upwell.api.conditions import READY, TRUE, find, status_of
from upwell.api.names import ANNOTATION_METRIC
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    labels_of,
    name_of,
    namespace_of,
    new_object,
    timestamp_seconds,
)
from upwell.api.resources import SERVERLESS_SERVICE

__all__ = [
    "ACTIVATORS_POPULATED",
    "PROXY",
    "SERVE",
    "is_current",
    "is_ready",
    "mode_of",
    "new_serverless_service",
    "private_service_name",
    "proxying_since",
    "public_service_name",
    "ready_message",
    "serverless_service_spec",
]

PROXY: Final = "Proxy"
SERVE: Final = "Serve"
ACTIVATORS_POPULATED: Final = "ActivatorEndpointsPopulated"


def serverless_service_spec(autoscaler: Object, mode: str, activators: int) -> dict[str, Any]:
    """What the address of `autoscaler`'s revision is to lead to; `activators` 0 means all of them."""
    return {
        "mode": mode,
        "objectRef": dict(autoscaler["spec"]["scaleTargetRef"]),
        "protocolType": autoscaler["spec"]["protocolType"],
        "numActivators": activators,
    }


def new_serverless_service(autoscaler: Object, spec: dict[str, Any]) -> Object:
    annotations = {name: value for name, value in annotations_of(autoscaler).items() if name != ANNOTATION_METRIC}
    metadata = {
        "labels": dict(labels_of(autoscaler)),
        "annotations": annotations,
        "ownerReferences": [controller_reference(autoscaler)],
    }
    return new_object(SERVERLESS_SERVICE, namespace_of(autoscaler), name_of(autoscaler), metadata=metadata, spec=spec)


def mode_of(service: Object) -> str:
    return str(service["spec"].get("mode") or "")


def public_service_name(service: Object) -> str:
    """The Service that traffic uses; empty before it exists."""
    return str((service.get("status") or {}).get("serviceName") or "")


def private_service_name(service: Object) -> str:
    """The Service that selects the pods; empty before it exists."""
    return str((service.get("status") or {}).get("privateServiceName") or "")


def is_current(service: Object) -> bool:
    """Whether the status is about the spec as it is now."""
    return bool((service.get("status") or {}).get("observedGeneration") == service["metadata"].get("generation"))


def is_ready(service: Object) -> bool:
    """Whether the address leads to somebody, by a status that is current."""
    return status_of(service.get("status"), READY) == TRUE and is_current(service)


def ready_message(service: Object) -> str:
    return str(find(service.get("status"), READY).get("message") or "")


def proxying_since(service: Object) -> float | None:
    """When activators became the backend, in Unix seconds; None when they are not."""
    condition = find(service.get("status"), ACTIVATORS_POPULATED)
    if condition.get("status") != TRUE:
        return None
    return timestamp_seconds(str(condition["lastTransitionTime"]))
