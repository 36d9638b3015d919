"""A world for the gateway: an API server, a gateway and backends, each a process of its own, on loopback."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.unit.gateway.builders import service, slices
from tests.waiting import eventually
from upwell.api.objects import Object, mutable
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, INGRESS, NAMESPACE
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError, NotFound


class Process:
    """A child that speaks one line when it is up; the rest of what it says is in a file."""

    def __init__(self, name: str, folder: Path, *arguments: str, env: Mapping[str, str] | None = None, fds: Any = ()):
        self.errors = folder / f"{name}.log"
        with self.errors.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(env or {})},
                pass_fds=fds,
                cwd=Path(__file__).parents[2],
            )

    async def line(self) -> str:
        assert self.process.stdout is not None
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line, self.errors.read_text()
        return line.decode().strip()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = await asyncio.to_thread(self.process.wait, 30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.errors.read_text().splitlines()]


class Backend:
    """One endpoint that can be killed and started again on its port."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.port = 0

    async def start(self) -> "Backend":
        self.process = self.world.spawn(self.name, "tests.integration.gateway_backend", self.name, str(self.port))
        self.port = int(await self.process.line())
        return self

    async def kill(self) -> None:
        await self.process.end(signal.SIGKILL)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


class World:
    """Everything; ends what it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self.api_port = 0
        self.api: Process
        self.client: Client
        self.gateway: Process
        self.port = 0
        self.local_port = 0
        self.admin_port = 0
        self.http: aiohttp.ClientSession

    def spawn(self, name: str, *arguments: str, **options: Any) -> Process:
        process = Process(name, self.folder, *arguments, **options)
        self.processes.append(process)
        return process

    async def start_api(self) -> None:
        self.api = self.spawn(
            "apiserver", "upwell.local.apiserver", "--port", str(self.api_port), "--db", str(self.folder / "state.db")
        )
        self.api_port = json.loads(await self.api.line())["port"]

    async def start_gateway(self, listen_fd: int | None = None, **env: str) -> None:
        variables = {
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "UPWELL_BIND_HOST": "127.0.0.1",
            "UPWELL_PORT_MAP": f"8080={self.port},8081={self.local_port},9090={self.admin_port}",
            "UPWELL_GATEWAY_DRAIN_DELAY": "0",
            **env,
        }
        if listen_fd is not None:
            variables["UPWELL_LISTEN_FDS"] = f"8080={listen_fd}"
        fds = () if listen_fd is None else (listen_fd,)
        self.gateway = self.spawn("gateway", "gateway", env=variables, fds=fds)

    async def ready(self) -> None:
        async def look() -> bool:
            assert self.gateway.process.poll() is None, self.gateway.errors.read_text()
            return await self.healthz() == 200

        await eventually(look)

    async def healthz(self) -> int:
        try:
            async with self.http.get(f"http://127.0.0.1:{self.admin_port}/healthz") as response:
                return response.status
        except aiohttp.ClientError:
            return 0

    async def metrics(self) -> str:
        async with self.http.get(f"http://127.0.0.1:{self.admin_port}/metrics") as response:
            return await response.text()

    # What the control plane would write

    async def backend(self, name: str) -> Backend:
        return await Backend(self, name).start()

    async def serve(self, name: str, *backends: Backend, ready: bool = True) -> None:
        """A Service and its endpoints."""
        await self.apply(CORE_SERVICE, service(name))
        wanted = slices(name, *(backend.address for backend in backends), ready=ready)
        names = {obj["metadata"]["name"] for obj in wanted}
        for obj in wanted:
            await self.apply(ENDPOINT_SLICE, obj)
        labels = f"kubernetes.io/service-name={name}"
        for old in (await self.client.list(ENDPOINT_SLICE, "default", labels=labels))[0]:
            if old["metadata"]["name"] not in names:
                await self.client.delete(ENDPOINT_SLICE, old["metadata"]["name"], "default")

    async def apply(self, resource: Any, obj: Object) -> Object:
        obj = mutable(obj)
        try:
            known = await self.client.get(resource, obj["metadata"]["name"], "default")
        except NotFound:
            return await self.client.create(resource, obj)
        obj["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"]
        obj["metadata"]["generation"] = known["metadata"].get("generation", 1)
        return await self.client.update(resource, obj)

    async def route(self, obj: Object) -> Object:
        """Apply an Ingress and wait until the gateway has said something about this generation."""
        written = await self.apply(INGRESS, obj)

        async def observed() -> Object | None:
            found = await self.client.get(INGRESS, obj["metadata"]["name"], "default")
            generation = (found.get("status") or {}).get("observedGeneration")
            return found if generation == written["metadata"]["generation"] else None

        found = await eventually(observed)
        assert found is not None
        return found

    # What clients do

    async def get(
        self, host: str, path: str = "/", port: int = 0, **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        sent = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        url = f"http://127.0.0.1:{port or self.port}{path}"
        async with self.http.get(url, headers=sent, timeout=aiohttp.ClientTimeout(total=30)) as response:
            data = await response.read()
            parsed = json.loads(data) if response.content_type == "application/json" else data.decode()
            return response.status, parsed, response.headers

    @asynccontextmanager
    async def load(self, host: str, clients: int = 8) -> AsyncIterator[list[tuple[int, str]]]:
        """Clients that ask again and again during the block; (status, who answered), or (0, error) for each."""
        seen: list[tuple[int, str]] = []
        over = asyncio.Event()

        async def ask() -> None:
            while not over.is_set():
                try:
                    status, content, _ = await self.get(host)
                    seen.append((status, content["name"] if status == 200 else content))
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    seen.append((0, repr(error)))

        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(ask(), name=f"client {number}")
            try:
                yield seen
            finally:
                over.set()

    async def more(self, seen: list[Any], count: int = 100) -> None:
        """Return when `count` more requests of a load are answered."""
        target = len(seen) + count

        async def enough() -> bool:
            return len(seen) >= target

        await eventually(enough, seconds=60)


@asynccontextmanager
async def world(folder: Path, *, gateway: bool = True, **env: Any) -> AsyncIterator[World]:
    """A world with an API server, and with a ready gateway if wanted."""
    here = World(folder)
    here.port, here.local_port, here.admin_port = free_ports(3)
    connector = aiohttp.TCPConnector(limit=0)
    here.http = aiohttp.ClientSession(connector=connector)
    try:
        await here.start_api()
        here.client = await Client.connect(_kubeconfig(folder / "kubeconfig", here.api_port))
        await _namespace(here.client)
        if gateway:
            await here.start_gateway(**env)
            await here.ready()
        yield here
    finally:
        await here.http.close()
        for process in reversed(here.processes):
            await process.end(signal.SIGKILL)
        await here.client.close()


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports


def _kubeconfig(path: Path, port: int) -> str:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


async def _namespace(client: Client) -> None:
    try:
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    except ApiError:
        pass  # there is one
