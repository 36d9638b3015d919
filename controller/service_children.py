"""The Configuration and the Route that a Service stands for (contract: control-plane.md 3)."""

from collections.abc import Mapping
from typing import Final

from upwell.api.names import (
    ANNOTATION_LAST_APPLIED,
    ANNOTATION_ROLLOUT_DURATION,
    ANNOTATION_ROUTES,
    LABEL_SERVICE,
    LABEL_SERVICE_UID,
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
    uid_of,
)
from upwell.api.resources import CONFIGURATION, ROUTE
from upwell.api.rollout_duration import KEYS as ROLLOUT_KEYS

__all__ = ["ROUTE_FINALIZER", "make_configuration", "make_route", "route_names"]

ROUTE_FINALIZER: Final = "routes.serving.knative.dev"
"""The labeler's, by which a Route stays until its traces are gone."""
_NOT_FOR_CONFIGURATION: Final = frozenset({ANNOTATION_LAST_APPLIED, ANNOTATION_ROLLOUT_DURATION, *ROLLOUT_KEYS})


def make_configuration(service: Object, existing: Object | None) -> Object:
    """`existing` is the configuration as it is, whose other routes stay noted on it."""
    annotations = _without(annotations_of(service), _NOT_FOR_CONFIGURATION)
    routes = {name_of(service), *(() if existing is None else route_names(existing))}
    return new_object(
        CONFIGURATION,
        namespace_of(service),
        name_of(service),
        metadata={
            "labels": {
                **labels_of(service),
                LABEL_SERVICE: name_of(service),
                LABEL_SERVICE_UID: uid_of(service),
            },
            "annotations": {**annotations, ANNOTATION_ROUTES: ",".join(sorted(routes))},
            "ownerReferences": [controller_reference(service)],
        },
        spec={"template": mutable(service["spec"]["template"])},
    )


def make_route(service: Object) -> Object:
    """Born with the labeler's finalizer, which would otherwise be a write of its own for every Route."""
    traffic = mutable({"traffic": service["spec"].get("traffic") or []})["traffic"]
    for target in traffic:
        if not target.get("revisionName"):
            target["configurationName"] = name_of(service)
    return new_object(
        ROUTE,
        namespace_of(service),
        name_of(service),
        metadata={
            "labels": {**labels_of(service), LABEL_SERVICE: name_of(service)},
            "annotations": _without(annotations_of(service), frozenset({ANNOTATION_LAST_APPLIED})),
            "ownerReferences": [controller_reference(service)],
            "finalizers": [ROUTE_FINALIZER],
        },
        spec={"traffic": traffic},
    )


def route_names(obj: Object) -> list[str]:
    """The routes noted on a revision or configuration."""
    return [name for name in annotations_of(obj).get(ANNOTATION_ROUTES, "").split(",") if name]


def _without(values: Mapping[str, str], keys: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key not in keys}
