"""config-gateway: which Gateways serve Ingresses of the Gateway API class.

external-gateways: |
  - class: envoy
    gateway: gateways/public
    service: gateways/public-envoy
    supported-features: [HTTPRouteRequestTimeout]
local-gateways: |
  - class: envoy
    gateway: gateways/inside
    service: gateways/inside-envoy

One of each. The Service is the one through which the Gateway is reached inside the cluster: cluster-local hosts lead
there, and the pods behind it are asked what they serve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from upwell.api.objects import Key
from upwell.api.settings import Settings

__all__ = ["GatewayConfig", "ParentGateway", "parse_gateway"]

EXTERNAL: Final = "external-gateways"
LOCAL: Final = "local-gateways"
HTTP_LISTENER: Final = "http"
REQUEST_TIMEOUT: Final = "HTTPRouteRequestTimeout"
_RIGHT: Final = "must be a YAML list of one entry with gateway: NAMESPACE/NAME and service: NAMESPACE/NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentGateway:
    """A Gateway that HTTPRoutes are attached to."""

    key: Key
    service: Key
    """Through which it is reached inside the cluster."""
    listener: str = HTTP_LISTENER
    """The name of its listener for plain HTTP; needed to send clients from there to HTTPS."""
    times_out: bool = False
    """Whether it knows the field by which a route's time limit is taken off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """By whom clients outside and inside the cluster are served."""

    external: ParentGateway = ParentGateway(
        key=Key("istio-system", "knative-gateway"), service=Key("istio-system", "istio-ingressgateway")
    )
    local: ParentGateway = ParentGateway(
        key=Key("istio-system", "knative-local-gateway"), service=Key("istio-system", "knative-local-gateway")
    )


def parse_gateway(data: Mapping[str, str]) -> GatewayConfig:
    """Read config-gateway; raise SettingError."""
    settings, defaults = Settings("config-gateway", data), GatewayConfig()
    return GatewayConfig(
        external=_gateway(settings, EXTERNAL) or defaults.external,
        local=_gateway(settings, LOCAL) or defaults.local,
    )


def _gateway(settings: Settings, key: str) -> ParentGateway | None:
    parsed = settings.document(key, _RIGHT)
    if parsed is None:
        return None
    if not isinstance(parsed, list) or len(parsed) != 1 or not isinstance(parsed[0], dict):
        raise settings.error(key, _RIGHT)
    (entry,) = parsed
    features = entry.get("supported-features") or ()
    return ParentGateway(
        key=_name(settings, key, entry.get("gateway")),
        service=_name(settings, key, entry.get("service")),
        listener=str(entry.get("http-listener-name") or HTTP_LISTENER),
        times_out=isinstance(features, list) and REQUEST_TIMEOUT in features,
    )


def _name(settings: Settings, key: str, value: Any) -> Key:
    namespace, separator, name = str(value or "").partition("/")
    if not (namespace and separator and name) or "/" in name:
        raise settings.error(key, _RIGHT)
    return Key(namespace, name)
