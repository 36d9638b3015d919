"""The Revision that a Configuration's template becomes (contract: control-plane.md 4)."""

from typing import Final

from upwell.api.names import (
    ANNOTATION_CREATOR,
    ANNOTATION_LAST_MODIFIER,
    ANNOTATION_ROUTES,
    ANNOTATION_ROUTING_STATE_MODIFIED,
    LABEL_CONFIGURATION,
    LABEL_CONFIGURATION_GENERATION,
    LABEL_CONFIGURATION_UID,
    LABEL_ROUTING_STATE,
    LABEL_SERVICE,
    LABEL_SERVICE_UID,
    child_name,
)
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    labels_of,
    mutable,
    name_of,
    namespace_of,
    new_object,
    timestamp,
    uid_of,
)
from upwell.api.resources import REVISION
from upwell.api.template_names import explicit_name, template_of

__all__ = ["make_revision", "revision_name"]

PENDING: Final = "pending"
ACTIVE: Final = "active"


def revision_name(configuration: Object) -> str:
    """The name given in the template, else one with the configuration's generation."""
    generation = int(configuration["metadata"].get("generation") or 0)
    return explicit_name(configuration) or child_name(name_of(configuration), f"-{generation:05d}")


def make_revision(configuration: Object, now: float) -> Object:
    """The Revision of the configuration's present generation; `now` in Unix seconds."""
    template = mutable(template_of(configuration))
    metadata = template.get("metadata") or {}
    routes = annotations_of(configuration).get(ANNOTATION_ROUTES)
    labels = {
        **(metadata.get("labels") or {}),
        LABEL_CONFIGURATION: name_of(configuration),
        LABEL_SERVICE: labels_of(configuration).get(LABEL_SERVICE, ""),
        LABEL_CONFIGURATION_GENERATION: str(configuration["metadata"].get("generation") or 0),
        LABEL_CONFIGURATION_UID: uid_of(configuration),
        LABEL_SERVICE_UID: labels_of(configuration).get(LABEL_SERVICE_UID, ""),
        # A revision that routes ask for already need not wait for the labeler to be kept alive.
        LABEL_ROUTING_STATE: ACTIVE if routes else PENDING,
    }
    annotations = {
        **(metadata.get("annotations") or {}),
        ANNOTATION_ROUTING_STATE_MODIFIED: timestamp(now),
        ANNOTATION_CREATOR: annotations_of(configuration).get(ANNOTATION_LAST_MODIFIER, ""),
        ANNOTATION_ROUTES: routes or "",
    }
    return new_object(
        REVISION,
        namespace_of(configuration),
        revision_name(configuration),
        metadata={
            "labels": {key: value for key, value in labels.items() if value},
            "annotations": {key: value for key, value in annotations.items() if value},
            "ownerReferences": [controller_reference(configuration)],
        },
        spec=template["spec"],
    )
