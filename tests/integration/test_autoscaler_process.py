"""The autoscaler as a process: its port, its settings, its leader, its start, its end, and a lost API server."""

import asyncio
import signal
import subprocess
import sys

import aiohttp
import pytest

from tests.integration.autoscaler_world import World, free_ports, server_fixture, world_fixture
from tests.waiting import eventually
from upwell.api import names
from upwell.api.objects import name_of, new_object
from upwell.api.resources import LEASE, POD
from upwell.api.stat import Stat, WireStatMessage, encode_messages

__all__ = ["server_fixture", "world_fixture"]

PAUSE = {"containers": [{"name": "pause", "image": "upwell.local/autoscaler"}]}
REFUSED = "upwell_autoscaler_stats_refused_total"


async def test_statistics_that_cannot_be_read_or_be_true_are_counted_and_the_connection_goes_on(world: World) -> None:
    await world.start()
    absurd = [WireStatMessage("default", "hello", Stat("activator", value)) for value in (float("nan"), -1.0, 1e300)]

    async with world.websocket() as activator:
        await activator.send_bytes(b"\xff\xff")
        await activator.send_str("hello")
        await activator.send_bytes(encode_messages([*absurd, WireStatMessage("default", "hello", None)]))
        await activator.send_bytes(world.report("hello", 1))
        await eventually(
            lambda: world.metric("upwell_autoscaler_stats_received_total"), lambda found: found == 1, seconds=10
        )

    assert await world.metric(f'{REFUSED}{{reason="undecodable"}}') == 1
    assert await world.metric(f'{REFUSED}{{reason="not binary"}}') == 1
    assert await world.metric(f'{REFUSED}{{reason="implausible"}}') == 3


async def test_a_kubelet_is_answered_on_any_path_and_a_strange_bucket_is_not_upgraded(world: World) -> None:
    await world.start()
    url = f"http://127.0.0.1:{world.ports[8080]}/any/path"

    async with world.session.get(url, headers={names.HEADER_KUBELET_PROBE: "queue"}) as response:
        assert response.status == 200
    async with world.session.get(url) as response:
        assert response.status == 400
    host = {"Host": "autoscaler-bucket-07-of-09.knative-serving.svc:8080"}
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await world.session.ws_connect(f"ws://127.0.0.1:{world.ports[8080]}/", headers=host)


async def test_on_sigterm_activators_are_sent_elsewhere_and_the_lease_is_given_back(world: World) -> None:
    await world.start()
    await eventually(lambda: leader(world), seconds=10)

    async with world.websocket() as activator:
        ending = asyncio.create_task(world.stop())
        message = await activator.receive(10)
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1012, "Restarting")
    assert await ending == 0
    assert await leader(world) == ""


async def test_only_one_of_two_acts_and_the_other_takes_over(world: World) -> None:
    await world.config("config-leader-election", lease_duration="2s", renew_deadline="1500ms", retry_period="200ms")
    await world.client.create(POD, new_object(POD, names.SYSTEM_NAMESPACE, "autoscaler-1", spec=PAUSE))
    await world.start()
    first = world.process
    world.ports = dict(zip((8080, 9090), free_ports(2), strict=True))
    await world.start(POD_NAME="autoscaler-2")
    try:
        assert await leader(world) == "autoscaler-1_127.0.0.1"
        assert first is not None
        first.send_signal(signal.SIGKILL)
        await first.wait()
        world.play.load = 100
        await world.add_revision("taken-over", target="10", max_scale="3")

        await world.until_replicas(3)
        assert await leader(world) == "autoscaler-2_127.0.0.1"
    finally:
        if first is not None and first.returncode is None:
            first.kill()


async def test_a_bad_config_map_is_refused_live_and_the_last_good_one_stays(world: World) -> None:
    await world.config("config-autoscaler", max_scale="3")
    await world.start()
    world.play.load = 1000
    await world.add_revision("bounded", target="10")
    await world.until_replicas(3)

    await world.config("config-autoscaler", max_scale="5", stable_window="1s")
    await eventually(lambda: "stable-window = 1s, must be in [6s; 1h0m0s] range" in world.log.read_text(), seconds=10)
    assert world.play.replicas[-1] == 3

    await world.config("config-autoscaler", max_scale="5")
    await world.until_replicas(5)


def test_it_says_in_one_line_what_is_missing_and_explains_itself() -> None:
    env = {"PATH": "/usr/bin", "UPWELL_PORT_MAP": "8080"}
    failed = subprocess.run(
        [sys.executable, "-m", "autoscaler"], capture_output=True, text=True, env=env, check=False, timeout=30
    )
    lines = failed.stderr.strip().splitlines()
    assert (failed.returncode, len(lines)) == (1, 1)
    for what in ("POD_NAME", "POD_IP", "UPWELL_PORT_MAP"):
        assert what in lines[0]

    explained = subprocess.run(
        [sys.executable, "-m", "autoscaler", "--help"], capture_output=True, text=True, check=True, timeout=30
    )
    assert "POD_NAME" in explained.stdout


async def leader(world: World) -> str:
    leases, _ = await world.client.list(LEASE, names.SYSTEM_NAMESPACE)
    holders = {name_of(lease): lease["spec"].get("holderIdentity") or "" for lease in leases}
    return holders.get("autoscaler-bucket-00-of-01", "")
