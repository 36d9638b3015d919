"""Ingress → VirtualServices of Istio, named and shaped as Knative's own controller for Istio does.

    <name>-ingress  for the gateways of config-istio: hosts of both kinds, each rule for the gateways of its visibility
    <name>-mesh     for sidecars of the mesh: the hosts inside the cluster

The Gateways that config-istio names are there already; hosts with certificates have Gateways of the Ingress's own
(`istio_gateways`). Istio tells what it has done with a VirtualService only where it is set up to, and config-istio says
so (`enable-virtualservice-status`); else probes alone decide when it is served.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from controller.ingress.istio_destinations import destination_rules
from controller.ingress.istio_gateways import (
    SecretCopies,
    copies_of,
    gateway_key,
    is_redirected,
    own_gateway,
    secured,
    servers_of,
)
from controller.ingress.kinds import DESTINATION_RULE, ISTIO_GATEWAY, VIRTUAL_SERVICE
from controller.ingress.translation import Gateways, Obstacle, child_metadata, is_local
from controller.settings import Settings
from upwell.api.conditions import TRUE
from upwell.api.config_istio import IstioGateway
from upwell.api.names import CLUSTER_DOMAIN, LABEL_ROUTE, LABEL_ROUTE_NAMESPACE, child_name
from upwell.api.objects import Key, Object, is_deleting, labels_of, name_of, namespace_of, new_object
from upwell.api.resources import Resource
from upwell.cluster.client import Client

__all__ = ["Istio"]

MESH: Final = "mesh"
Choose = Callable[[Mapping[str, Any]], list[str]]
"""By which gateways a rule is served."""


class Istio:
    """A Translation."""

    resources: tuple[Resource, ...] = (VIRTUAL_SERVICE, ISTIO_GATEWAY, DESTINATION_RULE)

    def __init__(
        self,
        settings: Settings,
        client: Client,
        service: Callable[[Key], Object | None],
        cluster_domain: str = CLUSTER_DOMAIN,
    ) -> None:
        """`service` finds a Service as it was last seen."""
        self._settings = settings
        self._copies = SecretCopies(client)
        self._service = service
        self._local_suffix = f".svc.{cluster_domain}"
        self._cluster_domain = cluster_domain

    def leaves_traces(self, ingress: Object) -> bool:
        return bool(servers_of(ingress, *self.gateways(ingress))) and not is_deleting(ingress)

    async def prepare(self, ingress: Object) -> Obstacle | None:
        if not self.leaves_traces(ingress):
            return await self._copies.apply(ingress, {})
        gateways = self.gateways(ingress)
        for service in servers_of(ingress, *gateways):
            if not self._selects(service):
                return Obstacle("NoGateway", f"could not find Service {service}, or what it selects")
        return await self._copies.apply(ingress, copies_of(ingress, *gateways))

    def children(self, ingress: Object) -> list[Object]:
        """VirtualServices come last: who refers to what is not there yet is not served."""
        own = [
            own_gateway(ingress, found, servers)
            for service, servers in servers_of(ingress, *self.gateways(ingress)).items()
            if (found := self._selects(service)) is not None
        ]
        rules = destination_rules(ingress, self._service, self._local_suffix)
        return [*own, *rules, *self._virtual_services(ingress)]

    def _selects(self, service: Key) -> Object | None:
        """The Service, if it selects pods: without a selector a Gateway would be for all of the cluster's."""
        found = self._service(service)
        return found if found is not None and found["spec"].get("selector") else None

    def _virtual_services(self, ingress: Object) -> Iterator[Object]:
        external, local = self._chosen(ingress)
        rules = ingress["spec"].get("rules") or []
        inside = {host for rule in rules for host in rule["hosts"] if host.endswith(self._local_suffix)}
        if inside:
            hosts = self._expanded(inside) if local else inside
            yield self._virtual_service(ingress, "-mesh", hosts, lambda rule: [MESH])

        def choose(rule: Mapping[str, Any]) -> list[str]:
            return _gateways_of(ingress, rule, local if is_local(rule) else external)

        if any(map(choose, rules)):
            everywhere = {host for rule in rules for host in rule["hosts"]}
            yield self._virtual_service(ingress, "-ingress", self._expanded(everywhere), choose)

    def obstacle(self, children: Sequence[Object]) -> Obstacle | None:
        if self._settings.istio.believes_status:
            for child in _virtual_services_among(children):
                if _reconciled(child) is False:
                    name = name_of(child)
                    return Obstacle(
                        "VirtualServiceNotReconciled", f"Waiting for VirtualService {name} to be reconciled."
                    )
        return None

    def vouched(self, children: Sequence[Object]) -> bool:
        made = _virtual_services_among(children)
        return self._settings.istio.believes_status and bool(made) and all(map(_reconciled, made))

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

    def _virtual_service(self, ingress: Object, suffix: str, hosts: set[str], choose: Choose) -> Object:
        labels = {name: value for name, value in labels_of(ingress).items() if name not in _NOT_KEPT}
        rules = [rule for rule in ingress["spec"].get("rules") or () if hosts & set(rule["hosts"])]
        routes = [
            self._route(path, hosts & set(rule["hosts"]), choose(rule))
            for rule in rules
            for path in rule["http"]["paths"]
            if choose(rule)
        ]
        used = {name for rule in rules for name in choose(rule)}
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


def _gateways_of(ingress: Object, rule: Mapping[str, Any], gateways: Sequence[IstioGateway]) -> list[str]:
    """Those of config-istio, and the Ingress's own where it has certificates for the rule's hosts."""
    shared = {gateway.qualified_name for gateway in gateways}
    own: set[str] = set()
    if secured(ingress, is_local(rule)).keys() & set(rule["hosts"]):
        own = {str(gateway_key(ingress, gateway.service_key)) for gateway in gateways}
    # The shared ones would serve over plain HTTP what is to be redirected.
    return sorted(own if is_redirected(ingress, rule) else shared | own)


def _virtual_services_among(children: Sequence[Object]) -> list[Object]:
    return [child for child in children if child["kind"] == VIRTUAL_SERVICE.kind]


def _reconciled(virtual_service: Object) -> bool | None:
    """What Istio says of the present generation; None when it says nothing that could be relied on."""
    status = virtual_service.get("status") or {}
    told = {str(one.get("type")).lower(): one.get("status") for one in status.get("conditions") or ()}
    # A string in Istio's JSON, and missing in what its older releases write.
    observed = str(status.get("observedGeneration") or "")
    if "reconciled" not in told or not observed:
        return None
    return told["reconciled"] == TRUE and observed == str(virtual_service["metadata"].get("generation"))


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
