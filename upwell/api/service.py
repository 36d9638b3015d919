"""Service: an app and its traffic in one object, from which a Configuration and a Route are made."""

from upwell.api.conditions import ConditionSet
from upwell.api.configs import KindsConfig
from upwell.api.configuration import default_template
from upwell.api.field_errors import FieldErrors
from upwell.api.metadata import default_authors, validate_authors, validate_autoscaling_is_not_here, validate_name
from upwell.api.objects import Object
from upwell.api.revision_validation import validate_template
from upwell.api.rollout_duration import validate_rollout_duration
from upwell.api.stickiness import validate_stickiness
from upwell.api.template_names import validate_template_name, validate_template_name_change
from upwell.api.traffic import default_traffic, validate_traffic

__all__ = ["CONDITIONS", "CONFIGURATIONS_READY", "ROUTES_READY", "default_service", "validate_service"]

CONFIGURATIONS_READY = "ConfigurationsReady"
ROUTES_READY = "RoutesReady"
CONDITIONS = ConditionSet(dependents=[CONFIGURATIONS_READY, ROUTES_READY])


def default_service(service: Object, old: Object | None, config: KindsConfig, user: str) -> None:
    """Fill in what its author left out, in place."""
    default_template(service, old, config)
    traffic = service["spec"].setdefault("traffic", [{"latestRevision": True, "percent": 100}])
    default_traffic(traffic)
    default_authors(service, old, user)


def validate_service(service: Object, old: Object | None, config: KindsConfig, errors: FieldErrors) -> None:
    validate_name(service["metadata"], "metadata", errors)
    validate_autoscaling_is_not_here(service["metadata"], errors)
    validate_rollout_duration(service, errors)
    validate_stickiness(service, errors)
    validate_template(service, config, errors)
    validate_template_name(service, errors)
    if "traffic" in service["spec"]:  # else it is filled in, if not before it is stored then by the controllers
        validate_traffic(service["spec"]["traffic"], "spec.traffic", errors, in_service=True)
    if old is not None:
        validate_template_name_change(service, old, errors)
        validate_authors(service, old, errors)
