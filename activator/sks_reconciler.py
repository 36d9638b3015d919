"""Keeps every ServerlessService's Services, public address and status as they should be.

One activator does it, the holder of a Lease. What an object asks for is computed in `activator.sks` and
`activator.public_address`; here it is compared with what is there, and only differences are written. New slices are
written before old ones are deleted, so the public address leads somewhere at every moment of a flip.

Woken by: the ServerlessService itself, its Services and public slices (somebody may have changed them), the slices of
its private Service, and, for all of them at once, the slices of `activator-service`. Endpoints are not watched, as
nobody else has a reason to write them: they are written when they differ from what this leader wrote last.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from activator import sks as wanted
from activator.public_address import MANAGER, plan_slices, public_endpoints
from upwell.api import names
from upwell.api.objects import (
    Key,
    Object,
    annotations_of,
    is_controlled_by,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from upwell.api.resources import BY_KIND, CORE_SERVICE, ENDPOINT_SLICE, ENDPOINTS, SERVERLESS_SERVICE, Resource
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.endpoints import EndpointTracker
from upwell.cluster.errors import AlreadyExists, ApiError, Conflict, NotFound, Unavailable
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

MANY: Final = 100
MANY_SECONDS: Final = 1.0
"""Endpoints with more addresses than that are written once in so long: every change is the whole object, of 150 KB with
a thousand addresses. Slices follow at once."""

_BY_PRIVATE: Final = "private service"


class NotOwned(Exception):  # noqa: N818 - a state of the cluster
    """An object with the name that ours would have belongs to somebody else."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name} is not ours")
        self.kind = kind
        self.name = name


class Unwritten(Exception):  # noqa: N818 - a state of the cluster
    """The API server refused what `reason` names; the cause is its answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ServerlessServices:
    """The reconciler; the caller runs the informers `objects` and `services`, and those of `endpoints`."""

    def __init__(
        self,
        client: Client,
        objects: Informer,
        services: Informer,
        endpoints: EndpointTracker,
        *,
        system_namespace: str,
        identity: str,
        clock: Clock,
    ) -> None:
        """`objects` is on ServerlessServices, `identity` tells this activator from the others."""
        self._client = client
        self._objects = objects
        self._services = services
        self._endpoints = endpoints
        self._system_namespace = system_namespace
        self._clock = clock
        self._selectors: dict[str, dict[str, str]] = {}
        self._endpoints_written: dict[Key, tuple[bytes, float]] = {}
        """Digests of the Endpoints that this leader knows to be there, and when it wrote them."""
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
        objects.add_handler(self._object_changed)
        services.add_handler(self._reconciler.enqueue_controller_of(SERVERLESS_SERVICE.kind))
        endpoints.on_change(self._service_changed)

    @property
    def is_leader(self) -> bool:
        return self._elector.is_leader

    async def run(self) -> None:
        """Reconcile whenever this activator leads, until cancelled."""
        for informer in (self._objects, self._services, self._endpoints):
            await informer.wait_synced()
        await self._elector.run(self._lead)

    async def reconcile(self, key: Key) -> float | None:
        """Make the cluster as the ServerlessService at `key` wants it; return seconds after which to look again."""
        sks = self._objects.get(*key)
        if sks is None or is_deleting(sks):
            return None
        again: float | None = None
        pods = self._backends(key.namespace, wanted.private_name_of(sks), sks)
        activators = self._backends(self._system_namespace, ACTIVATOR_SERVICE, sks)
        refused: Unwritten | None = None
        try:
            again = await self._point(sks, wanted.public_backends(sks, pods, activators))
        except NotOwned as error:
            status = wanted.status_not_owned(sks, error.kind, error.name, self._clock.now())
        except Unwritten as error:
            refused = error
            status = wanted.status_unwritten(sks, error.reason, self._clock.now())
        else:
            status = wanted.status_for(sks, pods, self._clock.now())
        await apply_status(self._client, SERVERLESS_SERVICE, sks, status)
        if refused is not None and refused.__cause__ is not None:
            raise refused.__cause__
        return again

    async def _point(self, sks: Object, backends: wanted.Backends) -> float | None:
        """Have both Services, and `backends` behind the public one; raise NotOwned or Unwritten.

        Returns seconds after which to look again, if something was put off.
        """
        with _unwritten("CreatingPrivateService"):
            selector = await self._selector(sks)
        await self._apply_service(sks, wanted.private_service(sks, selector), "PrivateService")
        public = await self._apply_service(sks, wanted.public_service(sks), "PublicService")
        with _unwritten("CreatingPublicEndpoints"):
            await self._apply_slices(sks, public, backends)
            return await self._apply_endpoints(sks, public_endpoints(sks, backends))

    async def _lead(self) -> None:
        self._endpoints_written.clear()
        self._enqueue_all()
        await self._reconciler.run()

    def _enqueue_all(self) -> None:
        for sks in self._objects.list():
            self._reconciler.enqueue_object(sks)

    def _object_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._selectors.pop(uid_of(old), None)
            self._endpoints_written.pop(key_of(old), None)
        self._reconciler.enqueue_changed(old, new)

    def _service_changed(self, service: Key) -> None:
        if service == (self._system_namespace, ACTIVATOR_SERVICE):
            self._enqueue_all()
        for sks in self._objects.by_index(_BY_PRIVATE, f"{service.namespace}/{service.name}"):
            self._reconciler.enqueue_object(sks)
        if self._objects.get(*service) is not None:
            self._reconciler.enqueue(service)

    def _backends(self, namespace: str, service: str, sks: Object) -> wanted.Backends:
        return wanted.ready_backends(self._endpoints.slices(Key(namespace, service)), wanted.port_name_of(sks))

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

    async def _apply_service(self, sks: Object, service: Object, what: str) -> Object:
        """Make ports and selector of the Service those of `service`; what else it has is left alone."""
        found = self._services.get(namespace_of(service), name_of(service))
        with _unwritten(f"Creating{what}"):
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
        with _unwritten(f"Updating{what}"):
            # What is known of it is not all of it (`activator.kept`).
            changed = await self._client.get(CORE_SERVICE, name_of(service), namespace_of(service))
            changed["spec"]["ports"] = _merged_ports(changed["spec"].get("ports") or [], service["spec"]["ports"])
            changed["spec"].pop("selector", None)
            if selector:
                changed["spec"]["selector"] = selector
            return await self._client.update(CORE_SERVICE, changed)

    async def _apply_slices(self, sks: Object, public: Object, backends: wanted.Backends) -> None:
        present = {
            name_of(found): found
            for found in self._endpoints.slices(key_of(public))
            if labels_of(found).get(names.LABEL_SLICE_MANAGER) == MANAGER
        }
        for made in plan_slices(sks, public, backends, list(present.values())):
            await self._apply_slice(present.pop(name_of(made), None), made)
        for stale in present.values():
            try:
                await self._client.delete(ENDPOINT_SLICE, name_of(stale), namespace_of(stale), uid=uid_of(stale))
            except NotFound:
                pass  # the cache was behind

    async def _apply_endpoints(self, sks: Object, made: Object) -> float | None:
        """Write the Endpoints, unless this very state is what was written last; return seconds to wait with it."""
        key, digest = key_of(made), hashlib.sha256(json.dumps(made, sort_keys=True).encode()).digest()
        known, written = self._endpoints_written.get(key, (None, 0.0))
        if known == digest:
            return None
        left = written + MANY_SECONDS - self._clock.monotonic()
        if known is not None and left > 0 and sum(len(subset["addresses"]) for subset in made["subsets"]) > MANY:
            return left
        self._endpoints_written.pop(key, None)
        if known is None:
            await self._take_endpoints(sks, made)
        else:
            # Ours, and nobody else writes it: no need to read it first.
            await self._client.update(ENDPOINTS, made)
        self._endpoints_written[key] = digest, self._clock.monotonic()
        return None

    async def _take_endpoints(self, sks: Object, made: Object) -> None:
        """Write the Endpoints for the first time as the leader: there may be some, and somebody else's."""
        try:
            found = await self._client.get(ENDPOINTS, name_of(made), namespace_of(made))
        except NotFound:
            await self._client.create(ENDPOINTS, made)
            return
        if not is_controlled_by(found, sks):
            raise NotOwned(ENDPOINTS.kind, name_of(made))
        if any(of(found) != of(made) for of in (labels_of, annotations_of, _subsets)):
            await self._client.update(ENDPOINTS, made)

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


@contextmanager
def _unwritten(reason: str) -> Iterator[None]:
    """Refusals within the block are `reason`; a cache that is behind, or a server that is away, is none."""
    try:
        yield
    except (Conflict, Unavailable):
        raise
    except ApiError as error:
        raise Unwritten(reason) from error


def _resource_of(reference: dict[str, Any]) -> Resource:
    """The resource of a scale target; kinds that Upwell does not know are guessed as the API's habit is."""
    version, kind = str(reference["apiVersion"]), str(reference["kind"])
    known = BY_KIND.get((version, kind))
    if known is not None:
        return known
    group, _, bare = version.rpartition("/")
    return Resource(group, bare, kind.lower() + "s", kind)


def _subsets(endpoints: Object) -> list[Any]:
    return endpoints.get("subsets") or []


def _merged_ports(found: list[dict[str, Any]], made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`made`, with what the API server added to ports that are there, such as a nodePort."""
    before = {port.get("name"): port for port in found}
    return [{**before.get(port["name"], {}), **port} for port in made]
