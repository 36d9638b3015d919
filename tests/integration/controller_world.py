"""A real controller process against the embedded API server; the test plays autoscaler, pod runtime and ingress."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from tests.integration.autoscaler_world import Server, free_ports
from tests.waiting import eventually
from upwell.api.conditions import find
from upwell.api.ingress import class_of
from upwell.api.names import INGRESS_CLASS
from upwell.api.objects import Object, labels_of, name_of, new_object
from upwell.api.resources import (
    CONFIG_MAP,
    CONFIGURATION,
    CORE_SERVICE,
    DEPLOYMENT,
    INGRESS,
    POD,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVICE,
    Resource,
)
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError, Conflict, NotFound
from upwell.cluster.informer import Informer

__all__ = ["World", "world_fixture"]

NAMESPACE = "default"
OURS = (SERVICE, CONFIGURATION, REVISION, ROUTE, DEPLOYMENT, POD_AUTOSCALER, INGRESS, CORE_SERVICE)
LABEL_REVISION = "serving.knative.dev/revision"


class Process:
    """One controller."""

    def __init__(self, kubeconfig: Path, name: str) -> None:
        self.port = free_ports(1)[0]
        self.environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "POD_NAME": name,
            "POD_IP": "127.0.0.1",
            "UPWELL_BIND_HOST": "127.0.0.1",
            "UPWELL_PORT_MAP": f"9090={self.port}",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Process":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controller"], env=self.environment, stderr=subprocess.PIPE
        )
        return self

    async def said_at_its_end(self) -> tuple[int, str]:
        """Its exit code and its log."""
        assert self.process is not None
        _, said = await asyncio.to_thread(self.process.communicate, timeout=20)
        return self.process.returncode, said.decode()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        assert self.process is not None
        self.process.send_signal(number)
        return await self.said_at_its_end()

    async def answers(self, path: str) -> int:
        """The status of a GET; 0 when nobody listens."""
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as answer:
                return answer.status
        return 0


class World:
    """The cluster around the controller."""

    def __init__(self, client: Client, server: Server) -> None:
        self.client = client
        self.server = server
        self.failing: dict[str, Object] = {}
        """By revision, the status of its pod; others are ready at once."""
        self.controllers: list[Process] = []
        self._informers = {resource: Informer(client, resource) for resource in (DEPLOYMENT, POD_AUTOSCALER, INGRESS)}

    def start_controller(self, name: str = "controller-1", **environment: str) -> Process:
        process = Process(self.server.kubeconfig, name)
        process.environment |= environment
        process.start()
        self.controllers.append(process)
        return process

    async def make_pod(self, name: str) -> None:
        """The object that a controller's pod would be."""
        spec = {"containers": [{"name": "controller", "image": "x"}]}
        await self.client.create(POD, new_object(POD, "knative-serving", name, spec=spec))

    async def configure(self, name: str, **data: str) -> None:
        """Make a config map, or change keys of one."""
        keys = {key.replace("_", "-"): value for key, value in data.items()}
        try:
            await self.client.patch(CONFIG_MAP, name, "knative-serving", {"data": keys})
        except NotFound:
            await self.client.create(CONFIG_MAP, new_object(CONFIG_MAP, "knative-serving", name, data=keys))

    async def apply(self, name: str = "app", *, command: str = "one", **spec: Any) -> Object:
        """Create a Service, or change its command."""
        template = {"spec": {"containers": [{"image": "local/app", "command": [command]}]}}
        changed = {"spec": {"template": template, **spec}}
        try:
            return await self.client.patch(SERVICE, name, NAMESPACE, changed)
        except NotFound:
            return await self.client.create(SERVICE, new_object(SERVICE, NAMESPACE, name, **changed))

    async def get(self, resource: Resource, name: str) -> Object:
        return await self.client.get(resource, name, NAMESPACE)

    async def ready(self, name: str = "app", *, generation: int = 1, resource: Resource = SERVICE) -> Object:
        """The object once it is ready in that generation."""

        async def look() -> Object | None:
            with contextlib.suppress(NotFound):
                obj = await self.get(resource, name)
                status = obj.get("status") or {}
                if status.get("observedGeneration") == generation and find(status, "Ready").get("status") == "True":
                    return obj
            return None

        found = await eventually(look)
        assert found is not None
        return found

    async def condition(self, resource: Resource, name: str, kind: str, reason: str) -> Object:
        """The object once a condition of it has that reason."""

        async def look() -> Object | None:
            with contextlib.suppress(NotFound):
                obj = await self.get(resource, name)
                return obj if find(obj.get("status"), kind).get("reason", "") == reason else None
            return None

        found = await eventually(look)
        assert found is not None
        return found

    async def everything(self) -> dict[tuple[str, str], Object]:
        """All objects of the kinds that the controller writes."""
        listed = [(one, obj) for one in OURS for obj in (await self.client.list(one, NAMESPACE))[0]]
        return {(f"{one.group}/{one.kind}", name_of(obj)): obj for one, obj in listed}

    # The others' part

    async def play(self) -> None:
        """Be autoscaler, runtime and ingress until cancelled."""
        async with asyncio.TaskGroup() as group:
            for resource, informer in self._informers.items():
                group.create_task(informer.run(), name=f"copy of {resource.plural}")
            group.create_task(self._answer_always(), name="others")

    async def _answer_always(self) -> None:
        while True:
            for resource, informer in self._informers.items():
                for obj in informer.list(NAMESPACE):
                    with contextlib.suppress(Conflict, NotFound):
                        await self._answer(resource, obj)
            await asyncio.sleep(0.02)

    async def _answer(self, resource: Resource, obj: Object) -> None:
        generation = obj["metadata"].get("generation")
        revision = labels_of(obj).get(LABEL_REVISION, "")
        failing = self.failing.get(revision)
        if resource is DEPLOYMENT:
            if failing is not None:
                await self._play_pod(revision, failing)
            status = _deployment_status(generation, ready=failing is None)
        elif resource is POD_AUTOSCALER:
            status = _autoscaler_status(generation, name_of(obj), initialized=failing is None)
        elif class_of(obj) == INGRESS_CLASS:
            status = _ingress_status(generation)
        else:
            return
        if obj.get("status") != status:
            await self.client.update_status(resource, {**obj, "status": status})

    async def _play_pod(self, revision: str, status: Object) -> None:
        name = f"{revision}-pod"
        try:
            pod = await self.get(POD, name)
        except NotFound:
            spec = {"containers": [{"name": "user-container", "image": "x"}]}
            metadata = {"labels": {LABEL_REVISION: revision}}
            pod = await self.client.create(POD, new_object(POD, NAMESPACE, name, metadata=metadata, spec=spec))
        if pod.get("status") != status:
            await self.client.update_status(POD, {**pod, "status": status})


def _condition(kind: str, status: str = "True", **more: str) -> Object:
    return {"type": kind, "status": status, **more}


def _deployment_status(generation: int, *, ready: bool) -> Object:
    count = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1} if ready else {"replicas": 1}
    return {"observedGeneration": generation, "conditions": [_condition("Progressing")], **count}


def _autoscaler_status(generation: int, name: str, *, initialized: bool) -> Object:
    status = "True" if initialized else "Unknown"
    return {
        "observedGeneration": generation,
        "serviceName": name,
        "actualScale": int(initialized),
        "conditions": [_condition("Ready", status), _condition("ScaleTargetInitialized", status)],
    }


def _ingress_status(generation: int) -> Object:
    balancer = {"ingress": [{"domainInternal": "gateway.knative-serving.svc.cluster.local"}]}
    return {
        "observedGeneration": generation,
        "conditions": [_condition("Ready")],
        "publicLoadBalancer": balancer,
        "privateLoadBalancer": balancer,
    }


@pytest_asyncio.fixture(name="world")
async def world_fixture(server: Server) -> AsyncIterator[World]:
    """An API server with the local platform's settings, the others, and no controller yet."""
    client = await Client.connect(str(server.kubeconfig))
    world = World(client, server)
    sidecar = {"queue_sidecar_image": "upwell.local/queueproxy", "registries_skipping_tag_resolving": "*"}
    await world.configure("config-deployment", **sidecar)
    await world.configure("config-network", ingress_class=INGRESS_CLASS, external_port="8080")
    await world.configure("config-domain", localhost="")
    playing = asyncio.create_task(world.play(), name="the rest of the cluster")
    try:
        yield world
    finally:
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError, ApiError):
            await playing
        for controller in world.controllers:
            if controller.process is not None and controller.process.poll() is None:
                await controller.stop(signal.SIGKILL)
        await client.close()
