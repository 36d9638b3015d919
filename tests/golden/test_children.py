"""What the controller makes of Services, Configurations and Routes, as a real cluster's did.

`gaps_children.txt` names the cases in which we still differ; it may only get shorter: a case listed there that passes
fails the test too. Images, metrics and what stands behind the revisions' Services are others' work, and not compared.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from controller.controllers import Controllers
from tests.golden.conftest import load
from tests.golden.recorded_world import World
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.runtime import running

GAPS = frozenset(Path(__file__).with_name("gaps_children.txt").read_text().splitlines())
RECORDS = load("children.json")
SECONDS_TO_SETTLE = 10.0
SECONDS_FOR_A_GAP = 1.0


@pytest.fixture(scope="module", name="kubeconfig")
def kubeconfig_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of an embedded API server of our own."""
    folder = tmp_path_factory.mktemp("api")
    command = [sys.executable, "-m", "upwell.local.apiserver", "--port", "0", "--logs-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "test", "user": {}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        yield path
        process.terminate()


@pytest_asyncio.fixture(name="client")
async def client_fixture(kubeconfig: Path) -> AsyncIterator[Client]:
    client = await Client.connect(str(kubeconfig))
    yield client
    await client.close()


@pytest.mark.parametrize("case", RECORDS["cases"], ids=lambda case: case["name"])
async def test_children_are_as_recorded(case: Mapping[str, Any], client: Client) -> None:
    world = World(client, case)
    await world.prepare(RECORDS["baseline_config"])
    controllers = Controllers(client, ConfigMaps(client, "knative-serving"))
    try:
        async with running(controllers.running()):
            await controllers.wait_synced()
            async with running(controllers.acting()):
                differing = await differences(world, case)
    finally:
        await world.restore()

    if case["name"] in GAPS:
        assert differing, "listed as a gap, but passes: take it off the list"
    else:
        assert not differing, "\n".join(differing)


def test_the_list_of_gaps_names_recorded_cases() -> None:
    assert {case["name"] for case in RECORDS["cases"]} >= GAPS


async def differences(world: World, case: Mapping[str, Any]) -> list[str]:
    """Of the first step that did not come out as recorded."""
    seconds = SECONDS_FOR_A_GAP if case["name"] in GAPS else SECONDS_TO_SETTLE
    for number, step in enumerate(case["steps"]):
        try:
            await world.take(step)
        except KeyError:
            return [f"step {number}: a kind that we do not serve"]
        if "want" not in step:
            continue
        found = await settled(world, step["want"], seconds)
        if found:
            return [f"step {number}: {line}" for line in found]
    return []


async def settled(world: World, want: Mapping[str, Any], seconds: float) -> list[str]:
    """The differences that are left when everything has come to rest."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        await world.play()
        found = await world.differences(want)
        if not found or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.02)
