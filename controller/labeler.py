"""Which revisions and configurations routes use, noted on these themselves (contract: control-plane.md 6.7).

The annotation `routes` says who refers to an object; a revision's label `routingState` whether anybody does, which is
what the autoscaler's reachability and the garbage collection go by. A route holds a finalizer of ours, so that its
traces are gone before it is.

New targets are noted at once, so that a revision is kept alive before traffic moves to it. What is no longer referred
to is let go only when the route has settled, as until then its traffic may still be there.
"""

from typing import Any, Final

from controller.cluster import Cluster
from controller.configuration import generation_of
from controller.finalizers import Finalizer
from controller.revision.metadata import configuration_name
from controller.service_children import ROUTE_FINALIZER, route_names
from upwell.api.conditions import READY, UNKNOWN, status_of
from upwell.api.names import (
    ANNOTATION_ROUTES,
    ANNOTATION_ROUTING_STATE_MODIFIED,
    LABEL_CONFIGURATION,
    LABEL_ROUTING_STATE,
)
from upwell.api.objects import (
    Key,
    Object,
    annotations_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    timestamp,
)
from upwell.api.resources import CONFIGURATION, REVISION, ROUTE, Resource
from upwell.cluster.errors import NotFound
from upwell.cluster.reconciler import Reconciler

__all__ = ["Labeler"]

COMPONENT: Final = "labeler"
EVENTS_AS: Final = "route-controller"
BY_USER: Final = "used-by-route"
BY_REFERENCE: Final = "referred-to"


class Labeler:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._finalizer = Finalizer(cluster.client, ROUTE, ROUTE_FINALIZER, cluster.events(EVENTS_AS))
        self.queue = Reconciler(COMPONENT, self.reconcile, workers=cluster.workers, clock=cluster.clock)
        cluster.informers[ROUTE].add_index(BY_REFERENCE, _references_of)
        cluster.informers[ROUTE].add_handler(self.queue.enqueue_changed)
        for resource in (CONFIGURATION, REVISION):
            cluster.informers[resource].add_index(BY_USER, _users_of)
            cluster.informers[resource].add_handler(self._target_changed)

    async def reconcile(self, key: Key) -> None:
        route = self._cluster.cached(ROUTE, *key)
        if route is None:
            return
        if is_deleting(route):
            await self._release(route)
            return
        await self._finalizer.put_on(route)
        revisions, configurations = self._targets(route)
        for obj in revisions:
            await self._add(route, REVISION, obj)
        for obj in configurations:
            await self._add(route, CONFIGURATION, obj)
        if _has_settled(route):
            await self._let_go(route, REVISION, {name_of(obj) for obj in revisions})
            await self._let_go(route, CONFIGURATION, {name_of(obj) for obj in configurations})

    async def _release(self, route: Object) -> None:
        """Clear the traces of a route that goes."""
        if not self._finalizer.is_on(route):
            return
        await self._let_go(route, REVISION, set())
        await self._let_go(route, CONFIGURATION, set())
        await self._finalizer.take_off(route)

    def _targets(self, route: Object) -> tuple[list[Object], list[Object]]:
        """The revisions and configurations that the route's traffic is about, in its spec and as it is now."""
        namespace = namespace_of(route)
        revisions: dict[str, Object] = {}
        configurations: dict[str, Object] = {}
        for target in (*_traffic(route.get("status")), *_traffic(route.get("spec"))):
            configuration_wanted = target.get("configurationName") or ""
            revision = self._cluster.cached(REVISION, namespace, target.get("revisionName") or "")
            if revision is not None:
                revisions[name_of(revision)] = revision
                configuration_wanted = configuration_name(revision)
            configuration = self._cluster.cached(CONFIGURATION, namespace, configuration_wanted)
            if configuration is None:
                continue
            configurations[name_of(configuration)] = configuration
            latest = (configuration.get("status") or {}).get("latestCreatedRevisionName") or ""
            created = self._cluster.cached(REVISION, namespace, latest)
            if target.get("latestRevision") and created is not None:
                revisions[latest] = created
        return sorted(revisions.values(), key=generation_of), list(configurations.values())

    async def _add(self, route: Object, resource: Resource, obj: Object) -> None:
        await self._patch(resource, obj, {*route_names(obj), name_of(route)})

    async def _let_go(self, route: Object, resource: Resource, needed: set[str]) -> None:
        users = f"{namespace_of(route)}/{name_of(route)}"
        for obj in self._cluster.informers[resource].by_index(BY_USER, users):
            if name_of(obj) not in needed:
                await self._patch(resource, obj, set(route_names(obj)) - {name_of(route)})

    async def _patch(self, resource: Resource, obj: Object, routes: set[str]) -> None:
        """Note exactly `routes` on the object; nothing is sent when they are noted already."""
        metadata = _routing_metadata(resource, obj, routes, self._cluster.clock.now())
        if not metadata or is_deleting(obj):
            return
        try:
            await self._cluster.client.patch(resource, name_of(obj), namespace_of(obj), {"metadata": metadata})
        except NotFound:
            pass  # it went meanwhile, and its notes with it

    def _target_changed(self, old: Object | None, new: Object | None) -> None:
        """Routes that refer to an object look again, also when it has only come to be there."""
        obj = new if new is not None else old
        if obj is None:
            return
        namespace, names = namespace_of(obj), {name_of(obj), labels_of(obj).get(LABEL_CONFIGURATION, "")}
        for name in sorted(names - {""}):
            for route in self._cluster.informers[ROUTE].by_index(BY_REFERENCE, f"{namespace}/{name}"):
                self.queue.enqueue_object(route)


def _routing_metadata(resource: Resource, obj: Object, routes: set[str], now: float) -> dict[str, Any]:
    """The merge patch of the metadata; empty when there is nothing to change."""
    wanted = ",".join(sorted(routes))
    annotations: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    if annotations_of(obj).get(ANNOTATION_ROUTES, "") != wanted:
        annotations[ANNOTATION_ROUTES] = wanted or None
    state = "active" if routes else "reserve"
    if resource is REVISION and labels_of(obj).get(LABEL_ROUTING_STATE) != state:
        metadata["labels"] = {LABEL_ROUTING_STATE: state}
        annotations[ANNOTATION_ROUTING_STATE_MODIFIED] = timestamp(now)
    if annotations:
        metadata["annotations"] = annotations
    return metadata


def _has_settled(route: Object) -> bool:
    """Whether the route has judged its present generation, one way or the other."""
    status = route.get("status") or {}
    observed = route["metadata"].get("generation") == status.get("observedGeneration")
    return bool(observed) and status_of(status, READY) != UNKNOWN


def _traffic(part: Any) -> list[dict[str, Any]]:
    return (part or {}).get("traffic") or []


def _references_of(route: Object) -> list[str]:
    names = {
        target.get(field)
        for target in (*_traffic(route.get("status")), *_traffic(route.get("spec")))
        for field in ("revisionName", "configurationName")
    }
    return [f"{namespace_of(route)}/{name}" for name in names if name]


def _users_of(obj: Object) -> list[str]:
    return [f"{namespace_of(obj)}/{name}" for name in route_names(obj)]
