"""A real activator process against the embedded API server, with pods and an autoscaler that the test plays itself."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml
from aiohttp import web

from upwell.api import names
from upwell.api.objects import Object, new_object
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, REVISION
from upwell.api.stat import WireStatMessage, decode_messages
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists

NAMESPACE = "default"


class ApiServer:
    """An embedded API server that can go away and come back with what it knew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    def start(self) -> None:
        command = [sys.executable, "-m", "upwell.local.apiserver", "--port", str(self._port)]
        command += ["--logs-dir", str(self._folder), "--db", str(self._folder / "objects.db")]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._port = json.loads(self._process.stdout.readline())["port"]
        cluster = {"name": "test", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [context],
            "clusters": [cluster],
            "users": [{"name": "test", "user": {}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def stop(self) -> None:
        assert self._process is not None
        with self._process as process:
            process.terminate()


@pytest.fixture(scope="session", name="api_server")
def api_server_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One for all tests; a test that stops it starts it again."""
    server = ApiServer(tmp_path_factory.mktemp("api"))
    server.start()
    yield server
    server.stop()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in sockets]


class FakePod:
    """A sidecar and its app in one: answers probes, and requests with the number of those it had before."""

    def __init__(self, *, ours: bool = True, ready: bool = False, concurrency: int = 0) -> None:
        self.ours = ours
        self.ready = asyncio.Event()
        if ready:
            self.ready.set()
        self.seen: list[dict[str, str]] = []
        """Headers of the requests served."""
        self.paths: list[str] = []
        self.probes = 0
        self.running = 0
        self.most_at_once = 0
        self.seconds = 0.0
        """How long a request takes."""
        self.refusing = False
        """Whether the app behind the sidecar refuses connections."""
        self.concurrency = concurrency
        self.port = 0
        self._runner: web.ServerRunner | None = None

    async def listen(self, port: int = 0) -> "FakePod":
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, backlog=1024)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("User-Agent") == names.AGENT_ACTIVATOR:
            return await self._answer_probe(request)
        if self.refusing:
            return web.Response(status=502, headers={"Upwell-Error": "queueproxy; reason=refused; unsent"})
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            body = await request.read()
            await asyncio.sleep(self.seconds)
            self.seen.append(dict(request.headers))
            self.paths.append(request.path_qs)
            return web.Response(text=f"{len(body)} bytes for {request.path}", headers={"Served-By": str(self.port)})
        finally:
            self.running -= 1

    async def _answer_probe(self, request: web.BaseRequest) -> web.Response:
        self.probes += 1
        headers = {"Upwell-Sidecar": "1"} if self.ours else {}
        if self.ours and not self.ready.is_set():
            wait = int(request.headers.get("Upwell-Wait", "0")) / 1000
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ready.wait(), wait)
        if self.ready.is_set():
            return web.Response(text="queue", headers=headers)
        return web.Response(status=503, headers=headers)


class FakeAutoscaler:
    """Takes statistics."""

    def __init__(self) -> None:
        self.messages: list[WireStatMessage] = []
        self.connections = 0
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._sockets: set[web.WebSocketResponse] = set()

    async def listen(self, port: int = 0) -> "FakeAutoscaler":
        app = web.Application()
        app.router.add_get("/", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def close(self) -> None:
        for one in list(self._sockets):
            await one.close(code=1012, message=b"Restarting")
        if self._runner is not None:
            await self._runner.cleanup()

    def about(self, revision: str) -> list[Any]:
        return [message.stat for message in self.messages if message.name == revision]

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        one = web.WebSocketResponse()
        await one.prepare(request)
        self.connections += 1
        self._sockets.add(one)
        async for message in one:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.messages += decode_messages(message.data)
        self._sockets.discard(one)
        return one


class World:
    """The cluster as the activator sees it, and the activator."""

    def __init__(self, api_server: ApiServer, client: Client, session: aiohttp.ClientSession, log: Path) -> None:
        self.api_server = api_server
        self.client = client
        self.session = session
        self.log = log
        self.ports = dict(zip((8012, 8013, 8112, 9090), free_ports(4), strict=True))
        self.process: asyncio.subprocess.Process | None = None
        self.closers: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[8012]}"

    async def start_activator(self, *, wait: bool = True, **env: str) -> None:
        settings = {
            **os.environ,
            "KUBECONFIG": str(self.api_server.kubeconfig),
            "POD_NAME": "activator-1",
            "POD_IP": "127.0.0.1",
            "UPWELL_BIND_HOST": "127.0.0.1",
            "UPWELL_PORT_MAP": ",".join(f"{number}={actual}" for number, actual in self.ports.items()),
            "ACTIVATOR_DRAIN_SECONDS": "0.3",
            **env,
        }
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "activator", env=settings, stderr=log
            )
        if wait:
            await self.until_healthy()

    async def until_healthy(self) -> None:
        async with asyncio.timeout(20):
            while await self.health() != 200:
                assert self.process is not None
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)

    async def health(self) -> int:
        return (await self._ask_health())[0]

    async def health_text(self) -> str:
        return (await self._ask_health())[1]

    async def _ask_health(self) -> tuple[int, str]:
        """Status and body; nothing when nobody listens."""
        try:
            async with self.session.get(self.url, headers={"User-Agent": "kube-probe/1.34"}) as response:
                return response.status, await response.text()
        except aiohttp.ClientError:
            return 0, ""

    async def stop_activator(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        process, self.process = self.process, None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        return await asyncio.wait_for(process.wait(), 30)

    async def add_revision(self, name: str, *, concurrency: int = 0, **spec: Any) -> None:
        container = {"image": "upwell.local/app", "ports": [{"containerPort": 8080}]}
        await self.client.create(
            REVISION,
            new_object(
                REVISION,
                NAMESPACE,
                name,
                metadata={"labels": {names.LABEL_SERVICE: "svc"}},
                spec={"containers": [container], "containerConcurrency": concurrency, "timeoutSeconds": 60, **spec},
            ),
        )

    async def add_pod(self, revision: str, pod: FakePod, *, ready: bool = False) -> None:
        """List the pod behind the revision's private Service."""
        await self.add_endpoint(NAMESPACE, f"{revision}-private", f"{pod.port}", {"http": pod.port}, ready=ready)
        self.closers.append(pod.close)

    async def add_endpoint(
        self, namespace: str, service: str, suffix: str, ports: dict[str, int], *, ready: bool = True
    ) -> None:
        await self.client.create(ENDPOINT_SLICE, endpoint_slice(namespace, service, suffix, ports, ready=ready))

    async def set_endpoint(
        self, namespace: str, service: str, suffix: str, ports: dict[str, int], *, ready: bool
    ) -> None:
        await self.client.update(ENDPOINT_SLICE, endpoint_slice(namespace, service, suffix, ports, ready=ready))

    async def remove_pod(self, revision: str, port: int) -> None:
        await self.client.delete(ENDPOINT_SLICE, f"{revision}-private-{port}", NAMESPACE)

    async def add_autoscaler(self, port: int = 0) -> FakeAutoscaler:
        autoscaler = await FakeAutoscaler().listen(port)
        with contextlib.suppress(AlreadyExists):
            await self.add_endpoint(
                names.SYSTEM_NAMESPACE, "autoscaler", f"{autoscaler.port}", {"http": autoscaler.port}
            )
        self.closers.append(autoscaler.close)
        return autoscaler

    async def ask(self, revision: str, path: str = "/", **arguments: Any) -> "Reply":
        headers = {
            names.HEADER_NAMESPACE: NAMESPACE,
            names.HEADER_REVISION: revision,
            "Host": f"{revision}.example.com",
            **arguments.pop("headers", {}),
        }
        method = arguments.pop("method", "GET")
        async with self.session.request(method, self.url + path, headers=headers, **arguments) as response:
            return Reply(response.status, await response.text(), response.headers)

    async def metrics(self) -> str:
        async with self.session.get(f"http://127.0.0.1:{self.ports[9090]}/metrics") as response:
            return await response.text()


class Reply:
    def __init__(self, status: int, text: str, headers: Any) -> None:
        self.status = status
        self.text = text
        self.headers = headers


def endpoint_slice(namespace: str, service: str, suffix: str, ports: dict[str, int], *, ready: bool) -> Object:
    # As Kubernetes copies it from the Service.
    of_revision = {} if namespace == names.SYSTEM_NAMESPACE else {names.LABEL_SKS: service.removesuffix("-private")}
    return new_object(
        ENDPOINT_SLICE,
        namespace,
        f"{service}-{suffix}",
        metadata={"labels": {**of_revision, names.LABEL_SLICE_SERVICE: service}},
        addressType="IPv4",
        ports=[{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()],
        endpoints=[{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
    )


@pytest_asyncio.fixture(name="world")
async def world_fixture(api_server: ApiServer, tmp_path: Path) -> AsyncIterator[World]:
    """An empty cluster; the test starts the activator."""
    client = await Client.connect(str(api_server.kubeconfig))
    connector = aiohttp.TCPConnector(limit=0)
    session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60))
    world = World(api_server, client, session, tmp_path / "activator.log")
    try:
        yield world
    finally:
        if world.process is not None:
            await world.stop_activator(signal.SIGKILL)
        for close in world.closers:
            await close()
        for resource in (REVISION, CORE_SERVICE, ENDPOINT_SLICE):
            for obj in (await client.list(resource))[0]:
                metadata = obj["metadata"]
                await client.delete(resource, metadata["name"], metadata.get("namespace", ""))
        await session.close()
        await client.close()
        print(world.log.read_text() if world.log.exists() else "")
