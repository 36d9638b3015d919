"""A real autoscaler process against the embedded API server; the test plays activator, pods and their runtime."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml
from aiohttp import web

from tests.waiting import eventually
from upwell.api import names
from upwell.api.objects import Object, controller_reference, mutable, name_of, new_object, timestamp
from upwell.api.resources import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    POD,
    POD_AUTOSCALER,
    SERVERLESS_SERVICE,
)
from upwell.api.stat import Stat, WireStatMessage, encode_messages, encode_stat
from upwell.clock import SystemClock
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError, NotFound
from upwell.cluster.informer import Informer

NAMESPACE = "default"


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in sockets]


class Server:
    """An embedded API server on a port of its own, whose objects outlive it."""

    def __init__(self, folder: Path, module: str = "upwell.local.apiserver") -> None:
        self.folder = folder
        self._module = module
        self.port = free_ports(1)[0]
        self.kubeconfig = folder / "kubeconfig"
        self.process: subprocess.Popen[str] | None = None
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": {}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def start(self) -> None:
        words = ["--port", str(self.port), "--db", str(self.folder / "api.db"), "--logs-dir", str(self.folder)]
        self.process = subprocess.Popen([sys.executable, "-m", self._module, *words], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline())["port"] == self.port

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


class Playground:
    """The rest of the cluster: pods that appear when asked for, and an activator that answers for its services."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.load = 0.0
        """Concurrent requests that the pods of a revision have together."""
        self.loads: dict[str, float] = {}
        """The same for single revisions, by name."""
        self.scales: dict[str, list[int]] = {}
        """Every scale that a revision's Deployment was seen with, by the revision's name."""
        self.proving = True
        """Whether the public address answers as an activator does."""
        self.probes = 0
        self.scrapes = 0
        self.replicas: list[int] = []
        """Every scale that the Deployment was seen with."""
        self.modes: list[str] = []
        """Every mode that the ServerlessService was seen with."""
        self._deployments = Informer(client, DEPLOYMENT)
        self._services = Informer(client, SERVERLESS_SERVICE)
        self._changed = asyncio.Event()
        self._revisions: dict[int, str] = {}
        """Whose pods answer on a port."""
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.1)
        self.port = 0

    async def listen(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        await self._runner.cleanup()

    async def port_of(self, revision: str) -> int:
        """The port on which all pods of `revision` answer."""
        for port, name in self._revisions.items():
            if name == revision:
                return port
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = int(self._runner.addresses[-1][1])
        self._revisions[port] = revision
        return port

    async def run(self) -> None:
        """Play until cancelled."""

        def changed(old: Object | None, new: Object | None) -> None:
            self._changed.set()

        self._deployments.add_handler(self._note_scale)
        self._services.add_handler(self._note_mode)
        for informer in (self._deployments, self._services):
            informer.add_handler(changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deployments.run())
            group.create_task(self._services.run())
            while True:
                await self._changed.wait()
                self._changed.clear()
                try:
                    for service in self._services.list():
                        await self._play_activator(service)
                    for deployment in self._deployments.list():
                        await self._play_runtime(deployment)
                except ApiError:
                    await asyncio.sleep(0.1)
                    self._changed.set()

    def _note_scale(self, old: Object | None, new: Object | None) -> None:
        if new is not None and [new["spec"].get("replicas", 1)] != self.replicas[-1:]:
            self.replicas.append(new["spec"].get("replicas", 1))
        if new is not None:
            scales = self.scales.setdefault(new["metadata"]["labels"][names.LABEL_REVISION], [])
            if [new["spec"].get("replicas", 1)] != scales[-1:]:
                scales.append(new["spec"].get("replicas", 1))

    def _note_mode(self, old: Object | None, new: Object | None) -> None:
        if new is not None and [new["spec"]["mode"]] != self.modes[-1:]:
            self.modes.append(new["spec"]["mode"])

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.headers.get(names.HEADER_PROBE) == "activator":
            self.probes += 1
            return web.Response(text="activator" if self.proving else "queue")
        self.scrapes += 1
        assert request.transport is not None
        revision = self._revisions[request.transport.get_extra_info("sockname")[1]]
        pods = max(1, len((await self.client.list(POD, labels=f"{names.LABEL_REVISION}={revision}"))[0]))
        share = self.loads.get(revision, self.load) / pods
        body = encode_stat(Stat("pod", share, 0, share, 0, 100))
        return web.Response(body=body, headers={"Content-Type": "application/protobuf"})

    async def _play_activator(self, service: Object) -> None:
        name, generation = name_of(service), service["metadata"]["generation"]
        if (service.get("status") or {}).get("observedGeneration") == generation:
            return
        with contextlib.suppress(NotFound):
            await self.client.delete(ENDPOINT_SLICE, f"{name}-public", NAMESPACE)
        await self.client.create(ENDPOINT_SLICE, public_slice(name, self.port))
        now = timestamp(SystemClock().now())
        proxied = "True" if service["spec"]["mode"] == "Proxy" else "False"
        known = {one["type"]: one for one in (service.get("status") or {}).get("conditions", ())}
        conditions = [
            {"type": "ActivatorEndpointsPopulated", "status": proxied, "lastTransitionTime": now, "severity": "Info"},
            {"type": "Ready", "status": "True", "lastTransitionTime": now},
        ]
        kept = [known.get(one["type"], one) for one in conditions]
        conditions = [k if k["status"] == one["status"] else one for k, one in zip(kept, conditions, strict=True)]
        status = {
            "observedGeneration": generation,
            "serviceName": name,
            "privateServiceName": f"{name}-private",
            "conditions": conditions,
        }
        await self.client.update_status(SERVERLESS_SERVICE, {**mutable(service), "status": status})

    async def _play_runtime(self, deployment: Object) -> None:
        revision = deployment["metadata"]["labels"][names.LABEL_REVISION]
        wanted = deployment["spec"].get("replicas", 1)
        found = (await self.client.list(POD, NAMESPACE, labels=f"{names.LABEL_REVISION}={revision}"))[0]
        for number in range(len(found), wanted):
            found.append(await self.client.create(POD, pod_object(revision, number, await self.port_of(revision))))
        for pod in found:
            if (pod.get("status") or {}).get("phase") != "Running":
                await self.client.update_status(POD, {**pod, "status": running_status()})
        for pod in sorted(found, key=name_of)[wanted:]:
            await self.client.delete(POD, name_of(pod), NAMESPACE)


def public_slice(revision: str, port: int) -> Object:
    labels = {names.LABEL_SLICE_SERVICE: revision, names.LABEL_SERVICE_TYPE: names.SERVICE_TYPE_PUBLIC}
    return new_object(
        ENDPOINT_SLICE,
        NAMESPACE,
        f"{revision}-public",
        metadata={"labels": labels},
        addressType="IPv4",
        ports=[{"name": "http", "port": port, "protocol": "TCP"}],
        endpoints=[{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
    )


def running_status() -> dict[str, object]:
    started = timestamp(SystemClock().now())
    conditions = [{"type": "Ready", "status": "True"}]
    return {"phase": "Running", "podIP": "127.0.0.1", "startTime": started, "conditions": conditions}


def pod_object(revision: str, number: int, port: int) -> Object:
    labels = {names.LABEL_REVISION: revision, names.LABEL_REVISION_UID: f"uid-of-{revision}"}
    ports = [{"name": names.PORT_NAME_STATS, "containerPort": port}]
    containers = [{"name": "queue-proxy", "image": "upwell.local/queueproxy", "ports": ports}]
    metadata = {"labels": labels}
    return new_object(POD, NAMESPACE, f"{revision}-{number:03d}", metadata=metadata, spec={"containers": containers})


class World:
    """The cluster as the autoscaler sees it, and the autoscaler."""

    def __init__(self, kubeconfig: Path, client: Client, session: aiohttp.ClientSession, log: Path) -> None:
        self.kubeconfig = kubeconfig
        self.client = client
        self.session = session
        self.log = log
        self.play = Playground(client)
        self.ports = dict(zip((8080, 9090), free_ports(2), strict=True))
        self.process: asyncio.subprocess.Process | None = None
        self.others: list[asyncio.subprocess.Process] = []

    async def start_another(self, name: str, **env: str) -> "asyncio.subprocess.Process":
        """Start one more replica, which is from now on the one that `ports` and `process` mean; return it."""
        pod = new_object(POD, names.SYSTEM_NAMESPACE, name, spec=pod_object(name, 0, 1)["spec"])
        await self.client.create(POD, pod)
        self.ports = dict(zip((8080, 9090), free_ports(2), strict=True))
        self.process = None
        await self.start(POD_NAME=name, **env)
        assert self.process is not None
        self.others.append(self.process)
        return self.process

    async def start(self, **env: str) -> None:
        """Start the autoscaler and wait until its port answers."""
        settings = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "POD_NAME": "autoscaler-1",
            "POD_IP": "127.0.0.1",
            "UPWELL_BIND_HOST": "127.0.0.1",
            "UPWELL_PORT_MAP": ",".join(f"{number}={actual}" for number, actual in self.ports.items()),
            **env,
        }
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "autoscaler", env=settings, stderr=log
            )
        await eventually(self.health, lambda found: found == 200)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        process, self.process = self.process, None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        return await asyncio.wait_for(process.wait(), 20)

    async def health(self) -> int:
        try:
            async with self.session.get(
                f"http://127.0.0.1:{self.ports[8080]}/", headers={"User-Agent": "kube-probe/1.34"}
            ) as response:
                return response.status
        except aiohttp.ClientError:
            return 0

    async def add_revision(self, name: str, *, replicas: int = 1, concurrency: int = 0, **annotations: str) -> None:
        """A Deployment and a PodAutoscaler; `annotations` are those of autoscaling, with `_` for `-`."""
        labels = {
            names.LABEL_REVISION: name,
            names.LABEL_REVISION_UID: f"uid-of-{name}",
            names.LABEL_CONFIGURATION: "configuration",
            names.LABEL_SERVICE: "service",
        }
        template = {"metadata": {"labels": labels}, "spec": pod_object(name, 0, 1)["spec"]}
        deployment = await self.client.create(
            DEPLOYMENT,
            new_object(
                DEPLOYMENT,
                NAMESPACE,
                f"{name}-deployment",
                metadata={"labels": labels},
                spec={"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
            ),
        )
        metadata = {
            "labels": labels,
            "annotations": {
                names.ANNOTATION_CLASS: names.CLASS_KPA,
                names.ANNOTATION_METRIC: "concurrency",
                **{names.AUTOSCALING + key.replace("_", "-"): value for key, value in annotations.items()},
            },
            "ownerReferences": [controller_reference(deployment)],
        }
        spec = {
            "containerConcurrency": concurrency,
            "protocolType": "http1",
            "reachability": "Reachable",
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{name}-deployment"},
        }
        await self.client.create(
            POD_AUTOSCALER, new_object(POD_AUTOSCALER, NAMESPACE, name, metadata=metadata, spec=spec)
        )

    async def config(self, name: str, **data: str) -> None:
        """Write a config map; keys with `_` for `-`."""
        values = {key.replace("_", "-"): value for key, value in data.items()}
        wanted = new_object(CONFIG_MAP, names.SYSTEM_NAMESPACE, name, data=values)
        try:
            await self.client.update(CONFIG_MAP, wanted)
        except NotFound:
            await self.client.create(CONFIG_MAP, wanted)

    async def autoscaler(self, name: str) -> Object:
        return await self.client.get(POD_AUTOSCALER, name, NAMESPACE)

    async def condition(self, name: str, kind: str = "Active") -> str:
        """`True`, or status and reason; empty while there is none."""
        for found in ((await self.autoscaler(name)).get("status") or {}).get("conditions") or ():
            if found["type"] == kind:
                return f"{found['status']} {found.get('reason', '')}".strip()
        return ""

    async def until(self, name: str, kind: str, wanted: str, *, seconds: float = 30) -> None:
        await eventually(lambda: self.condition(name, kind), lambda found: found == wanted, seconds=seconds)

    async def until_replicas(self, wanted: int, *, seconds: float = 30) -> None:
        await eventually(lambda: self.play.replicas[-1:] == [wanted], seconds=seconds)

    async def metric(self, name: str) -> float:
        """A metric by its name with labels; 0 when it is not there."""
        async with self.session.get(f"http://127.0.0.1:{self.ports[9090]}/metrics") as response:
            found = re.search(rf"^{re.escape(name)} (\S+)$", await response.text(), flags=re.MULTILINE)
        return float(found[1]) if found else 0.0

    def report(self, revision: str, concurrency: float) -> bytes:
        """The frame in which an activator reports."""
        stat = Stat("activator", concurrency, 0, concurrency)
        return encode_messages([WireStatMessage(NAMESPACE, revision, stat)])

    @contextlib.asynccontextmanager
    async def websocket(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.session.ws_connect(f"ws://127.0.0.1:{self.ports[8080]}/") as connection:
            yield connection


@pytest_asyncio.fixture(name="world")
async def world_fixture(server: Server, tmp_path: Path) -> AsyncIterator[World]:
    """An empty cluster that is played; the test starts the autoscaler."""
    client = await Client.connect(str(server.kubeconfig))
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
    world = World(server.kubeconfig, client, session, tmp_path / "autoscaler.log")
    await world.play.listen()
    playing = asyncio.create_task(world.play.run())
    try:
        yield world
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        for process in {*world.others, world.process}:
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
        await world.play.close()
        await session.close()
        await client.close()
        print(world.log.read_text() if world.log.exists() else "")
