"""An API server that goes away: the autoscaler waits, takes nothing down, and goes on when it is back."""

import asyncio

from tests.integration.autoscaler_world import Server, World, server_fixture, world_fixture

__all__ = ["server_fixture", "world_fixture"]


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
