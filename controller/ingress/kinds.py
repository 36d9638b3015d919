"""The classes of Ingresses that are ours to translate, and the kinds that they are translated into."""

from collections.abc import Iterable
from typing import Final

from upwell.api.resources import Resource

__all__ = [
    "CLASSES",
    "DESTINATION_RULE",
    "GATEWAY",
    "GATEWAY_API",
    "HTTP_ROUTE",
    "ISTIO",
    "ISTIO_GATEWAY",
    "LABEL_INGRESS",
    "REFERENCE_GRANT",
    "VIRTUAL_SERVICE",
    "kinds_of",
]

GATEWAY_API: Final = "gateway-api.ingress.networking.knative.dev"
ISTIO: Final = "istio.ingress.networking.knative.dev"
CLASSES: Final = {"gateway-api": GATEWAY_API, "istio": ISTIO}
"""By the name of whose gateways they are for."""

GATEWAY: Final = Resource("gateway.networking.k8s.io", "v1", "gateways", "Gateway")
HTTP_ROUTE: Final = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
REFERENCE_GRANT: Final = Resource("gateway.networking.k8s.io", "v1beta1", "referencegrants", "ReferenceGrant")
VIRTUAL_SERVICE: Final = Resource("networking.istio.io", "v1beta1", "virtualservices", "VirtualService")

DESTINATION_RULE: Final = Resource("networking.istio.io", "v1beta1", "destinationrules", "DestinationRule")
ISTIO_GATEWAY: Final = Resource("networking.istio.io", "v1beta1", "gateways", "Gateway")

_KINDS: Final = {"gateway-api": (HTTP_ROUTE,), "istio": (VIRTUAL_SERVICE, ISTIO_GATEWAY, DESTINATION_RULE)}

LABEL_INGRESS: Final = "networking.internal.knative.dev/ingress"
"""On what was made for an Ingress: its name."""


def kinds_of(names: Iterable[str]) -> list[Resource]:
    """What is written for the classes of those names."""
    return [kind for name in names for kind in _KINDS[name]]
