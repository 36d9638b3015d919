"""config-istio: which of Istio's gateways serve Ingresses of Istio's class.

external-gateways: |
  - name: knative-ingress-gateway
    namespace: knative-serving
    service: istio-ingressgateway.istio-system.svc.cluster.local
  - name: partners
    namespace: knative-serving
    service: partners.istio-system.svc.cluster.local
    labelSelector: {matchLabels: {audience: partners}}
local-gateways: |
  - name: knative-local-gateway
    namespace: knative-serving
    service: knative-local-gateway.istio-system.svc.cluster.local

One entry of each list has no labelSelector, and serves whom no other selects; an empty list, `[]`, is no gateway at
all, which leaves the mesh. In the older form there is a key `gateway.NAMESPACE.NAME` or `local-gateway.NAMESPACE.NAME`
for each, whose value is the service.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from upwell.api.label_selector import LabelSelector, parse_selector
from upwell.api.names import SYSTEM_NAMESPACE
from upwell.api.objects import Key
from upwell.api.settings import Settings

__all__ = ["IstioConfig", "IstioGateway", "parse_istio"]

EXTERNAL: Final = "external-gateways"
LOCAL: Final = "local-gateways"
_OLD: Final = {EXTERNAL: "gateway.", LOCAL: "local-gateway."}
_RIGHT: Final = "must be a YAML list of entries with name, namespace and service, one of them without labelSelector"


@dataclass(frozen=True, slots=True, kw_only=True)
class IstioGateway:
    """One of Istio's Gateways."""

    namespace: str
    name: str
    service: str
    """The name, inside the cluster, of the Service in front of it."""
    selector: LabelSelector | None = None
    """Whose Ingresses it serves, by their labels; None: those that nobody else selects."""

    @property
    def qualified_name(self) -> str:
        """How VirtualServices call it."""
        return f"{self.namespace}/{self.name}"

    @property
    def service_key(self) -> Key:
        name, namespace = self.service.split(".")[:2]
        return Key(namespace, name)


def _default(name: str, service: str) -> tuple[IstioGateway, ...]:
    address = f"{service}.istio-system.svc.cluster.local"
    return (IstioGateway(namespace=SYSTEM_NAMESPACE, name=name, service=address),)


@dataclass(frozen=True, slots=True, kw_only=True)
class IstioConfig:
    """By whom clients outside and inside the cluster are served."""

    external: tuple[IstioGateway, ...] = field(
        default_factory=lambda: _default("knative-ingress-gateway", "istio-ingressgateway")
    )
    local: tuple[IstioGateway, ...] = field(
        default_factory=lambda: _default("knative-local-gateway", "knative-local-gateway")
    )
    believes_status: bool = False
    """Whether what a VirtualService's status says settles whether it is served; `PILOT_ENABLE_STATUS` of Istio."""


def parse_istio(data: Mapping[str, str]) -> IstioConfig:
    """Read config-istio; raise SettingError."""
    settings, defaults = Settings("config-istio", data), IstioConfig()
    old = sorted(key for key in data if key.startswith(tuple(_OLD.values())))
    for key in (EXTERNAL, LOCAL):
        if old and settings.text(key):
            raise settings.error(key, f"must not be there together with {old[0]}, the older form")
    external, local = _gateways(settings, EXTERNAL, old), _gateways(settings, LOCAL, old)
    return IstioConfig(
        external=defaults.external if external is None else external,
        local=defaults.local if local is None else local,
        believes_status=settings.flag("enable-virtualservice-status", False),
    )


def _gateways(settings: Settings, key: str, old: Iterable[str]) -> tuple[IstioGateway, ...] | None:
    prefix = _OLD[key]
    named = [one for one in old if one.startswith(prefix) and one != prefix]
    if named:
        return tuple(_old_gateway(settings, one, one.removeprefix(prefix)) for one in named)
    parsed = settings.document(key, _RIGHT)
    if parsed is None:
        return None
    if not isinstance(parsed, list):
        raise settings.error(key, _RIGHT)
    found = tuple(_gateway(settings, key, entry) for entry in parsed)
    if found and sum(gateway.selector is None for gateway in found) != 1:
        raise settings.error(key, _RIGHT)
    return found


def _old_gateway(settings: Settings, key: str, name: str) -> IstioGateway:
    namespace, separator, rest = name.partition(".")
    place = (namespace, rest) if separator else (SYSTEM_NAMESPACE, name)
    return _checked(settings, key, *place, settings.text(key), None)


def _gateway(settings: Settings, key: str, entry: Any) -> IstioGateway:
    if not isinstance(entry, dict):
        raise settings.error(key, _RIGHT)
    try:
        selector = parse_selector(entry["labelSelector"]) if entry.get("labelSelector") else None
    except ValueError as error:
        raise settings.error(key, f"must have selectors of labels: {error}") from None
    namespace, name, service = (str(entry.get(field) or "") for field in ("namespace", "name", "service"))
    return _checked(settings, key, namespace, name, service, selector)


def _checked(
    settings: Settings, key: str, namespace: str, name: str, service: str, selector: LabelSelector | None
) -> IstioGateway:
    service = service.removesuffix(".")
    if not namespace or not name or len(service.split(".")) < 2 or not all(service.split(".")):
        raise settings.error(key, _RIGHT + "; a service is NAME.NAMESPACE.svc.cluster.local")
    return IstioGateway(namespace=namespace, name=name, service=service, selector=selector)
