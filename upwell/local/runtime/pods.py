"""All pods of this machine: made for Deployments, stored in the API, run, ended and removed again.

A pod's processes start at once; that the API server stores the pod happens beside it. What the API knows of a pod
follows from what happens here, never the other way round, with two exceptions: a deletion asked for through the API
ends the pod, and pods of an earlier run that are still stored are removed.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from upwell.api.objects import Key, Object, annotations_of, is_deleting, key_of, name_of, uid_of
from upwell.api.resources import POD
from upwell.clock import Clock
from upwell.cluster.backoff import Backoff
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, ApiError, Conflict, NotFound, Unavailable
from upwell.local.processes import Ledger
from upwell.local.runtime.launcher import Fetch, HostPorts, PodLauncher
from upwell.local.runtime.logs import PodLogs
from upwell.local.runtime.pod import Pod
from upwell.local.runtime.ports import ANNOTATION_PORTS, PortAllocator, declared_ports
from upwell.local.runtime.spec import parse_pod
from upwell.local.runtime.status import pod_status
from upwell.local.runtime.template import pod_name, pod_object
from upwell.local.runtime.writer import Spawn, Writer
from upwell.telemetry import log

__all__ = ["Machine", "Pods"]

LOG = log.get("pods")
REFUSED_PAUSE: Final = 5.0
"""Seconds that a pod which the API server refuses stays, so that its replacement is not refused at once."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What pods take from the machine they run on."""

    ledger: Ledger
    logs: PodLogs
    ports: PortAllocator
    host_ports: HostPorts
    environment: dict[str, str]
    folder: Path
    fetch: Fetch


@dataclass(slots=True)
class _Entry:
    """A pod and what it has become in the API."""

    pod: Pod
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    writer: Writer[Object] | None = None
    """Writes the status, once the object is there."""
    removed: bool = False
    """Whether there is no object to remove any more, or never was."""


class Pods:
    """See the module."""

    def __init__(self, client: Client, machine: Machine, spawn: Spawn, clock: Clock) -> None:
        self._client = client
        self._machine = machine
        self._spawn = spawn
        self._clock = clock
        self._entries: dict[Key, _Entry] = {}
        self._changed_listeners: list[Callable[[Pod], None]] = []
        self._gone_listeners: list[Callable[[Pod], None]] = []
        self._shutting_down = False

    def on_change(self, changed: Callable[[Pod], None], gone: Callable[[Pod], None]) -> None:
        """Call `changed` with a pod after each change, and `gone` when its last process has ended."""
        self._changed_listeners.append(changed)
        self._gone_listeners.append(gone)

    def all(self) -> list[Pod]:
        return [entry.pod for entry in self._entries.values()]

    def of_owner(self, uid: str) -> list[Pod]:
        """The pods of a Deployment that are not ending."""
        return [pod for pod in self.all() if pod.owner == uid and not pod.terminating]

    def create(self, deployment: Object, template_hash: str) -> None:
        """Start one more pod of a Deployment; raise PortsExhausted."""
        name = pod_name(name_of(deployment), template_hash)
        machine = self._machine
        ports = {number: machine.ports.take() for number in declared_ports(deployment["spec"]["template"]["spec"])}
        obj = pod_object(deployment, template_hash, name, ports)
        spec = parse_pod(obj)
        launcher = PodLauncher(
            obj, spec, machine.ledger, machine.host_ports, machine.environment, machine.folder, machine.fetch
        )
        pod = Pod.build(obj, spec, uid_of(deployment), launcher, machine.logs, self._clock, self._pod_changed)
        entry = self._entries[pod.key] = _Entry(pod, launcher.stored)
        self._spawn(self._live(entry), f"pod {pod.key}")
        self._pod_changed(pod)

    def terminate(self, pod: Pod) -> None:
        """End a pod within its own grace period; the API shows it as terminating."""
        entry = self._entries.get(pod.key)
        if entry and not pod.terminating:
            pod.terminate(pod.spec.grace)
            self._spawn(self._mark_deleted(entry), f"deletion of pod {pod.key}")

    def api_changed(self, old: Object | None, new: Object | None) -> None:
        """Informer handler: deletions that somebody asked for, and pods of an earlier run."""
        if new is None:
            entry = self._entries.get(key_of(old)) if old else None
            if entry and old and uid_of(entry.pod.obj) == uid_of(old):
                entry.removed = True
                entry.pod.terminate(0)
            return
        entry = self._entries.get(key_of(new))
        if entry is None:
            if ANNOTATION_PORTS in annotations_of(new) and not self._shutting_down:
                self._spawn(self._remove_object(key_of(new), uid_of(new)), f"removal of pod {key_of(new)}")
        elif is_deleting(new):
            seconds = new["metadata"].get("deletionGracePeriodSeconds")
            entry.pod.terminate(entry.pod.spec.grace if seconds is None else float(seconds))

    async def shut_down(self, grace: float) -> None:
        """End every pod within `grace` seconds; their objects stay, and the next run replaces them."""
        self._shutting_down = True
        for pod in self.all():
            pod.terminate(grace)
        while self._entries:
            await self._clock.sleep(0.01)

    async def _live(self, entry: _Entry) -> None:
        """A pod from its first process to the removal of its object."""
        pod = entry.pod
        storing = asyncio.create_task(self._store(entry), name=f"storing pod {pod.key}")
        try:
            await pod.run()
        except* Exception as group:
            LOG.error("pod failed", pod=str(pod.key), error=repr(group.exceptions))
        if self._shutting_down:
            storing.cancel()
        await asyncio.gather(storing, return_exceptions=True)
        del self._entries[pod.key]
        self._machine.ports.release(pod.spec.ports.values())
        for gone in self._gone_listeners:
            gone(pod)
        if entry.writer:
            await entry.writer.close()
        if not entry.removed and not self._shutting_down:
            await self._remove_object(pod.key, uid_of(pod.obj))

    async def _store(self, entry: _Entry) -> None:
        """Create the Pod object, however long the API server takes to be there."""
        pod = entry.pod
        backoff = Backoff()
        while True:
            try:
                pod.obj["metadata"].update((await self._create_object(pod))["metadata"])
                break
            except (Unavailable, Conflict):
                await self._clock.sleep(backoff.next())
            except ApiError as error:
                LOG.error("pod refused", pod=str(pod.key), error=str(error))
                entry.removed = True
                await self._clock.sleep(REFUSED_PAUSE)
                pod.terminate(0)
                return
        entry.writer = Writer(
            f"status of pod {pod.key}", partial(self._write_status, pod.key), self._spawn, self._clock
        )
        entry.stored.set()
        entry.writer.want(pod_status(pod))

    async def _create_object(self, pod: Pod) -> Object:
        try:
            return await self._client.create(POD, pod.obj)
        except AlreadyExists:
            # Our own, from an attempt whose answer was lost.
            return await self._client.get(POD, pod.key.name, pod.key.namespace)

    async def _write_status(self, key: Key, status: Object) -> None:
        await self._client.patch(POD, key.name, key.namespace, {"status": status}, subresource="status")

    async def _mark_deleted(self, entry: _Entry) -> None:
        """Tell the API that the pod is ending, as a deletion from outside would have done."""
        await entry.stored.wait()
        pod = entry.pod
        await self._delete(pod.key, uid_of(pod.obj), math.ceil(pod.spec.grace))

    async def _remove_object(self, key: Key, uid: str) -> None:
        await self._delete(key, uid, 0)

    async def _delete(self, key: Key, uid: str, grace: int) -> None:
        """Delete a Pod object; when it is gone or is another pod's by now, there is nothing to do."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": grace,
            "preconditions": {"uid": uid},
        }
        backoff = Backoff()
        while not self._shutting_down:
            try:
                await self._client.raw("DELETE", POD.path(key.namespace, key.name), body=options)
                return
            except (NotFound, Conflict):
                return
            except Unavailable:
                await self._clock.sleep(backoff.next())
            except ApiError as error:
                LOG.error("pod object not removed", pod=str(key), error=str(error))
                return

    def _pod_changed(self, pod: Pod) -> None:
        entry = self._entries.get(pod.key)
        if entry and entry.writer:
            entry.writer.want(pod_status(pod))
        for changed in self._changed_listeners:
            changed(pod)
