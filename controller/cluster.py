"""What every reconciler shares: the client, one cache per resource, settings, time, and the voice for events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from controller.issuing.classes import CHALLENGE, CM_CERTIFICATE
from controller.issuing.optional import optional_informer
from controller.settings import Settings
from upwell.api.names import LABEL_REVISION
from upwell.api.objects import Object, name_of, namespace_of
from upwell.api.resources import (
    CERTIFICATE,
    CONFIGURATION,
    CORE_SERVICE,
    DEPLOYMENT,
    DOMAIN_CLAIM,
    DOMAIN_MAPPING,
    IMAGE,
    INGRESS,
    NAMESPACE,
    POD,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVICE,
    Resource,
)
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, NotFound
from upwell.cluster.events import EventRecorder
from upwell.cluster.informer import Informer

__all__ = ["Cluster", "make_informers"]

_WATCHED: Final = (
    SERVICE,
    CONFIGURATION,
    REVISION,
    ROUTE,
    POD_AUTOSCALER,
    INGRESS,
    DEPLOYMENT,
    CORE_SERVICE,
    NAMESPACE,
)
_OPTIONAL: Final = (CERTIFICATE, DOMAIN_MAPPING, DOMAIN_CLAIM, IMAGE, CM_CERTIFICATE, CHALLENGE)
"""Without which the rest goes on."""


def make_informers(client: Client, clock: Clock, others: Iterable[Resource] = ()) -> Mapping[Resource, Informer]:
    """One cache for each resource that reconcilers read; of pods only those of revisions.

    `others` are optional ones that only some clusters have us write.
    """
    informers = {resource: Informer(client, resource, clock=clock) for resource in _WATCHED}
    informers |= {resource: optional_informer(client, resource, clock) for resource in (*_OPTIONAL, *others)}
    informers[POD] = Informer(client, POD, labels=LABEL_REVISION, clock=clock)
    return informers


@dataclass(frozen=True, slots=True)
class Cluster:
    """See the module."""

    client: Client
    informers: Mapping[Resource, Informer]
    settings: Settings
    clock: Clock
    recorders: Mapping[str, EventRecorder]
    """By component, such as `route-controller`."""
    cluster_domain: str
    system_namespace: str
    workers: int
    """Objects of a kind that are worked on at once."""

    def cached(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object as last seen; shared, not to be changed."""
        return self.informers[resource].get(namespace, name)

    def events(self, component: str) -> EventRecorder:
        return self.recorders[component]

    async def create(self, resource: Resource, obj: Object) -> tuple[Object, bool]:
        """The object and whether it is new; one of that name that the cache has not seen yet is read instead."""
        try:
            return await self.client.create(resource, obj), True
        except AlreadyExists:
            return await self.client.get(resource, name_of(obj), namespace_of(obj)), False

    async def delete(self, resource: Resource, obj: Object, *, unchanged: bool = False) -> None:
        """Delete this very object; one that is gone already is fine. `unchanged`: raise Conflict when it changed."""
        metadata = obj["metadata"]
        try:
            await self.client.delete(
                resource,
                name_of(obj),
                namespace_of(obj),
                uid=str(metadata.get("uid") or ""),
                resource_version=str(metadata.get("resourceVersion") or "") if unchanged else "",
            )
        except NotFound:
            pass
