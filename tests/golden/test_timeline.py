"""Which state follows which, as on a real cluster; `tests.golden.replay` says what of it is ours and what is played."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from controller.controllers import Controllers
from tests.golden.conftest import load
from tests.golden.recorded_world import World
from tests.golden.replay import Replay
from upwell.clock import FakeClock
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.runtime import running

RECORDS = load("timeline.json")


@pytest.mark.parametrize("case", RECORDS["cases"], ids=lambda case: case["name"])
async def test_states_follow_one_another_as_recorded(case: Mapping[str, Any], client: Client) -> None:
    world = World(client, case)
    await world.prepare(RECORDS["baseline_config"])
    clock = FakeClock(time.time())
    controllers = Controllers(client, ConfigMaps(client, "knative-serving"), clock)
    replay = Replay(client, case, clock)
    try:
        async with running({**controllers.running(), **replay.watching()}):
            await controllers.wait_synced()
            async with running(controllers.acting()):
                differing = await replay.differences()
    finally:
        await world.restore()
    assert not differing, "\n".join(differing)
