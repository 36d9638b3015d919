"""Ingress → VirtualServices of Istio, named and shaped as Knative's own controller for Istio does.

    <name>-ingress  for the gateways of config-istio: hosts of both kinds, each rule for the gateways of its visibility
    <name>-mesh     for sidecars of the mesh: the hosts inside the cluster

Gateways are not made here: those that config-istio names are there already, and have their certificates. Istio tells
nothing of a VirtualService's progress that could be relied on, so probes alone decide when it is served.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from controller.ingress.kinds import VIRTUAL_SERVICE
from controller.ingress.translation import Gateways, Obstacle, child_metadata, is_local
from controller.settings import Settings
from upwell.api.config_istio import IstioGateway
from upwell.api.names import CLUSTER_DOMAIN, LABEL_ROUTE, LABEL_ROUTE_NAMESPACE, child_name
from upwell.api.objects import Object, labels_of, name_of, namespace_of, new_object

__all__ = ["Istio"]

MESH: Final = "mesh"


class Istio:
    """A Translation."""

    resource = VIRTUAL_SERVICE

    def __init__(self, settings: Settings, cluster_domain: str = CLUSTER_DOMAIN) -> None:
        self._settings = settings
        self._local_suffix = f".svc.{cluster_domain}"
        self._cluster_domain = cluster_domain

    def leaves_traces(self, ingress: Object) -> bool:
        return False

    async def prepare(self, ingress: Object) -> Obstacle | None:
        return None

    def children(self, ingress: Object) -> list[Object]:
        external, local = self._chosen(ingress)
        rules = ingress["spec"].get("rules") or []
        result = []
        inside = {host for rule in rules for host in rule["hosts"] if host.endswith(self._local_suffix)}
        if inside:
            names = {False: [MESH], True: [MESH]}
            result.append(self._virtual_service(ingress, "-mesh", self._expanded(inside) if local else inside, names))
        names = {False: _names(external), True: _names(local)}
        if any(names[is_local(rule)] for rule in rules):
            everywhere = {host for rule in rules for host in rule["hosts"]}
            result.append(self._virtual_service(ingress, "-ingress", self._expanded(everywhere), names))
        return result

    def obstacle(self, children: Sequence[Object]) -> Obstacle | None:
        return None

    def gateways(self, ingress: Object) -> Gateways:
        external, local = self._chosen(ingress)
        return Gateways(
            tuple(gateway.service_key for gateway in external), tuple(gateway.service_key for gateway in local)
        )

    def _chosen(self, ingress: Object) -> tuple[list[IstioGateway], list[IstioGateway]]:
        config, labels = self._settings.istio, labels_of(ingress)
        return _chosen_of(config.external, labels), _chosen_of(config.local, labels)

    def _expanded(self, hosts: set[str]) -> set[str]:
        """Also the shorter forms of names inside the cluster."""
        shorter = {
            short
            for host in hosts
            if host.endswith(self._local_suffix)
            for short in (host.removesuffix(f".{self._cluster_domain}"), host.removesuffix(self._local_suffix))
        }
        return hosts | shorter

    def _virtual_service(
        self, ingress: Object, suffix: str, hosts: set[str], gateways: Mapping[bool, list[str]]
    ) -> Object:
        labels = {name: value for name, value in labels_of(ingress).items() if name not in _NOT_KEPT}
        rules = [rule for rule in ingress["spec"].get("rules") or () if hosts & set(rule["hosts"])]
        routes = [
            self._route(path, hosts & set(rule["hosts"]), gateways[is_local(rule)])
            for rule in rules
            for path in rule["http"]["paths"]
            if gateways[is_local(rule)]
        ]
        used = {name for rule in rules for name in gateways[is_local(rule)]}
        return new_object(
            VIRTUAL_SERVICE,
            namespace_of(ingress),
            child_name(name_of(ingress), suffix),
            metadata=child_metadata(ingress, labels),
            spec={"hosts": sorted(hosts), "gateways": sorted(used), "http": routes},
        )

    def _route(self, path: Mapping[str, Any], hosts: set[str], gateways: list[str]) -> dict[str, Any]:
        prefixes = _shortest({host.removesuffix(self._local_suffix) for host in hosts})
        route: dict[str, Any] = {
            "match": [_match(prefix, path, gateways) for prefix in prefixes],
            "route": [self._destination(split) for split in path["splits"]],
            # Istio's own habit of two retries is not what the app's author asked for.
            "retries": {},
        }
        if path.get("appendHeaders"):
            route["headers"] = _setting(path["appendHeaders"])
        if path.get("rewriteHost"):
            route["rewrite"] = {"authority": path["rewriteHost"]}
        return route

    def _destination(self, split: Mapping[str, Any]) -> dict[str, Any]:
        host = f"{split['serviceName']}.{split['serviceNamespace']}{self._local_suffix}"
        result: dict[str, Any] = {
            "destination": {"host": host, "port": {"number": split["servicePort"]}},
            "weight": split.get("percent", 0),
        }
        if split.get("appendHeaders"):
            result["headers"] = _setting(split["appendHeaders"])
        return result


_NOT_KEPT: Final = frozenset({LABEL_ROUTE, LABEL_ROUTE_NAMESPACE})
"""They would make the VirtualService look like one of the Route's own children."""


def _chosen_of(gateways: Sequence[IstioGateway], labels: Mapping[str, str]) -> list[IstioGateway]:
    selected = [gateway for gateway in gateways if gateway.selector is not None and gateway.selector.matches(labels)]
    return selected or [gateway for gateway in gateways if gateway.selector is None]


def _names(gateways: Sequence[IstioGateway]) -> list[str]:
    return sorted(gateway.qualified_name for gateway in gateways)


def _shortest(prefixes: set[str]) -> list[str]:
    """Those that are not covered by a shorter one: each match is multiplied out by Istio."""
    kept: list[str] = []
    for prefix in sorted(prefixes):
        if not any(prefix.startswith(shorter) for shorter in kept):
            kept.append(prefix)
    return kept


def _match(prefix: str, path: Mapping[str, Any], gateways: list[str]) -> dict[str, Any]:
    # A prefix, as clients may name a port behind the host.
    match: dict[str, Any] = {"authority": {"prefix": prefix}, "gateways": gateways}
    if path.get("path"):
        match["uri"] = {"prefix": path["path"]}
    if path.get("headers"):
        match["headers"] = {name: {"exact": wanted["exact"]} for name, wanted in sorted(path["headers"].items())}
    return match


def _setting(headers: Mapping[str, str]) -> dict[str, Any]:
    return {"request": {"set": dict(sorted(headers.items()))}}
