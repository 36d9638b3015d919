"""EndpointSlices as Kubernetes delivers them: a Service's pods in several, which come, go and overlap in any order."""

import asyncio

from tests.integration.activator_world import NAMESPACE, FakePod, World, api_server_fixture, world_fixture
from tests.integration.test_activator_endpoints import ACTIVATORS, PublicAddress, add_sks
from tests.waiting import eventually
from upwell.api import names
from upwell.api.resources import ENDPOINT_SLICE, ENDPOINTS

__all__ = ["api_server_fixture", "world_fixture"]


async def test_pods_that_move_between_slices_are_served_all_the_while(world: World) -> None:
    """Kubernetes keeps a Service's pods in several slices, and moves them about in no order that is told."""
    pods = [await FakePod(ready=True).listen() for _ in range(3)]
    await world.add_endpoint(names.SYSTEM_NAMESPACE, "activator-service", "a", ACTIVATORS)
    await world.add_revision("pieces")
    for pod in pods:
        await world.add_pod("pieces", pod, ready=True)
    await world.start_activator()
    await add_sks(world, "pieces", mode="Serve")
    everyone = {pod.port for pod in pods}
    statuses: list[int] = []

    async def ask_always() -> None:
        while True:
            statuses.append((await world.ask("pieces")).status)

    async with PublicAddress(world, "pieces") as address:
        await eventually(lambda: address.ports == everyone)
        before = len(address.history)
        asking = [asyncio.create_task(ask_always(), name=f"client {number}") for number in range(4)]
        for number in range(4):
            moved = pods[number % 3]
            # First both slices list it, then the new one alone, and then none for a while, as when caches are behind.
            await world.add_endpoint(NAMESPACE, "pieces-private", f"moved-{number}", {"http": moved.port})
            await world.remove_pod("pieces", moved.port)
            await world.client.delete(ENDPOINT_SLICE, f"pieces-private-moved-{number}", NAMESPACE)
            await world.add_endpoint(NAMESPACE, "pieces-private", str(moved.port), {"http": moved.port})
        await eventually(lambda: address.ports == everyone)
        count = len(statuses)
        await eventually(lambda: len(statuses) > count + 20)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

        assert set(statuses) == {200}
        assert all(len(ports) >= 2 for ports in address.history[before:])
    await eventually(lambda: all_endpoints_ports(world, "pieces"), lambda found: found == everyone)


async def test_all_slices_at_once_replaced_by_others_lead_to_the_activators_in_between_and_back(world: World) -> None:
    await world.add_endpoint(names.SYSTEM_NAMESPACE, "activator-service", "a", ACTIVATORS)
    for port in (31001, 31002):
        await world.add_endpoint(NAMESPACE, "anew-private", str(port), {"http": port})
    await world.start_activator()
    await add_sks(world, "anew", mode="Serve")

    async with PublicAddress(world, "anew") as address:
        await eventually(lambda: address.ports == {31001, 31002})
        for port in (31001, 31002):
            await world.remove_pod("anew", port)
        await eventually(lambda: address.ports == {30012})
        for port in (31002, 31001, 31003):
            await world.add_endpoint(NAMESPACE, "anew-private", f"new-{port}", {"http": port})
        await eventually(lambda: address.ports == {31001, 31002, 31003})

        assert all(address.history)
    await eventually(lambda: all_endpoints_ports(world, "anew"), lambda found: found == {31001, 31002, 31003})


async def all_endpoints_ports(world: World, name: str) -> set[int]:
    found = await world.client.get(ENDPOINTS, name, NAMESPACE)
    return {port["port"] for subset in found["subsets"] for port in subset["ports"] if port["name"] == "http"}
