"""Keeps every ServerlessService's Services, slices and status as they should be.

One activator does it, the holder of a Lease. What an object asks for is computed in `activator.sks`; here it is
compared with what is there, and only differences are written. New slices are written before old ones are deleted,
so the public address leads somewhere at every moment of a flip.

Woken by: the ServerlessService itself, its Services and public slices (somebody may have changed them), the slices of
its private Service, and, for all of them at once, the slices of `activator-service`.
"""

from typing import Any, Final

from activator import sks as wanted
from upwell.api import names
from upwell.api.objects import (
    Key,
    Object,
    is_controlled_by,
    is_deleting,
    labels_of,
    mutable,
    name_of,
    namespace_of,
    uid_of,
)
from upwell.api.resources import BY_KIND, CORE_SERVICE, ENDPOINT_SLICE, SERVERLESS_SERVICE, Resource
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, Conflict, NotFound
from upwell.cluster.informer import Informer
from upwell.cluster.leader import LeaderElector
from upwell.cluster.reconciler import Reconciler
from upwell.cluster.status import apply_status
from upwell.telemetry import log

__all__ = ["ACTIVATOR_SERVICE", "ServerlessServices"]

LOG: Final = log.get("serverlessservice")
ACTIVATOR_SERVICE: Final = "activator-service"
LEASE: Final = "activator.serverlessservice.00-of-01"
LEASE_SECONDS: Final = 3.0
RENEW_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.75
"""Short: while nobody leads, no endpoint is flipped. An activator that was killed and comes back in its pod has its
old identity, and goes on leading at once."""

_BY_PRIVATE: Final = "private service"
_BY_SERVICE: Final = "public service"


class NotOwned(Exception):  # noqa: N818 - a state of the cluster
    """An object with the name that ours would have belongs to somebody else."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name} is not ours")
        self.kind = kind
        self.name = name


class ServerlessServices:
    """The reconciler; `slices` and `services` are informers that the caller runs, as it runs `objects`."""

    def __init__(
        self,
        client: Client,
        objects: Informer,
        services: Informer,
        slices: Informer,
        *,
        system_namespace: str,
        identity: str,
        clock: Clock,
    ) -> None:
        """`objects` is on ServerlessServices, `identity` tells this activator from the others."""
        self._client = client
        self._objects = objects
        self._services = services
        self._slices = slices
        self._system_namespace = system_namespace
        self._clock = clock
        self._selectors: dict[str, dict[str, str]] = {}
        self._reconciler = Reconciler("serverlessservice", self.reconcile, clock=clock)
        self._elector = LeaderElector(
            client,
            LEASE,
            system_namespace,
            identity,
            lease_duration=LEASE_SECONDS,
            renew_deadline=RENEW_SECONDS,
            retry_period=RETRY_SECONDS,
            clock=clock,
        )
        objects.add_index(_BY_PRIVATE, lambda sks: [f"{namespace_of(sks)}/{wanted.private_name_of(sks)}"])
        slices.add_index(_BY_SERVICE, _service_of)
        objects.add_handler(self._object_changed)
        services.add_handler(self._reconciler.enqueue_controller_of(SERVERLESS_SERVICE.kind))
        slices.add_handler(self._slice_changed)

    @property
    def is_leader(self) -> bool:
        return self._elector.is_leader

    async def run(self) -> None:
        """Reconcile whenever this activator leads, until cancelled."""
        for informer in (self._objects, self._services, self._slices):
            await informer.wait_synced()
        await self._elector.run(self._lead)

    async def reconcile(self, key: Key) -> None:
        """Make the cluster as the ServerlessService at `key` wants it."""
        sks = self._objects.get(*key)
        if sks is None or is_deleting(sks):
            return
        pods = self._backends(key.namespace, wanted.private_name_of(sks), sks)
        activators = self._backends(self._system_namespace, ACTIVATOR_SERVICE, sks)
        try:
            await self._apply_service(sks, wanted.private_service(sks, await self._selector(sks)))
            public = await self._apply_service(sks, wanted.public_service(sks))
            await self._apply_slices(public, wanted.public_slices(sks, public, pods, activators))
        except NotOwned as error:
            status = wanted.status_not_owned(sks, error.kind, error.name, self._clock.now())
        else:
            status = wanted.status_for(sks, pods, self._clock.now())
        await apply_status(self._client, SERVERLESS_SERVICE, sks, status)

    async def _lead(self) -> None:
        self._enqueue_all()
        await self._reconciler.run()

    def _enqueue_all(self) -> None:
        for sks in self._objects.list():
            self._reconciler.enqueue_object(sks)

    def _object_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._selectors.pop(uid_of(old), None)
        self._reconciler.enqueue_changed(old, new)

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        for service in _service_of(changed) if changed is not None else ():
            if service == f"{self._system_namespace}/{ACTIVATOR_SERVICE}":
                self._enqueue_all()
            for sks in self._objects.by_index(_BY_PRIVATE, service):
                self._reconciler.enqueue_object(sks)
            namespace, _, name = service.partition("/")
            if self._objects.get(namespace, name) is not None:
                self._reconciler.enqueue(Key(namespace, name))

    def _backends(self, namespace: str, service: str, sks: Object) -> wanted.Backends:
        slices = self._slices.by_index(_BY_SERVICE, f"{namespace}/{service}")
        return wanted.ready_backends(slices, wanted.port_name_of(sks))

    async def _selector(self, sks: Object) -> dict[str, str]:
        """The labels by which the scale target selects its pods; those never change, so they are read once."""
        known = self._selectors.get(uid_of(sks))
        if known is None:
            target = sks["spec"]["objectRef"]
            resource = _resource_of(target)
            found = await self._client.get(resource, target["name"], namespace_of(sks))
            known = dict((found["spec"].get("selector") or {}).get("matchLabels") or {})
            self._selectors[uid_of(sks)] = known
        return known

    async def _apply_service(self, sks: Object, service: Object) -> Object:
        """Make ports and selector of the Service those of `service`; what else it has is left alone."""
        found = self._services.get(namespace_of(service), name_of(service))
        if found is None:
            try:
                return await self._client.create(CORE_SERVICE, service)
            except AlreadyExists:
                # Somebody else's of that name does not carry our labels, so the informer does not show it.
                found = await self._client.get(CORE_SERVICE, name_of(service), namespace_of(service))
        if not is_controlled_by(found, sks):
            raise NotOwned(CORE_SERVICE.kind, name_of(service))
        spec = found["spec"]
        ports = _merged_ports(spec.get("ports") or [], service["spec"]["ports"])
        selector = service["spec"].get("selector")
        if spec.get("ports") == ports and (spec.get("selector") or None) == selector:
            return found
        changed = mutable(found)
        changed["spec"]["ports"] = ports
        changed["spec"].pop("selector", None)
        if selector:
            changed["spec"]["selector"] = selector
        return await self._client.update(CORE_SERVICE, changed)

    async def _apply_slices(self, public: Object, slices: list[Object]) -> None:
        present = {
            name_of(found): found
            for found in self._slices.by_index(_BY_SERVICE, f"{namespace_of(public)}/{name_of(public)}")
            if labels_of(found).get(names.LABEL_SLICE_MANAGER) == wanted.MANAGER
        }
        for made in slices:
            await self._apply_slice(present.pop(name_of(made), None), made)
        for stale in present.values():
            try:
                await self._client.delete(ENDPOINT_SLICE, name_of(stale), namespace_of(stale), uid=uid_of(stale))
            except NotFound:
                pass  # the cache was behind

    async def _apply_slice(self, found: Object | None, made: Object) -> None:
        if found is None:
            try:
                await self._client.create(ENDPOINT_SLICE, made)
            except AlreadyExists as error:
                # The cache is behind; its next word brings the key again.
                raise Conflict(error.status, error.reason, error.message) from error
            LOG.info("public address leads here", slice=name_of(made), endpoints=len(made["endpoints"]))
        elif any(found.get(field) != made[field] for field in ("ports", "endpoints")):
            await self._client.update(ENDPOINT_SLICE, {**found, "ports": made["ports"], "endpoints": made["endpoints"]})
            LOG.info("public address leads here", slice=name_of(made), endpoints=len(made["endpoints"]))


def _service_of(endpoint_slice: Object) -> list[str]:
    service = labels_of(endpoint_slice).get(names.LABEL_SLICE_SERVICE)
    return [f"{namespace_of(endpoint_slice)}/{service}"] if service else []


def _resource_of(reference: dict[str, Any]) -> Resource:
    """The resource of a scale target; kinds that Upwell does not know are guessed as the API's habit is."""
    version, kind = str(reference["apiVersion"]), str(reference["kind"])
    known = BY_KIND.get((version, kind))
    if known is not None:
        return known
    group, _, bare = version.rpartition("/")
    return Resource(group, bare, kind.lower() + "s", kind)


def _merged_ports(found: list[dict[str, Any]], made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`made`, with what the API server added to ports that are there, such as a nodePort."""
    before = {port.get("name"): port for port in found}
    return [{**before.get(port["name"], {}), **port} for port in made]
