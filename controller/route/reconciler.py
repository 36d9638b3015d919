"""Route → Ingress + placeholder Services, and where requests go as its status (contract: control-plane.md 6).

While a target cannot be served, nothing is touched: what is being served goes on being served.
"""

from collections.abc import Mapping
from typing import Any, Final

from controller.cluster import Cluster
from controller.issuing.namespaces import LABEL_WILDCARD
from controller.route.certificates import Secured, secure_route
from controller.route.guard import LOOK_SECONDS, CanaryGuard, back_to, failure_of, is_guarded
from controller.route.hosts import Host, HostError, address_url, make_hosts
from controller.route.ingress import (
    ANNOTATION_ROLLOUT,
    follow_ingress,
    http_option_problem,
    ingress_class,
    make_ingress,
    same_ingress,
)
from controller.route.placeholders import make_placeholder, pointed_at, retarget
from controller.route.rollout import Rollout, goal_of, parse_rollout
from controller.route.traffic import DEFAULT, Traffic, Unroutable, resolve
from controller.status import Refused, StatusReconciler
from upwell.api.conditions import READY, TRUE, Conditions, status_of
from upwell.api.names import LABEL_CONFIGURATION, LABEL_ROUTE, child_name
from upwell.api.objects import (
    Key,
    Object,
    annotations_of,
    is_controlled_by,
    is_deleting,
    labels_of,
    mutable,
    name_of,
    namespace_of,
)
from upwell.api.resources import CERTIFICATE, CONFIGURATION, CORE_SERVICE, INGRESS, REVISION, ROUTE, Resource
from upwell.api.rollout_duration import rollout_seconds
from upwell.api.route import ALL_TRAFFIC_ASSIGNED, CONDITIONS, INGRESS_READY
from upwell.cluster.informer import Handler
from upwell.cluster.reconciler import Reconciler
from upwell.policy.durations import NANOSECONDS

__all__ = ["RouteController"]

COMPONENT: Final = "route-controller"
BY_TARGET: Final = "target"
BY_ROUTE: Final = "route"
CANARY_HEALTHY: Final = "CanaryHealthy"
"""Ours, and only where the guard is asked for: whether the latest rollout was taken back."""
_WAITS_FOR_INGRESS: Final = ("IngressNotConfigured", "Ingress has not yet been reconciled.")
_SHAPING: Final = frozenset({"config-network", "config-domain", "config-features"})


class RouteController:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._events = cluster.events(COMPONENT)
        self._status = StatusReconciler(cluster.client, ROUTE, CONDITIONS, self._events, cluster.clock)
        self.queue = Reconciler(COMPONENT, self.reconcile, workers=cluster.workers, clock=cluster.clock)
        self._canaries = CanaryGuard(cluster)
        self._served: dict[str, Object] = {}
        """By ingress class, the Ingress that was last seen to be served: what tells where the next one will be."""
        informers = cluster.informers
        informers[ROUTE].add_index(BY_TARGET, _targets_of)
        informers[CORE_SERVICE].add_index(BY_ROUTE, _route_of)
        informers[ROUTE].add_handler(self.queue.enqueue_changed)
        for child in (INGRESS, CORE_SERVICE, CERTIFICATE):
            informers[child].add_handler(self.queue.enqueue_controller_of("Route"))
        informers[CERTIFICATE].add_handler(self._wildcard_changed)
        informers[CONFIGURATION].add_handler(self._target_changed(CONFIGURATION))
        informers[REVISION].add_handler(self._target_changed(REVISION))
        cluster.settings.on_change(self._settings_changed)

    async def reconcile(self, key: Key) -> float | None:
        route = self._cluster.cached(ROUTE, *key)
        if route is None or is_deleting(route):
            self._canaries.forget(key)
            return None
        return await self._status.run(route, self._cluster.settings.kinds, self._work)

    async def _work(self, route: Object, conditions: Conditions) -> float | None:
        status = route["status"]
        if route["metadata"].get("generation") != status.get("observedGeneration"):
            conditions.mark_unknown(INGRESS_READY, *_WAITS_FOR_INGRESS)
        hosts = self._hosts(route, conditions)
        if hosts is None:
            return None
        status["url"] = hosts[DEFAULT].url
        namespace = namespace_of(route)
        traffic = resolve(
            route,
            lambda name: self._cluster.cached(CONFIGURATION, namespace, name),
            lambda name: self._cluster.cached(REVISION, namespace, name),
            back_to if is_guarded(route) else lambda revision: "",
        )
        if isinstance(traffic, Unroutable):
            conditions.mark(ALL_TRAFFIC_ASSIGNED, traffic.status, traffic.reason, traffic.message)
            return None
        conditions.mark_true(ALL_TRAFFIC_ASSIGNED)
        status["address"] = {"url": address_url(route, self._cluster.cluster_domain)}
        services = await self._reconcile_placeholders(route, hosts, conditions)
        secured = await secure_route(self._cluster, route, hosts, conditions)
        self._tell_urls(route, secured)
        ingress, rollout = await self._reconcile_ingress(route, traffic, secured, conditions)
        status["traffic"] = _status_traffic(traffic, secured.hosts, rollout)
        _follow_ingress(conditions, ingress, rollout)
        await self._point_placeholders(route, services, ingress)
        again = self._until_next_step(rollout)
        if is_guarded(route):
            return await self._guard(route, traffic, rollout, again, conditions)
        conditions.clear(CANARY_HEALTHY)
        return again

    def _tell_urls(self, route: Object, secured: Secured) -> None:
        scheme = "https" if secured.address_is_secure else "http"
        route["status"]["url"] = secured.hosts[DEFAULT].url
        route["status"]["address"] = {"url": address_url(route, self._cluster.cluster_domain, scheme)}

    async def _guard(
        self, route: Object, traffic: Traffic, rollout: Rollout, again: float | None, conditions: Conditions
    ) -> float | None:
        """Watch what is being rolled out, and say what was taken back; seconds until the next look."""
        self._tell_failures(route, traffic, conditions)
        found = await self._canaries.look(route, rollout)
        if found is not None:
            new, previous, why = found
            await self._canaries.condemn(namespace_of(route), new, previous, why)
            self._events.warning(route, "CanaryFailed", _taken_back(new, previous, why))
            return LOOK_SECONDS
        return again if rollout.done else min(LOOK_SECONDS, again if again is not None else LOOK_SECONDS)

    def _tell_failures(self, route: Object, traffic: Traffic, conditions: Conditions) -> None:
        for target in traffic.targets:
            configuration = self._cluster.cached(CONFIGURATION, namespace_of(route), target.configuration)
            latest = ((configuration or {}).get("status") or {}).get("latestReadyRevisionName") or ""
            revision = self._cluster.cached(REVISION, namespace_of(route), latest) if target.latest else None
            if revision is not None and back_to(revision) == target.revision:
                message = _taken_back(latest, target.revision, failure_of(revision))
                conditions.mark_false(CANARY_HEALTHY, "CanaryFailed", message)
                conditions.mark_false(ALL_TRAFFIC_ASSIGNED, "CanaryFailed", message)
                return
        conditions.mark_true(CANARY_HEALTHY)

    def _hosts(self, route: Object, conditions: Conditions) -> dict[str, Host] | None:
        settings = self._cluster.settings
        tags = [target.get("tag") or "" for target in route["spec"].get("traffic") or ()]
        services = {name_of(service): service for service in self._placeholders(route)}
        try:
            problem = http_option_problem(route)
            if problem:
                raise HostError(problem)
            return make_hosts(route, tags, services, settings.domain, settings.network, self._cluster.cluster_domain)
        except HostError as error:
            conditions.mark_false(ALL_TRAFFIC_ASSIGNED, "ErrorConfig", str(error))
            return None

    def _placeholders(self, route: Object) -> list[Object]:
        known = self._cluster.informers[CORE_SERVICE]
        return known.by_index(BY_ROUTE, f"{namespace_of(route)}/{name_of(route)}")

    async def _reconcile_placeholders(
        self, route: Object, hosts: Mapping[str, Host], conditions: Conditions
    ) -> list[Object]:
        """Make those that are missing and delete those that no host needs; those there are."""
        namespace, result = namespace_of(route), []
        for host in hosts.values():
            service = self._cluster.cached(CORE_SERVICE, namespace, host.service)
            if service is None:
                likely = self._served.get(ingress_class(route, self._cluster.settings.network))
                service, created = await self._cluster.create(CORE_SERVICE, make_placeholder(route, host, likely))
                if created:
                    self._events.normal(route, "Created", f'Created placeholder service "{host.service}"')
            self._require_control(route, service, "Service", conditions)
            result.append(service)
        wanted = {host.service for host in hosts.values()}
        for service in self._placeholders(route):
            if name_of(service) not in wanted and is_controlled_by(service, route):
                await self._cluster.delete(CORE_SERVICE, service)
        return result

    async def _reconcile_ingress(
        self, route: Object, traffic: Traffic, secured: Secured, conditions: Conditions
    ) -> tuple[Object, Rollout]:
        goal = goal_of(traffic)
        existing = self._cluster.cached(INGRESS, namespace_of(route), child_name(name_of(route), ""))
        if existing is None:
            wanted = self._make_ingress(route, traffic, secured, goal)
            existing, created = await self._cluster.create(INGRESS, wanted)
            if created:
                self._events.normal(route, "Created", f'Created Ingress "{name_of(existing)}"')
                return existing, goal
        self._require_control(route, existing, "Ingress", conditions)
        rollout = self._advance(route, existing, goal, conditions)
        wanted = self._make_ingress(route, traffic, secured, rollout)
        if same_ingress(existing, wanted):
            return existing, rollout
        changed = mutable(existing)
        changed["spec"] = wanted["spec"]
        changed["metadata"].update(labels=wanted["metadata"]["labels"], annotations=wanted["metadata"]["annotations"])
        return await self._cluster.client.update(INGRESS, changed), rollout

    def _advance(self, route: Object, ingress: Object, goal: Rollout, conditions: Conditions) -> Rollout:
        """How far the rollout is by now; `goal` at once when it is to take no time."""
        duration = rollout_seconds(route, self._cluster.settings.network.rollout_duration)
        if duration <= 0:
            return goal
        now = round(self._cluster.clock.now() * NANOSECONDS)
        before = parse_rollout(annotations_of(ingress).get(ANNOTATION_ROLLOUT, ""))
        if _is_ready(ingress) and not conditions.is_true(INGRESS_READY):
            before = before.observe_ready(now, duration)
        return before.advance(goal, now)

    def _make_ingress(self, route: Object, traffic: Traffic, secured: Secured, rollout: Rollout) -> Object:
        settings = self._cluster.settings
        return make_ingress(
            route,
            traffic,
            secured.hosts,
            rollout,
            settings.network,
            tag_header_routing=settings.features.enabled("tag-header-based-routing"),
            system_internal_tls=settings.network.system_internal_tls,
            tls=secured.tls,
            challenges=secured.challenges,
        )

    async def _point_placeholders(self, route: Object, services: list[Object], ingress: Object) -> None:
        for service in services:
            target = pointed_at(service, ingress)
            if target is None:
                continue
            self._served[ingress_class(route, self._cluster.settings.network)] = ingress
            changed, anew = retarget(service, target, route)
            if changed is not None and anew:
                await self._cluster.delete(CORE_SERVICE, service)
                for field in ("uid", "resourceVersion", "creationTimestamp"):
                    changed["metadata"].pop(field, None)
                await self._cluster.client.create(CORE_SERVICE, changed)
            elif changed is not None:
                await self._cluster.client.update(CORE_SERVICE, changed)

    def _until_next_step(self, rollout: Rollout) -> float | None:
        at = rollout.next_step()
        return max(0.0, at / NANOSECONDS - self._cluster.clock.now()) if at else None

    def _require_control(self, route: Object, child: Object, kind: str, conditions: Conditions) -> None:
        if not is_controlled_by(child, route):
            message = f'There is an existing {kind} "{name_of(child)}" that we do not own.'
            conditions.mark_false(INGRESS_READY, "NotOwned", message)
            raise Refused(f'route: "{name_of(route)}" does not own {kind}: "{name_of(child)}"')

    def _target_changed(self, resource: Resource) -> Handler:
        """Whoever refers to a Configuration or Revision, whether or not it was there, looks at it again."""

        def handle(old: Object | None, new: Object | None) -> None:
            for obj in filter(None, (old, new)):
                names = [f"{resource.kind}/{name_of(obj)}"]
                if resource is REVISION and LABEL_CONFIGURATION in labels_of(obj):
                    names.append(f"Configuration/{labels_of(obj)[LABEL_CONFIGURATION]}")
                for name in names:
                    for route in self._cluster.informers[ROUTE].by_index(BY_TARGET, f"{namespace_of(obj)}/{name}"):
                        self.queue.enqueue_object(route)

        return handle

    def _wildcard_changed(self, old: Object | None, new: Object | None) -> None:
        """A namespace's own certificate serves all of its Routes."""
        for certificate in filter(None, (old, new)):
            if LABEL_WILDCARD in labels_of(certificate):
                for route in self._cluster.informers[ROUTE].list(namespace_of(certificate)):
                    self.queue.enqueue_object(route)

    def _settings_changed(self, config_map: str) -> None:
        if config_map in _SHAPING:
            for route in self._cluster.informers[ROUTE].list():
                self.queue.enqueue_object(route)


def _follow_ingress(conditions: Conditions, ingress: Object, rollout: Rollout) -> None:
    if rollout.done:
        follow_ingress(conditions, INGRESS_READY, ingress)
    else:
        message = "A gradual rollout of the latest revision(s) is in progress."
        conditions.mark_unknown(INGRESS_READY, "RolloutInProgress", message)


def _status_traffic(traffic: Traffic, hosts: Mapping[str, Host], rollout: Rollout) -> list[dict[str, Any]]:
    """What is served now, revision by revision, also in the middle of a rollout."""
    result = []
    for target in traffic.targets:
        shares = rollout.shares(target.tag, target.configuration) if target.latest else ()
        if len(shares) < 2:
            shares = ((target.revision, target.percent),)
        for revision, percent in shares:
            entry = {
                "tag": target.tag,
                "revisionName": revision,
                "latestRevision": target.latest,
                "percent": percent,
                "url": hosts[target.tag].url if target.tag else "",
            }
            result.append({name: value for name, value in entry.items() if value != ""})
    return result


def _is_ready(ingress: Object) -> bool:
    status = ingress.get("status") or {}
    observed = ingress["metadata"].get("generation") == status.get("observedGeneration")
    return observed and status_of(status, READY) == TRUE


def _taken_back(revision: str, previous: str, why: str) -> str:
    return f'Revision "{revision}" was taken back: {why}. All of its traffic goes to "{previous}".'


def _targets_of(route: Object) -> list[str]:
    names = []
    for target in route["spec"].get("traffic") or ():
        for kind, field in (("Configuration", "configurationName"), ("Revision", "revisionName")):
            if target.get(field):
                names.append(f"{namespace_of(route)}/{kind}/{target[field]}")
    return names


def _route_of(service: Object) -> tuple[str, ...]:
    name = labels_of(service).get(LABEL_ROUTE)
    return (f"{namespace_of(service)}/{name}",) if name else ()
