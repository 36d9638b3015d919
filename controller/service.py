"""Service → Configuration + Route, and the Service's status from theirs (contract: control-plane.md 3).

Both children carry the Service's name, and are brought back to what the Service says whenever they differ. The
Configuration comes first: a template with a name of its own must have its revision before traffic may ask for it.
"""

from typing import Any, Final

from controller.cluster import Cluster
from controller.configuration import named_revision_conflict
from controller.service_children import make_configuration, make_route
from controller.status import Refused, StatusReconciler
from upwell.api.admission import apply_defaults
from upwell.api.conditions import READY, Conditions, find
from upwell.api.objects import Key, Object, is_controlled_by, is_deleting, mutable, name_of, namespace_of
from upwell.api.resources import CONFIGURATION, REVISION, ROUTE, SERVICE, Resource
from upwell.api.service import CONDITIONS, CONFIGURATIONS_READY, ROUTES_READY
from upwell.api.template_names import explicit_name
from upwell.cluster.errors import ApiError, Unavailable
from upwell.cluster.reconciler import Reconciler

__all__ = ["ServiceController"]

COMPONENT: Final = "service-controller"
ROUTES_EVENTS_AS: Final = "route-controller"
"""A Route is made with its finalizer; it is told as if the Route's own controller had put it there."""
_CONFIGURATION_FIELDS: Final = ("latestCreatedRevisionName", "latestReadyRevisionName")
_ROUTE_FIELDS: Final = ("url", "address", "traffic")


class ServiceController:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._events = cluster.events(COMPONENT)
        self._route_events = cluster.events(ROUTES_EVENTS_AS)
        self._status = StatusReconciler(cluster.client, SERVICE, CONDITIONS, self._events, cluster.clock)
        self.queue = Reconciler(COMPONENT, self.reconcile, workers=cluster.workers, clock=cluster.clock)
        cluster.informers[SERVICE].add_handler(self.queue.enqueue_changed)
        for child in (CONFIGURATION, ROUTE):
            cluster.informers[child].add_handler(self.queue.enqueue_controller_of("Service"))

    async def reconcile(self, key: Key) -> float | None:
        service = self._cluster.cached(SERVICE, *key)
        if service is None or is_deleting(service):
            return None
        return await self._status.run(service, self._cluster.settings.kinds, self._work)

    async def _work(self, service: Object, conditions: Conditions) -> None:
        namespace, name = namespace_of(service), name_of(service)
        known = self._cluster.cached(CONFIGURATION, namespace, name)
        wanted = make_configuration(service, known)
        configuration = await self._ensure(service, CONFIGURATION, known, wanted, CONFIGURATIONS_READY, conditions)
        if not _observed(configuration):
            _mark_out_of_date(conditions, CONFIGURATIONS_READY, "Configuration")
            if explicit_name(configuration):
                return
        else:
            _carry_over(service, configuration, _CONFIGURATION_FIELDS, CONFIGURATIONS_READY, conditions)
        named = explicit_name(configuration)
        if named and named_revision_conflict(configuration, self._cluster.cached(REVISION, namespace, named)):
            message = f'The revision name "{named}" is taken by a conflicting Revision, so traffic will not be migrated'
            conditions.mark_false(ROUTES_READY, "RevisionNameTaken", message)
            return
        known = self._cluster.cached(ROUTE, namespace, name)
        route = await self._ensure(service, ROUTE, known, make_route(service), ROUTES_READY, conditions)
        if not _observed(route):
            _mark_out_of_date(conditions, ROUTES_READY, "Route")
        else:
            _carry_over(service, route, _ROUTE_FIELDS, ROUTES_READY, conditions)
        if conditions.is_true(ROUTES_READY) and not _traffic_migrated(configuration, route):
            message = "Traffic is not yet migrated to the latest revision."
            conditions.mark_unknown(ROUTES_READY, "TrafficNotMigrated", message)

    async def _ensure(
        self,
        service: Object,
        resource: Resource,
        known: Object | None,
        wanted: Object,
        condition: str,
        conditions: Conditions,
    ) -> Object:
        """The child as the service wants it: made, changed, or left alone; raise Refused when it is another's."""
        kind, name = resource.kind, name_of(wanted)
        created = False
        if known is None:
            known, created = await self._create(service, resource, wanted)
        if created:
            return known
        if not is_controlled_by(known, service):
            conditions.mark_false(condition, "NotOwned", f'There is an existing {kind} "{name}" that we do not own.')
            raise Refused(f'service: "{name_of(service)}" does not own {kind.lower()}: "{name}"')
        kinds = self._cluster.settings.kinds
        if _same(apply_defaults(resource, known, kinds), apply_defaults(resource, wanted, kinds)):
            return known
        changed = mutable(known)
        changed["spec"] = wanted["spec"]
        changed["metadata"].update(labels=wanted["metadata"]["labels"], annotations=wanted["metadata"]["annotations"])
        return await self._cluster.client.update(resource, changed)

    async def _create(self, service: Object, resource: Resource, wanted: Object) -> tuple[Object, bool]:
        kind, name = resource.kind, name_of(wanted)
        try:
            child, created = await self._cluster.create(resource, wanted)
        except Unavailable:
            raise
        except ApiError as error:
            self._events.warning(service, "CreationFailed", f'Failed to create {kind} "{name}": {error.message}')
            raise
        if created:
            self._events.normal(service, "Created", f'Created {kind} "{name}"')
            if resource is ROUTE:
                self._route_events.normal(child, "FinalizerUpdate", f'Updated "{name}" finalizers')
        return child, created


def _same(one: Object, other: Object) -> bool:
    return one.get("spec") == other.get("spec") and all(
        (one["metadata"].get(field) or {}) == (other["metadata"].get(field) or {})
        for field in ("labels", "annotations")
    )


def _observed(child: Object) -> bool:
    return bool(child["metadata"].get("generation") == (child.get("status") or {}).get("observedGeneration"))


def _mark_out_of_date(conditions: Conditions, condition: str, kind: str) -> None:
    message = f"The {kind} is still working to reflect the latest desired specification."
    conditions.mark_unknown(condition, "OutOfDate", message)


def _carry_over(
    service: Object, child: Object, fields: tuple[str, ...], condition: str, conditions: Conditions
) -> None:
    """Make the child's own fields and its readiness the service's."""
    status, child_status = service["status"], child.get("status") or {}
    for field in fields:
        if field in child_status:
            status[field] = child_status[field]
        else:
            status.pop(field, None)
    ready = find(child_status, READY)
    if ready.get("status") == "True":
        conditions.mark_true(condition)
    elif ready:
        conditions.mark(condition, ready["status"], ready.get("reason", ""), ready.get("message", ""))


def _traffic_migrated(configuration: Object, route: Object) -> bool:
    """Whether the traffic that the route reports is what its spec asks for, with the latest ready revision named."""
    latest = (configuration.get("status") or {}).get("latestReadyRevisionName", "")
    wanted = [_resolved(target, name_of(configuration), latest) for target in route["spec"].get("traffic") or ()]
    reported = [_resolved(target, "", "") for target in (route.get("status") or {}).get("traffic") or ()]
    return wanted == reported


def _resolved(target: dict[str, Any], configuration: str, latest: str) -> tuple[Any, ...]:
    by_configuration = configuration and target.get("configurationName") == configuration
    revision = latest if by_configuration else target.get("revisionName") or ""
    return target.get("tag") or "", revision, target.get("percent") or 0
