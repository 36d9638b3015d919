"""Traffic goes on when the API server, the autoscaler, or both are gone, and all is caught up with afterwards."""

import asyncio
from pathlib import Path

from tests.integration.activator_world import FakePod, World, api_server_fixture, world_fixture
from tests.integration.rbac_proxy import without
from tests.unit.chart.rendering import rules_of
from tests.waiting import eventually

__all__ = ["api_server_fixture", "world_fixture"]


async def test_requests_are_served_while_api_server_and_autoscaler_are_gone(world: World) -> None:
    autoscaler = await world.add_autoscaler()
    used, unused = [await FakePod(ready=True).listen() for _ in range(2)]
    for name, pod in (("used", used), ("unused", unused)):
        await world.add_revision(name)
        await world.add_pod(name, pod, ready=True)
    await world.start_activator()
    assert (await world.ask("used")).status == 200

    # What an autoscaler has not read when it ends is lost: this one hears of the request before it does, and nothing
    # comes to it while the API server's end holds this process up.
    await eventually(lambda: autoscaler.about("used"))
    await autoscaler.close()
    world.api_server.stop()
    try:
        replies = [await world.ask(name) for name in ("used", "unused", "used")]
        healthy = await world.health()
    finally:
        world.api_server.start()

    assert [reply.status for reply in replies] == [200] * 3
    assert healthy == 200
    again = await world.add_autoscaler(autoscaler.port)
    await eventually(lambda: sum(stat.request_count for stat in autoscaler.about("used") + again.about("used")) == 3)
    more = await FakePod(ready=True).listen()
    await world.add_revision("after")
    await world.add_pod("after", more, ready=True)
    await eventually(lambda: world.ask("after"), lambda found: found.status != 404)
    assert more.seen
    await world.remove_pod("used", used.port)
    await world.add_pod("used", more, ready=True)
    async with asyncio.timeout(20):
        while "/moved" not in more.paths:
            await world.ask("used", "/moved")


async def test_an_activator_that_starts_without_an_api_server_serves_once_there_is_one(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("later")
    await world.add_pod("later", pod, ready=True)
    world.api_server.stop()
    try:
        await world.start_activator(wait=False)
        await eventually(world.health, lambda found: found != 0)
        assert await world.health() == 500
        asked = asyncio.create_task(world.ask("later"))
    finally:
        world.api_server.start()

    assert (await asked).status == 200
    await eventually(lambda: pod.seen)


async def test_nobody_waits_for_ever_for_an_api_server_that_stays_away(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("patience")
    await world.add_pod("patience", pod, ready=True)
    world.api_server.stop()
    try:
        await world.start_activator(wait=False, ACTIVATOR_START_WAIT_SECONDS="0.5")
        await eventually(world.health, lambda found: found != 0)
        refused = await world.ask("patience")
    finally:
        world.api_server.start()

    assert (refused.status, refused.text) == (503, "the revisions are not known yet\n")
    assert refused.headers["Retry-After"] == "1"
    await world.until_healthy()
    assert (await world.ask("patience")).status == 200


async def test_an_activator_says_which_right_it_lacks_and_serves_once_it_is_granted(
    world: World, tmp_path: Path
) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("allowed")
    await world.add_pod("allowed", pod, ready=True)
    async with without("endpointslices", "activator", world.api_server.kubeconfig, tmp_path) as (proxy, kubeconfig):
        await world.start_activator(wait=False, KUBECONFIG=str(kubeconfig))

        wanted = "the revisions are not known yet; waiting for copies of: endpointslices.discovery.k8s.io (endpoint"
        await eventually(world.health_text, lambda found: found.startswith(wanted) and "forbidden" in found)
        proxy.rules = {"activator": rules_of("activator")}

        await world.until_healthy()
        assert (await world.ask("allowed")).status == 200
        await world.stop_activator()
