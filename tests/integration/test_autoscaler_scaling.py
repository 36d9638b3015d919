"""A real autoscaler process: up with the load, down to zero in the contract's steps, up again on a request."""

import signal
import time

from tests.integration.autoscaler_world import World, server_fixture, world_fixture
from tests.waiting import eventually

__all__ = ["server_fixture", "world_fixture"]


async def test_a_quiet_revision_goes_to_zero_and_wakes_on_a_report(world: World) -> None:
    await world.config("config-autoscaler", scale_to_zero_grace_period="2s")
    await world.start()
    await world.add_revision("quiet", window="6s", target_burst_capacity="0")
    await world.until("quiet", "Active", "True")

    await world.until("quiet", "Active", "False NoTraffic")
    assert world.play.replicas == [1]
    await world.until_replicas(0)
    assert world.play.modes == ["Proxy", "Serve", "Proxy"]

    async with world.websocket() as activator:
        sent = time.monotonic()
        await activator.send_bytes(world.report("quiet", 1))
        await world.until_replicas(1)
        seen = time.monotonic() - sent
        await world.until("quiet", "Active", "True")
    assert world.play.probes >= 1
    written = await world.metric("upwell_autoscaler_poke_to_scale_seconds_sum")
    print(f"report to scale: {written * 1000:.1f} ms inside the autoscaler, {seen * 1000:.1f} ms seen outside")
    assert await world.metric("upwell_autoscaler_poke_to_scale_seconds_count") == 1


async def test_load_brings_pods_within_the_maximum_and_the_status_says_so(world: World) -> None:
    await world.start()
    world.play.load = 100
    await world.add_revision("busy", target="10", max_scale="4")

    await world.until_replicas(4)
    await eventually(lambda: world.autoscaler("busy"), lambda found: found["status"].get("actualScale") == 4)

    status = (await world.autoscaler("busy"))["status"]
    assert status["desiredScale"] == 4
    assert status["serviceName"] == "busy"
    assert status["metricsServiceName"] == "busy-private"
    assert await world.condition("busy", "Ready") == "True"


async def test_without_proof_of_the_activator_the_last_pod_stays(world: World) -> None:
    await world.config("config-autoscaler", scale_to_zero_grace_period="1s")
    world.play.proving = False
    await world.start()
    await world.add_revision("unproven", window="6s")
    await world.until("unproven", "Active", "False NoTraffic", seconds=40)
    probes = world.play.probes

    await eventually(lambda: world.play.probes >= probes + 3)
    assert world.play.replicas == [1]
    world.play.proving = True
    await world.until_replicas(0)


async def test_a_killed_autoscaler_comes_back_and_scales_nothing_down(world: World) -> None:
    await world.start()
    world.play.load = 30
    await world.add_revision("loaded", target="10", window="6s", target_burst_capacity="0")
    await world.until_replicas(5)  # 30 / (10 x 0.7), rounded up
    await world.until("loaded", "Active", "True")
    await eventually(lambda: world.play.modes == ["Proxy", "Serve"], seconds=10)

    await world.stop(signal.SIGKILL)
    await world.start()
    scrapes = world.play.scrapes
    await eventually(lambda: world.play.scrapes >= scrapes + 5 * 8, seconds=30)

    assert max(world.play.replicas) == world.play.replicas[-1] == 5
    assert world.play.replicas == sorted(world.play.replicas)
    assert world.play.modes == ["Proxy", "Serve"]
