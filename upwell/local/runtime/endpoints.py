"""Keeps the EndpointSlices of all Services in step with the pods: a slice per (Service, Pod), written at once."""

from collections.abc import Iterable

from upwell.api.objects import Key, Object, key_of
from upwell.api.resources import ENDPOINT_SLICE
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, ApiError, NotFound
from upwell.local.runtime.pod import Pod
from upwell.local.runtime.slices import endpoint_slice, selects, slice_name
from upwell.local.runtime.writer import Spawn, Writer
from upwell.telemetry import log

__all__ = ["Endpoints"]

LOG = log.get("endpoints")


class Endpoints:
    """See the module."""

    def __init__(self, client: Client, spawn: Spawn, clock: Clock) -> None:
        self._client = client
        self._spawn = spawn
        self._clock = clock
        self._services: dict[Key, Object] = {}
        self._pods: dict[Key, Pod] = {}
        self._writers: dict[tuple[Key, Key], Writer[Object]] = {}
        """By Service and Pod."""
        self._existing: set[Key] = set()
        """Slices that are known to be there."""

    def service_changed(self, old: Object | None, new: Object | None) -> None:
        """Informer handler; slices of a deleted Service go with it by their owner reference."""
        if new is None:
            assert old is not None
            key = key_of(old)
            self._services.pop(key, None)
            self._drop((pair for pair in self._writers if pair[0] == key), delete=False)
            return
        key = key_of(new)
        self._services[key] = new
        selected = {pod.key for pod in self._pods.values() if selects(new, pod.obj)}
        self._drop((pair for pair in self._writers if pair[0] == key and pair[1] not in selected), delete=True)
        for pod_key in selected:
            self._write(new, self._pods[pod_key])

    def pod_changed(self, pod: Pod) -> None:
        """A pod started, became ready or not, or began to end."""
        self._pods[pod.key] = pod
        for service in self._services.values():
            if selects(service, pod.obj):
                self._write(service, pod)

    def pod_gone(self, pod: Pod) -> None:
        self._pods.pop(pod.key, None)
        self._drop((pair for pair in self._writers if pair[1] == pod.key), delete=True)

    def _write(self, service: Object, pod: Pod) -> None:
        pair = (key_of(service), pod.key)
        writer = self._writers.get(pair)
        if writer is None:
            name = f"endpoint slice of {pair[0]}"
            writer = self._writers[pair] = Writer(name, self._put, self._spawn, self._clock)
        writer.want(endpoint_slice(service, pod.obj, ready=pod.ready, terminating=pod.terminating))

    async def _put(self, wanted: Object) -> None:
        """Create the slice, or replace what is there: nobody else writes it, so its version does not matter."""
        key = key_of(wanted)
        if key not in self._existing:
            try:
                await self._client.create(ENDPOINT_SLICE, wanted)
                self._existing.add(key)
                return
            except AlreadyExists:
                self._existing.add(key)
        try:
            await self._client.patch(ENDPOINT_SLICE, key.name, key.namespace, wanted)
        except NotFound:
            # Its Service was deleted and made anew in the same moment, or somebody removed it by hand.
            self._existing.discard(key)
            await self._client.create(ENDPOINT_SLICE, wanted)
            self._existing.add(key)

    def _drop(self, pairs: Iterable[tuple[Key, Key]], *, delete: bool) -> None:
        for service, pod in list(pairs):
            writer = self._writers.pop((service, pod))
            self._spawn(self._close(writer, service, pod, delete), f"end of the endpoint slice of {service}")

    async def _close(self, writer: Writer[Object], service: Key, pod: Key, delete: bool) -> None:
        await writer.close()
        key = Key(service.namespace, slice_name(service.name, pod.name))
        self._existing.discard(key)
        if not delete:
            return
        try:
            await self._client.delete(ENDPOINT_SLICE, key.name, key.namespace)
        except NotFound:
            pass
        except ApiError as error:
            # It says `terminating` and points to a port that rests, so it does no harm until the next start removes it.
            LOG.warning("endpoint slice not removed", service=str(service), pod=str(pod), error=str(error))
