"""The PodAutoscaler of a revision (contract: control-plane.md 5.5)."""

from typing import Any, Final

from controller.revision.metadata import autoscaler_annotations, child_labels, deployment_name
from controller.revision.sidecar import serving_protocol
from upwell.api.conditions import FALSE, status_of
from upwell.api.names import ANNOTATION_CLASS, ANNOTATION_METRIC, AUTOSCALING, LABEL_ROUTING_STATE
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
from upwell.api.resources import DEPLOYMENT, POD_AUTOSCALER
from upwell.api.revision import CONTAINER_HEALTHY, RESOURCES_AVAILABLE

__all__ = ["make_pod_autoscaler", "updated_pod_autoscaler"]

REACHABLE: Final = "Reachable"
UNREACHABLE: Final = "Unreachable"
_DEFAULTED: Final = frozenset({ANNOTATION_CLASS, ANNOTATION_METRIC})


def make_pod_autoscaler(revision: Object, deployment: Object | None) -> Object:
    spec: dict[str, Any] = {
        "containerConcurrency": revision["spec"].get("containerConcurrency") or 0,
        "scaleTargetRef": {
            "apiVersion": DEPLOYMENT.api_version,
            "kind": DEPLOYMENT.kind,
            "name": deployment_name(revision),
        },
        "protocolType": serving_protocol(revision),
        "reachability": _reachability(revision, deployment),
    }
    return new_object(
        POD_AUTOSCALER,
        namespace_of(revision),
        name_of(revision),
        metadata={
            "labels": child_labels(revision),
            "annotations": autoscaler_annotations(revision),
            "ownerReferences": [controller_reference(revision)],
        },
        spec={name: value for name, value in spec.items() if value},
    )


def updated_pod_autoscaler(existing: Object, wanted: Object) -> Object | None:
    """`existing` brought to what is wanted; None when it is that already."""
    annotations = _annotations(annotations_of(existing), annotations_of(wanted))
    if existing.get("spec") == wanted["spec"] and annotations == annotations_of(existing):
        return None
    result = mutable(existing)
    result["spec"] = wanted["spec"]
    result["metadata"]["annotations"] = annotations
    return result


def _annotations(existing: Any, wanted: Any) -> dict[str, str]:
    """Autoscaling annotations follow the revision; what defaulting added, and what others put there, stays."""
    kept = {key: value for key, value in existing.items() if not key.startswith(AUTOSCALING) or key in _DEFAULTED}
    return {**kept, **wanted}


def _reachability(revision: Object, deployment: Object | None) -> str:
    """Whether requests can come, as far as we know; a revision that cannot start is given up as if none could."""
    status = revision.get("status")
    failed = any(status_of(status, kind) == FALSE for kind in (RESOURCES_AVAILABLE, CONTAINER_HEALTHY))
    if failed and deployment is not None:
        wanted = deployment["spec"].get("replicas") or 0
        if wanted > 0 and not (deployment.get("status") or {}).get("readyReplicas"):
            return UNREACHABLE
    state = labels_of(revision).get(LABEL_ROUTING_STATE, "")
    return {"active": REACHABLE, "reserve": UNREACHABLE}.get(state, "")
