"""The runtime as a whole: what it watches, what it looks after once a second, how it starts and ends.

    Deployments ──> Deployer ──> Pods ──> processes
                                  │ every change
    Services ───> Endpoints <─────┴─────> Pod and Deployment status

Start: kill what an earlier run left, follow the API, remove its pods and slices, begin. End: every pod gets SIGTERM
and a few seconds; when the owner is dead already, SIGKILL at once.
"""

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from upwell.api.names import LABEL_SLICE_MANAGER
from upwell.api.objects import Object, key_of, new_object, timestamp
from upwell.api.resources import CONFIG_MAP, CORE_SERVICE, DEPLOYMENT, ENDPOINT_SLICE, NODE, POD, SECRET
from upwell.clock import Clock
from upwell.cluster.backoff import Backoff
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, ApiError, NotFound, Unavailable
from upwell.cluster.informer import Informer
from upwell.local.horizontal.controller import HorizontalController
from upwell.local.processes import Ledger
from upwell.local.runtime.deployer import Deployer
from upwell.local.runtime.endpoints import Endpoints
from upwell.local.runtime.environment import Reference
from upwell.local.runtime.launcher import HostPorts, LaunchError
from upwell.local.runtime.logs import PodLogs
from upwell.local.runtime.pods import Machine, Pods
from upwell.local.runtime.ports import PortAllocator, is_free
from upwell.local.runtime.slices import MANAGER
from upwell.local.runtime.template import NODE_NAME
from upwell.telemetry import log

__all__ = ["Runtime", "Settings"]

LOG = log.get("")
SHUTDOWN_GRACE: Final = 3.0
"""Seconds that processes have between SIGTERM and SIGKILL when the platform stops."""
UPKEEP_SECONDS: Final = 1.0
CLEANING_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the runtime is started with."""

    root: Path
    """The platform's folder: logs and process records live in it."""
    folder: Path
    """Where containers without a workingDir run."""
    environment: Mapping[str, str]
    inherited_ports: Mapping[int, int]
    """hostPort → descriptor that already listens."""


class Runtime:
    """See the module."""

    def __init__(self, client: Client, settings: Settings, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._owner = os.getppid()
        self._logs = PodLogs(settings.root / "logs")
        self._ledger = Ledger(settings.root / "processes" / "pods")
        self._host_ports = HostPorts(settings.inherited_ports)
        machine = Machine(
            self._ledger,
            self._logs,
            PortAllocator(is_free),
            self._host_ports,
            dict(settings.environment),
            settings.folder,
            self._fetch,
        )
        self._pods = Pods(client, machine, self._spawn, clock)
        self._deployer = Deployer(client, self._pods, self._spawn, clock)
        self._endpoints = Endpoints(client, self._spawn, clock)
        self._pods.on_change(self._endpoints.pod_changed, self._endpoints.pod_gone)
        self._pods.on_change(self._deployer.pod_changed, self._deployer.pod_changed)
        self._group: asyncio.TaskGroup
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event, started: asyncio.Event) -> None:
        """Run until `stop`; set `started` once everything in the API is known and being looked after."""
        for name in await self._ledger.kill_leftovers():
            LOG.warning("a process of an earlier run was still there and has been killed", process=name)
        async with asyncio.TaskGroup() as self._group:
            begun = self._group.create_task(self._begin(started), name="start")
            await stop.wait()
            begun.cancel()
            await self._end()
            for task in tuple(self._running):
                task.cancel()
        self._host_ports.close()

    async def _begin(self, started: asyncio.Event) -> None:
        await self._insist(self._create_node)
        services = Informer(self._client, CORE_SERVICE, clock=self._clock)
        pods = Informer(self._client, POD, clock=self._clock)
        deployments = Informer(self._client, DEPLOYMENT, clock=self._clock)
        for informer in (services, pods):
            self._spawn(informer.run(), f"watch of {informer.resource.plural}")
            await informer.wait_synced()
        await self._insist(self._remove_old_slices)
        pods.add_handler(self._pods.api_changed)
        services.add_handler(self._endpoints.service_changed)
        deployments.add_handler(self._deployer.deployment_changed)
        self._spawn(deployments.run(), "watch of deployments")
        await deployments.wait_synced()
        self._spawn(self._upkeep(), "upkeep")
        horizontal = HorizontalController(self._client, deployments, self._pods.of_owner, self._clock)
        self._spawn(horizontal.run(), "horizontal autoscaling")
        started.set()
        LOG.info("runtime started", deployments=len(deployments.list()))

    async def _end(self) -> None:
        self._deployer.stop()
        orphaned = os.getppid() != self._owner
        await self._pods.shut_down(0.0 if orphaned else SHUTDOWN_GRACE)
        await self._ledger.settle()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._group.create_task(self._guarded(work, name), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """One failure is one pod's or one object's; it must not end the others."""
        try:
            await work
        except Exception as error:
            LOG.error("a task failed", task=name, error=repr(error))

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` once the API server is there to do it."""
        backoff = Backoff()
        while True:
            try:
                return await work()
            except Unavailable as error:
                LOG.warning("the API server is not there, trying again", error=str(error))
                await self._clock.sleep(backoff.next())

    async def _upkeep(self) -> None:
        """What has to be looked at without an event: rollout deadlines and the size of logs."""
        cleaned = float("-inf")
        while True:
            self._deployer.check_deadlines()
            for pod in self._pods.all():
                for container in (*pod.init_containers, *pod.containers):
                    container.log.bound()
            if self._clock.monotonic() - cleaned >= CLEANING_SECONDS:
                self._logs.clean({(pod.key.namespace, pod.key.name) for pod in self._pods.all()})
                cleaned = self._clock.monotonic()
            await self._clock.sleep(UPKEEP_SECONDS)

    async def _create_node(self) -> None:
        """The one node, so that tools that look for nodes find where the pods are."""
        now = timestamp(self._clock.now())
        ready = {"type": "Ready", "status": "True", "reason": "RuntimeReady", "message": "processes of this machine"}
        node = new_object(NODE, "", NODE_NAME, metadata={"labels": {"kubernetes.io/hostname": NODE_NAME}}, spec={})
        status = {
            "conditions": [{**ready, "lastHeartbeatTime": now, "lastTransitionTime": now}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": NODE_NAME}],
            "nodeInfo": {"kubeletVersion": "v1.32.0-upwell", "operatingSystem": os.uname().sysname.lower()},
        }
        try:
            await self._client.create(NODE, node)
        except AlreadyExists:
            pass
        await self._client.patch(NODE, NODE_NAME, "", {"status": status}, subresource="status")

    async def _remove_old_slices(self) -> None:
        """Slices of an earlier run point to processes that are gone."""
        old, _ = await self._client.list(ENDPOINT_SLICE, labels=f"{LABEL_SLICE_MANAGER}={MANAGER}")
        await asyncio.gather(*(self._remove_slice(item) for item in old))

    async def _remove_slice(self, item: Object) -> None:
        key = key_of(item)
        try:
            await self._client.delete(ENDPOINT_SLICE, key.name, key.namespace)
        except NotFound:
            pass

    async def _fetch(self, namespace: str, reference: Reference) -> Mapping[str, str] | None:
        """The contents of a ConfigMap or a Secret; None when it does not exist."""
        secret = reference.kind == "Secret"
        try:
            obj = await self._client.get(SECRET if secret else CONFIG_MAP, reference.name, namespace)
        except NotFound:
            return None
        except ApiError as error:
            raise LaunchError("CreateContainerConfigError", f"{reference.kind} {reference.name}: {error}") from error
        data: Mapping[str, str] = obj.get("data") or {}
        if not secret:
            return data
        return {name: base64.b64decode(value).decode(errors="replace") for name, value in data.items()}
