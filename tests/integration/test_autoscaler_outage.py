"""An API server that goes away: the autoscaler waits, takes nothing down, and goes on when it is back."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.activator_world import free_ports
from tests.integration.autoscaler_world import World, world_fixture

__all__ = ["world_fixture"]


class Server:
    """An embedded API server whose objects outlive it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        self.process = subprocess.Popen(
            [sys.executable, "-m", "upwell.local.apiserver", *words], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline())["port"] == self.port

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(name="api_server")
def api_server_fixture(server: Server) -> Path:
    return server.kubeconfig


async def test_an_outage_takes_nothing_down_and_is_caught_up_with(world: World, server: Server) -> None:
    await world.start()
    world.play.load = 14
    await world.add_revision("steady", target="10", target_burst_capacity="0")
    await world.until_replicas(2)
    await world.until("steady", "Active", "True")

    server.stop()
    await asyncio.sleep(3)  # the length of the outage; nothing is waited for
    server.start()
    world.play.load = 28

    await world.until_replicas(4, seconds=40)
    assert world.play.replicas == sorted(world.play.replicas)
    assert world.process is not None
    assert world.process.returncode is None
