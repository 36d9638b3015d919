"""The columns of `kubectl get` for Knative's kinds (contract: control-plane.md 13)."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from upwell.api.names import LABEL_CONFIGURATION, LABEL_CONFIGURATION_GENERATION
from upwell.api.objects import Object
from upwell.api.resources import (
    CERTIFICATE,
    CONFIGURATION,
    DOMAIN_CLAIM,
    DOMAIN_MAPPING,
    IMAGE,
    INGRESS,
    METRIC,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVERLESS_SERVICE,
    SERVICE,
    Resource,
)

__all__ = ["CRD_COLUMNS", "CrdColumn"]


class CrdColumn(NamedTuple):
    """One column: its title, the JSONPath of its cell, the cell's type."""

    name: str
    path: str
    type: str = "string"

    def definition(self) -> Object:
        return {"name": self.name, "type": self.type, "jsonPath": self.path}


def _label(name: str) -> str:
    return ".metadata.labels['{}']".format(name.replace(".", r"\."))


_READY: Final = (
    CrdColumn("Ready", ".status.conditions[?(@.type=='Ready')].status"),
    CrdColumn("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
)
_URL: Final = CrdColumn("URL", ".status.url")
_LATEST: Final = (
    CrdColumn("LatestCreated", ".status.latestCreatedRevisionName"),
    CrdColumn("LatestReady", ".status.latestReadyRevisionName"),
)

CRD_COLUMNS: Final[Mapping[Resource, tuple[CrdColumn, ...]]] = {
    SERVICE: (_URL, *_LATEST, *_READY),
    CONFIGURATION: (*_LATEST, *_READY),
    REVISION: (
        CrdColumn("Config Name", _label(LABEL_CONFIGURATION)),
        CrdColumn("Generation", _label(LABEL_CONFIGURATION_GENERATION)),
        *_READY,
        CrdColumn("Actual Replicas", ".status.actualReplicas", "integer"),
        CrdColumn("Desired Replicas", ".status.desiredReplicas", "integer"),
    ),
    ROUTE: (_URL, *_READY),
    DOMAIN_MAPPING: (_URL, *_READY),
    POD_AUTOSCALER: (
        CrdColumn("DesiredScale", ".status.desiredScale", "integer"),
        CrdColumn("ActualScale", ".status.actualScale", "integer"),
        *_READY,
    ),
    METRIC: _READY,
    SERVERLESS_SERVICE: (
        CrdColumn("Mode", ".spec.mode"),
        CrdColumn("Activators", ".spec.numActivators", "integer"),
        CrdColumn("ServiceName", ".status.serviceName"),
        CrdColumn("PrivateServiceName", ".status.privateServiceName"),
        *_READY,
    ),
    INGRESS: _READY,
    CERTIFICATE: _READY,
    DOMAIN_CLAIM: (CrdColumn("Namespace", ".spec.namespace"),),
    IMAGE: (CrdColumn("Image", ".spec.image"),),
}
"""By resource, in order; the name comes before them by itself."""
