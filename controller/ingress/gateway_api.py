"""Ingress → HTTPRoutes of the Gateway API, named and shaped as Knative's own controller for it does.

One for each rule, named after the longest of its hosts, with the Gateway of its visibility as its parent. An HTTPRoute
holds sixteen rules at most, eight paths and as many probes; where tags need more, they go on in further ones for the
same hosts. Hosts with a certificate have a listener of their own (`listeners`); where plain HTTP is redirected, the
route is at these listeners only, and one beside it sends clients there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from controller.ingress.kinds import HTTP_ROUTE
from controller.ingress.listeners import Listeners, listener_name, secured_hosts
from controller.ingress.translation import Gateways, Obstacle, child_metadata, is_local
from controller.settings import Settings
from upwell.api.conditions import TRUE, find
from upwell.api.config_gateway import ParentGateway
from upwell.api.names import LABEL_VISIBILITY
from upwell.api.objects import Object, is_deleting, labels_of, name_of, namespace_of, new_object
from upwell.api.resources import Resource
from upwell.cluster.client import Client

__all__ = ["GatewayApi"]

NAME_LONGEST: Final = 253
RULES_MOST: Final = 16
"""What the API's schema allows an HTTPRoute."""
_ACCEPTED: Final = ("Accepted", "ResolvedRefs")


class GatewayApi:
    """A Translation."""

    resources: tuple[Resource, ...] = (HTTP_ROUTE,)

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings = settings
        self._listeners = Listeners(client)

    def leaves_traces(self, ingress: Object) -> bool:
        return bool(secured_hosts(ingress)) and not is_deleting(ingress)

    async def prepare(self, ingress: Object) -> Obstacle | None:
        bare = ingress if self.leaves_traces(ingress) else {**ingress, "spec": {}}
        return await self._listeners.apply(bare, self._settings.gateway.external)

    def children(self, ingress: Object) -> list[Object]:
        return [route for rule in ingress["spec"].get("rules") or () for route in self._routes(ingress, rule)]

    def obstacle(self, children: Sequence[Object]) -> Obstacle | None:
        waiting = [name_of(child) for child in children if not _is_accepted(child)]
        if not waiting:
            return None
        return Obstacle("HTTPRouteNotReady", f"Waiting for HTTPRoute {', '.join(waiting)} to be accepted.")

    def vouched(self, children: Sequence[Object]) -> bool:
        return False

    def gateways(self, ingress: Object) -> Gateways:
        config = self._settings.gateway
        return Gateways((config.external.service,), (config.local.service,))

    def _routes(self, ingress: Object, rule: Mapping[str, Any]) -> Iterable[Object]:
        local, hosts = is_local(rule), rule["hosts"]
        config = self._settings.gateway
        gateway = config.local if local else config.external
        rules = [_rule(path, gateway) for path in rule["http"]["paths"]]
        parents = [_parent(gateway)]
        if set(hosts) <= secured_hosts(ingress).keys() and ingress["spec"].get("httpOption") == "Redirected":
            parents = [_parent(gateway, listener_name(ingress, host)) for host in hosts]
            yield _route(ingress, rule, "-redirect", hosts, [_parent(gateway, gateway.listener)], [_REDIRECT])
        for number, start in enumerate(range(0, len(rules), RULES_MOST)):
            some = rules[start : start + RULES_MOST]
            yield _route(ingress, rule, f"-{number}" if number else "", hosts, parents, some)


_REDIRECT: Final = {
    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
    "filters": [
        {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "port": 443, "statusCode": 301}},
    ],
}


def _route(
    ingress: Object,
    rule: Mapping[str, Any],
    suffix: str,
    hosts: Sequence[str],
    parents: Sequence[Mapping[str, str]],
    rules: Sequence[Mapping[str, Any]],
) -> Object:
    labels = {**labels_of(ingress), LABEL_VISIBILITY: "cluster-local" if is_local(rule) else ""}
    name = max(rule["hosts"], key=len)[: NAME_LONGEST - len(suffix)] + suffix
    spec = {"hostnames": list(hosts), "parentRefs": list(parents), "rules": list(rules)}
    return new_object(HTTP_ROUTE, namespace_of(ingress), name, metadata=child_metadata(ingress, labels), spec=spec)


def _parent(gateway: ParentGateway, listener: str = "") -> dict[str, str]:
    parent = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": gateway.key.namespace,
        "name": gateway.key.name,
    }
    return {**parent, "sectionName": listener} if listener else parent


def _rule(path: Mapping[str, Any], gateway: ParentGateway) -> dict[str, Any]:
    match: dict[str, Any] = {"path": {"type": "PathPrefix", "value": path.get("path") or "/"}}
    headers = sorted((path.get("headers") or {}).items())
    if headers:
        match["headers"] = [{"type": "Exact", "name": name, "value": wanted["exact"]} for name, wanted in headers]
    rule: dict[str, Any] = {"matches": [match], "backendRefs": [_backend(split) for split in path["splits"]]}
    filters = _setting(path.get("appendHeaders") or {})
    if path.get("rewriteHost"):
        filters.append({"type": "URLRewrite", "urlRewrite": {"hostname": path["rewriteHost"]}})
    if filters:
        rule["filters"] = filters
    if gateway.times_out:
        # The sidecar keeps the revision's own time limits.
        rule["timeouts"] = {"request": "0s"}
    return rule


def _backend(split: Mapping[str, Any]) -> dict[str, Any]:
    backend: dict[str, Any] = {
        "group": "",
        "kind": "Service",
        "name": split["serviceName"],
        "port": split["servicePort"],
        "weight": split.get("percent", 0),
    }
    filters = _setting(split.get("appendHeaders") or {})
    if filters:
        backend["filters"] = filters
    return backend


def _setting(headers: Mapping[str, str]) -> list[dict[str, Any]]:
    if not headers:
        return []
    pairs = [{"name": name, "value": value} for name, value in sorted(headers.items())]
    return [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": pairs}}]


def _is_accepted(route: Object) -> bool:
    """Whether its parent has accepted this very generation, and found what it leads to."""
    generation, wanted = route["metadata"].get("generation"), route["spec"]["parentRefs"]
    parents = [
        parent
        for parent in (route.get("status") or {}).get("parents") or ()
        if any(_is_same_parent(parent.get("parentRef") or {}, ref, namespace_of(route)) for ref in wanted)
    ]
    found = [find(parent, kind) for parent in parents for kind in _ACCEPTED]
    return len(parents) >= len(wanted) and all(
        condition.get("status") == TRUE and condition.get("observedGeneration") == generation for condition in found
    )


def _is_same_parent(told: Mapping[str, Any], wanted: Mapping[str, Any], namespace: str) -> bool:
    """Whether a status is about a parent that is wanted; one that was left behind by another does not count."""
    return (
        told.get("name") == wanted["name"]
        and told.get("namespace", namespace) == wanted["namespace"]
        and told.get("sectionName") == wanted.get("sectionName")
    )
