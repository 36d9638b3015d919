"""Which state follows which, as on a real cluster; `tests.golden.replay` says what of it is ours and what is played."""

import asyncio
import gc
import time
from collections.abc import Mapping
from typing import Any

import pytest

from activator.config import ActivatorConfig
from activator.sks_reconciler import ServerlessServices
from activator.watching import Watched
from autoscaler.application import Autoscaler
from autoscaler.config import ProcessConfig
from controller.controllers import Controllers
from tests.golden.conftest import load
from tests.golden.played_traffic import Traffic
from tests.golden.recorded_run import State, is_within
from tests.golden.recorded_world import World
from tests.golden.replay import Replay
from tests.integration.autoscaler_world import free_ports
from upwell.api.names import PORT_METRICS, PORT_STAT_SERVER, SYSTEM_NAMESPACE
from upwell.clock import Clock, FakeClock
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.runtime import running

RECORDS = load("timeline.json")


@pytest.mark.parametrize("case", RECORDS["cases"], ids=lambda case: case["name"])
async def test_states_follow_one_another_as_recorded(case: Mapping[str, Any], client: Client) -> None:
    world = World(client, case)
    await world.prepare(RECORDS["baseline_config"])
    clock = FakeClock(time.time())
    ports = dict(zip((PORT_STAT_SERVER, PORT_METRICS), free_ports(2), strict=True))
    traffic = Traffic(ports[PORT_STAT_SERVER])
    await traffic.start()
    controllers = Controllers(client, ConfigMaps(client, SYSTEM_NAMESPACE), clock)
    replay = Replay(client, case, traffic, clock)
    stop = asyncio.Event()
    others = {"autoscaler": autoscaler(client, ports, clock).run(stop), **flips(client, clock)}
    try:
        async with running({**controllers.running(), **replay.watching(), **others}):
            await controllers.wait_synced()
            await replay.prepare()
            async with running(controllers.acting()):
                differing = await replay.differences()
                await replay.clear()
    finally:
        await traffic.stop()
        await world.restore()
        gc.unfreeze()  # the autoscaler took this process for its own
    assert not differing, "\n".join(differing)


@pytest.mark.parametrize(
    ("ours", "agrees"),
    [
        ("abca", True),
        ("aca", True),
        ("aba", False),
        ("abcca", False),
        ("abcad", False),
        ("abc", False),
        ("bca", False),
    ],
)
def test_nothing_but_brief_states_may_be_missing(ours: str, agrees: bool) -> None:
    states = [State(0, "a"), State(1, "b", is_brief=True), State(1.2, "c"), State(3, "a")]

    assert is_within(list(ours), states) == agrees


def test_states_around_a_brief_one_that_is_missing_are_one() -> None:
    states = [State(0, "a"), State(1, "b", is_brief=True), State(1.2, "a")]

    assert is_within(["a"], states)


def autoscaler(client: Client, ports: Mapping[int, int], clock: Clock) -> Autoscaler:
    env = {
        "POD_NAME": "autoscaler-0",
        "POD_IP": "127.0.0.1",
        "UPWELL_BIND_HOST": "127.0.0.1",
        "UPWELL_PORT_MAP": ",".join(f"{number}={actual}" for number, actual in ports.items()),
        "STATEFUL_CONTROLLER_ORDINAL": "autoscaler-0",
        "STATEFUL_SERVICE_NAME": "autoscaler",
    }
    return Autoscaler(ProcessConfig.from_env(env), client, clock)


def flips(client: Client, clock: Clock) -> dict[str, Any]:
    """What an activator does about ServerlessServices."""
    env = {"POD_NAME": "activator-0", "POD_IP": "127.0.0.1"}
    config = ActivatorConfig.from_env(env)
    watched = Watched(client, config, clock)
    services = ServerlessServices(
        client,
        watched.serverless_services,
        watched.services,
        watched.endpoints,
        system_namespace=config.system_namespace,
        identity=config.pod_name,
        clock=clock,
    )
    return {**{f"activator's copy of {name}": task for name, task in watched.tasks().items()}, "flips": services.run()}
