"""Revision: one immutable version of an app and its configuration.

default ── on creation only: a revision's spec never changes
validate ── on creation all of it; on an update that the spec is what it was, and if so the metadata
"""

from typing import Any

from upwell.api.conditions import ConditionSet
from upwell.api.configs import KindsConfig
from upwell.api.field_errors import FieldErrors
from upwell.api.kind_schemas import SPECS
from upwell.api.metadata import validate_name, validate_owner_label
from upwell.api.names import LABEL_CONFIGURATION
from upwell.api.objects import Object
from upwell.api.resources import REVISION
from upwell.api.revision_defaults import default_revision_spec
from upwell.api.revision_validation import validate_autoscaling, validate_revision_spec
from upwell.api.schema import Reading
from upwell.api.template_names import describe_difference

__all__ = ["ACTIVE", "CONDITIONS", "CONTAINER_HEALTHY", "RESOURCES_AVAILABLE", "default_revision", "validate_revision"]

RESOURCES_AVAILABLE = "ResourcesAvailable"
CONTAINER_HEALTHY = "ContainerHealthy"
ACTIVE = "Active"
CONDITIONS = ConditionSet(dependents=[RESOURCES_AVAILABLE, CONTAINER_HEALTHY])


def default_revision(revision: Object, old: Object | None, config: KindsConfig) -> None:
    """Fill in a new revision, in place."""
    if old is None:
        default_revision_spec(revision["spec"], revision["metadata"], config.defaults, config.features, creating=True)


def validate_revision(revision: Object, old: Object | None, config: KindsConfig, errors: FieldErrors) -> None:
    if old is not None and (now := _meaning_of(revision)) != (before := _meaning_of(old)):
        details = describe_difference(before, now, "spec")
        errors.add("Immutable fields changed (-old +new)", "spec", details=details)
        return
    metadata = revision["metadata"]
    validate_name(metadata, "metadata", errors)
    validate_owner_label(revision, LABEL_CONFIGURATION, "Configuration", errors)
    validate_autoscaling(metadata.get("annotations") or {}, "metadata.annotations", config, errors)
    if old is None:
        validate_revision_spec(revision["spec"], "spec", config, errors)


def _meaning_of(revision: Object) -> Any:
    """The spec as it is read: an empty list and none at all are the same."""
    return SPECS[REVISION].read(revision.get("spec") or {}, "spec", Reading())
