"""Configuration: the wanted state of an app; every change of its template makes a revision."""

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
from upwell.api.names import ANNOTATION_CREATOR, LABEL_SERVICE
from upwell.api.objects import Object, annotations_of
from upwell.api.revision_defaults import default_revision_spec
from upwell.api.revision_validation import validate_template
from upwell.api.template_names import (
    keeps_explicit_name,
    template_of,
    validate_template_name,
    validate_template_name_change,
)

__all__ = ["CONDITIONS", "default_configuration", "default_template", "validate_configuration"]

CONDITIONS = ConditionSet()
_SERVICE_LINKS = "enableServiceLinks"


def default_configuration(configuration: Object, old: Object | None, config: KindsConfig, user: str) -> None:
    """Fill in what its author left out, in place."""
    default_template(configuration, old, config)
    if not configuration["metadata"].get("ownerReferences"):
        default_authors(configuration, old, user)


def default_template(obj: Object, old: Object | None, config: KindsConfig) -> None:
    """Fill in the template, unless it goes by the name of a revision that exists already."""
    if keeps_explicit_name(obj, old):
        return
    spec = template_of(obj)["spec"]
    if old is not None:
        _keep_service_links(obj, old)
    default_revision_spec(spec, obj["metadata"], config.defaults, config.features, creating=old is None)


def _keep_service_links(obj: Object, old: Object) -> None:
    """Filled in on creation only, it would be lost when a file is put in place again, and make another revision.

    Who replaces the creator's annotation too is refused, and is told what the reference would have seen.
    """
    before = template_of(old).get("spec") or {}
    same_creator = annotations_of(obj).get(ANNOTATION_CREATOR) == annotations_of(old).get(ANNOTATION_CREATOR)
    if same_creator and _SERVICE_LINKS in before:
        template_of(obj)["spec"].setdefault(_SERVICE_LINKS, before[_SERVICE_LINKS])


def validate_configuration(obj: Object, old: Object | None, config: KindsConfig, errors: FieldErrors) -> None:
    validate_name(obj["metadata"], "metadata", errors)
    validate_autoscaling_is_not_here(obj["metadata"], errors)
    validate_owner_label(obj, LABEL_SERVICE, "Service", errors)
    validate_template(obj, config, errors)
    validate_template_name(obj, errors)
    if old is not None:
        validate_template_name_change(obj, old, errors)
        if not obj["metadata"].get("ownerReferences"):
            validate_authors(obj, old, errors)
