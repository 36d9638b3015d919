"""Names, labels and annotations of what a Revision is made of (contract: control-plane.md 5.5)."""

from collections.abc import Mapping
from typing import Any, Final

from upwell.api.names import (
    ANNOTATION_LAST_PINNED,
    ANNOTATION_NO_GC,
    ANNOTATION_ROUTES,
    ANNOTATION_ROUTING_STATE_MODIFIED,
    AUTOSCALING,
    LABEL_REVISION,
    LABEL_REVISION_UID,
    LABEL_ROUTE,
    LABEL_ROUTING_STATE,
    child_name,
)
from upwell.api.objects import Object, annotations_of, controller_of, labels_of, name_of, uid_of

__all__ = [
    "autoscaler_annotations",
    "child_labels",
    "configuration_name",
    "deployment_annotations",
    "deployment_name",
    "is_foreign",
]

_LABELS_OF_ROUTING: Final = frozenset({LABEL_ROUTE, LABEL_ROUTING_STATE})
_ANNOTATIONS_OF_ROUTING: Final = frozenset(
    {ANNOTATION_LAST_PINNED, ANNOTATION_NO_GC, ANNOTATION_ROUTING_STATE_MODIFIED, ANNOTATION_ROUTES}
)


def deployment_name(revision: Object) -> str:
    return child_name(name_of(revision), "-deployment")


def configuration_name(revision: Object) -> str:
    """The Configuration that controls the revision; empty for one that stands by itself."""
    owner = controller_of(revision)
    return str(owner["name"]) if owner is not None and owner.get("kind") == "Configuration" else ""


def child_labels(revision: Object) -> dict[str, str]:
    """The revision's labels, but those that change with its traffic, and which revision it is."""
    labels = {key: value for key, value in labels_of(revision).items() if key not in _LABELS_OF_ROUTING}
    labels.setdefault("app", name_of(revision))
    return {**labels, LABEL_REVISION: name_of(revision), LABEL_REVISION_UID: uid_of(revision)}


def autoscaler_annotations(revision: Object) -> dict[str, str]:
    return {key: value for key, value in annotations_of(revision).items() if key not in _ANNOTATIONS_OF_ROUTING}


def deployment_annotations(revision: Object) -> dict[str, str]:
    # How it is scaled is not the pods' business: a change of it must not replace them.
    found = autoscaler_annotations(revision)
    return {key: value for key, value in found.items() if not key.startswith(AUTOSCALING)}


def is_foreign(key: str) -> bool:
    """Whether a label or annotation on a Deployment is somebody else's, and not ours to remove."""
    return "knative.dev/" not in key and key != "app"


def with_foreign(wanted: Mapping[str, str], existing: Mapping[str, Any] | None) -> dict[str, str]:
    """`wanted`, and what others put there."""
    return {**{key: value for key, value in (existing or {}).items() if is_foreign(key)}, **wanted}
