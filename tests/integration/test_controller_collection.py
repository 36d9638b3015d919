"""Old revisions of a running controller's Services go, and those that are needed stay."""

from tests.integration.autoscaler_world import server_fixture  # noqa: F401  # the API server
from tests.integration.controller_world import NAMESPACE, World, world_fixture  # noqa: F401
from tests.waiting import eventually
from upwell.api.objects import name_of
from upwell.api.resources import CONFIG_MAP, REVISION


async def revisions(world: World) -> list[str]:
    return sorted(name_of(revision) for revision in (await world.client.list(REVISION, NAMESPACE))[0])


async def roll(world: World, *commands: str) -> None:
    for generation, command in enumerate(commands, 1):
        await world.apply(command=command)
        await world.ready(generation=generation)


async def test_revisions_out_of_use_go_by_number_and_by_the_clock(world: World) -> None:
    await world.configure(
        "config-gc", min_non_active_revisions="1", max_non_active_revisions="2", retain_since_create_time="1h"
    )
    world.start_controller()
    await roll(world, "one", "two", "three", "four")

    async def settled(*names: str) -> bool:
        return await revisions(world) == list(names)

    await eventually(lambda: settled("app-00002", "app-00003", "app-00004"))

    # From here on nothing changes but the time: those that are left grow stale a second from now.
    data = {"retain-since-create-time": "2s", "retain-since-last-active-time": "2s"}
    await world.client.patch(CONFIG_MAP, "config-gc", "knative-serving", {"data": data})
    await eventually(lambda: settled("app-00003", "app-00004"))
    ready = await world.ready(generation=4)
    assert ready["status"]["latestReadyRevisionName"] == "app-00004"


async def test_a_revision_in_somebodys_traffic_stays_whatever_its_age(world: World) -> None:
    await world.configure(
        "config-gc",
        min_non_active_revisions="0",
        max_non_active_revisions="0",
        retain_since_create_time="0s",
        retain_since_last_active_time="0s",
    )
    world.start_controller()
    tagged = [{"latestRevision": True, "percent": 100}, {"revisionName": "app-00001", "percent": 0, "tag": "old"}]
    await world.apply(command="one")
    await world.ready()
    await world.apply(command="two", traffic=tagged)
    await world.ready(generation=2)
    await world.apply(command="three")
    await world.ready(generation=3)

    async def second_is_gone() -> bool:
        return await revisions(world) == ["app-00001", "app-00003"]

    await eventually(second_is_gone)

    await world.apply(command="three", traffic=[{"latestRevision": True, "percent": 100}])

    async def only_the_latest() -> bool:
        return await revisions(world) == ["app-00003"]

    await eventually(only_the_latest)
