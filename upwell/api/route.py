"""Route: which revisions get which share of the requests to which hosts."""

from upwell.api.conditions import ConditionSet
from upwell.api.configs import KindsConfig
from upwell.api.field_errors import FieldErrors
from upwell.api.metadata import (
    default_authors,
    validate_authors,
    validate_autoscaling_is_not_here,
    validate_name,
    validate_owner_label,
)
from upwell.api.names import LABEL_SERVICE
from upwell.api.objects import Object
from upwell.api.rollout_duration import validate_rollout_duration
from upwell.api.stickiness import validate_stickiness
from upwell.api.traffic import default_traffic, validate_traffic

__all__ = [
    "ALL_TRAFFIC_ASSIGNED",
    "CERTIFICATE_PROVISIONED",
    "CONDITIONS",
    "INGRESS_READY",
    "default_route",
    "validate_route",
]

ALL_TRAFFIC_ASSIGNED = "AllTrafficAssigned"
INGRESS_READY = "IngressReady"
CERTIFICATE_PROVISIONED = "CertificateProvisioned"
CONDITIONS = ConditionSet(dependents=[ALL_TRAFFIC_ASSIGNED, INGRESS_READY, CERTIFICATE_PROVISIONED])


def default_route(route: Object, old: Object | None, config: KindsConfig, user: str) -> None:
    """Fill in what its author left out, in place."""
    default_traffic(route["spec"].get("traffic") or ())
    if not route["metadata"].get("ownerReferences"):
        default_authors(route, old, user)


def validate_route(route: Object, old: Object | None, config: KindsConfig, errors: FieldErrors) -> None:
    validate_name(route["metadata"], "metadata", errors)
    validate_autoscaling_is_not_here(route["metadata"], errors)
    validate_owner_label(route, LABEL_SERVICE, "Service", errors)
    validate_rollout_duration(route, errors)
    validate_stickiness(route, errors)
    validate_traffic(route["spec"].get("traffic") or (), "spec.traffic", errors, in_service=False)
    if old is not None and not route["metadata"].get("ownerReferences"):
        validate_authors(route, old, errors)
