"""A real autoscaler process: up with the load, down to zero in the contract's steps, up again on a request."""

import asyncio
import signal
import time

from tests.integration.autoscaler_world import World, server_fixture, world_fixture

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
    async with asyncio.timeout(20):
        while ((await world.autoscaler("busy"))["status"].get("actualScale")) != 4:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

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

    async with asyncio.timeout(20):
        while world.play.probes < probes + 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert world.play.replicas == [1]
    world.play.proving = True
    await world.until_replicas(0)


async def test_a_killed_autoscaler_comes_back_and_scales_nothing_down(world: World) -> None:
    await world.start()
    world.play.load = 30
    await world.add_revision("loaded", target="10", window="6s", target_burst_capacity="0")
    await world.until_replicas(5)  # 30 / (10 x 0.7), rounded up
    await world.until("loaded", "Active", "True")
    async with asyncio.timeout(10):
        while world.play.modes != ["Proxy", "Serve"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    await world.stop(signal.SIGKILL)
    await world.start()
    scrapes = world.play.scrapes
    async with asyncio.timeout(30):
        while world.play.scrapes < scrapes + 5 * 8:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    assert max(world.play.replicas) == world.play.replicas[-1] == 5
    assert world.play.replicas == sorted(world.play.replicas)
    assert world.play.modes == ["Proxy", "Serve"]
