"""The activator's port for profiles."""

import aiohttp

from tests.integration.activator_world import World, api_server_fixture, free_ports, world_fixture
from tests.integration.test_activator_observed import configure
from tests.waiting import eventually

__all__ = ["api_server_fixture", "world_fixture"]


async def test_profiles_can_be_taken_while_the_settings_say_so(world: World) -> None:
    (world.ports[8008],) = free_ports(1)

    async def status(path: str = "") -> int:
        url = f"http://127.0.0.1:{world.ports[8008]}/debug/pprof/{path}"
        try:
            async with world.session.get(url, headers={"Connection": "close"}) as response:
                return response.status
        except aiohttp.ClientConnectionError:
            return 0

    await world.start_activator()
    assert await status() == 0

    await configure(world, runtime_profiling="enabled")
    await eventually(status)
    assert await status("profile?seconds=0.1") == 200
    assert await status("heap?seconds=no") == 400

    await configure(world, runtime_profiling="disabled")
    await eventually(status, lambda found: not found)
