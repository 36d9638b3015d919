"""What the controller makes of Services, Configurations and Routes, as a real cluster's did.

Images, metrics and what stands behind the revisions' Services are others' work, and not compared.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from controller.controllers import Controllers
from tests.golden.conftest import load
from tests.golden.recorded_world import World
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.runtime import running

RECORDS = load("children.json")
SECONDS_TO_SETTLE = 10.0


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

    assert not differing, "\n".join(differing)


async def differences(world: World, case: Mapping[str, Any]) -> list[str]:
    """Of the first step that did not come out as recorded."""
    for number, step in enumerate(case["steps"]):
        try:
            await world.take(step)
        except KeyError:
            return [f"step {number}: a kind that we do not serve"]
        if "want" not in step:
            continue
        found = await settled(world, step["want"])
        if found:
            return [f"step {number}: {line}" for line in found]
    return []


async def settled(world: World, want: Mapping[str, Any]) -> list[str]:
    """The differences that are left when everything has come to rest."""
    deadline = asyncio.get_running_loop().time() + SECONDS_TO_SETTLE
    while True:
        await world.play()
        found = await world.differences(want)
        if not found or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.02)
