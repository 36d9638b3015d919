"""A real API server and a real runtime in a folder of their own, and what tests ask of them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually
from upwell.api.objects import Object, new_object
from upwell.api.resources import CORE_SERVICE, DEPLOYMENT, ENDPOINT_SLICE, POD
from upwell.cluster.client import Client
from upwell.cluster.errors import NotFound
from upwell.local import manifests
from upwell.local.platform import Platform
from upwell.local.processes import identity_of

SERVER = """
import os, signal, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("ANSWER", "hello").encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
print("listening", flush=True)
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def app(script: str = SERVER, **fields: Any) -> Object:
    """A container that runs a Python script on port 8080."""
    return {
        "name": "app",
        "command": python(script),
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}},
        **fields,
    }


class World:
    """A platform without the components: only the API server and the runtime."""

    def __init__(self, platform: Platform, root: Path) -> None:
        self.platform = platform
        self.root = root

    @property
    def client(self) -> Client:
        return self.platform.client

    async def deploy(self, name: str, *containers: Object, replicas: int = 1, **spec: Any) -> None:
        labels = {"app": name}
        pod_spec = {"terminationGracePeriodSeconds": 5, "containers": list(containers), **spec}
        template = {"metadata": {"labels": labels}, "spec": pod_spec}
        fields = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        await self.client.create(DEPLOYMENT, new_object(DEPLOYMENT, "default", name, spec=fields))

    async def serve(self, name: str) -> None:
        """A Service in front of the Deployment of that name."""
        spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
        await self.client.create(CORE_SERVICE, new_object(CORE_SERVICE, "default", name, spec=spec))

    async def change(self, name: str, **spec: Any) -> None:
        await self.client.patch(DEPLOYMENT, name, "default", {"spec": spec})

    async def deployment(self, name: str) -> Object:
        return await self.client.get(DEPLOYMENT, name, "default")

    async def pods(self, name: str) -> list[Object]:
        return (await self.client.list(POD, "default", labels=f"app={name}"))[0]

    async def only_pod(self, name: str) -> Object:
        async def one() -> list[Object]:
            return await self.pods(name)

        return (await eventually(one))[0]

    async def ready_pods(self, name: str, count: int) -> list[Object]:
        """The pods of a Deployment once exactly `count` are there and all of them are ready."""

        async def look() -> list[Object] | bool:
            pods = await self.pods(name)
            return len(pods) == count and all(map(is_ready, pods)) and (pods or True)

        found = await eventually(look)
        return found if isinstance(found, list) else []

    async def slices(self, name: str) -> list[Object]:
        return (await self.client.list(ENDPOINT_SLICE, "default", labels=f"kubernetes.io/service-name={name}"))[0]

    async def waiting_reason(self, name: str) -> tuple[str, str]:
        """Reason and message of a container that waits with a reason of its own."""

        async def look() -> tuple[str, str] | None:
            for pod in await self.pods(name):
                for status in (pod.get("status") or {}).get("containerStatuses") or ():
                    waiting = status["state"].get("waiting", {})
                    if waiting.get("reason") not in (None, "ContainerCreating"):
                        return waiting["reason"], waiting.get("message", "")
            return None

        found = await eventually(look)
        assert found is not None
        return found

    async def remove(self, name: str) -> None:
        """Delete a Deployment and its Service and wait until nothing is left of them."""
        for resource in (DEPLOYMENT, CORE_SERVICE):
            try:
                await self.client.delete(resource, name, "default")
            except NotFound:
                pass

        async def gone() -> bool:
            return not await self.pods(name)

        await eventually(gone)

    def process_of(self, pod: Object, container: str = "app") -> int:
        """The id of a container's process; 0 when there is none."""
        wanted = f"default/{pod['metadata']['name']}/{container}"
        return self.ledger().get(wanted, 0)

    def ledger(self) -> dict[str, int]:
        found = {}
        for path in (self.root / "processes").rglob("*.json"):
            try:
                entry = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            if identity_of(entry["pid"]) == entry["identity"]:
                found[entry["name"]] = entry["pid"]
        return found


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def port_of(slice_: Object) -> int:
    return int(slice_["ports"][0]["port"])


async def get(port: int, path: str = "/") -> str:
    """The body of an answer on loopback."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2].decode()


@asynccontextmanager
async def world(root: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Start, supervise and stop API server and runtime."""
    monkeypatch.setattr(manifests, "COMPONENTS", ())
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("SECRET_OF_THE_DEVELOPER", "x")
    platform = Platform(root, gateway_port=0)
    try:
        await platform.start()
        supervising = asyncio.create_task(platform.run())
        yield World(platform, root)
        supervising.cancel()
        await asyncio.gather(supervising, return_exceptions=True)
    finally:
        await platform.stop()
