"""Statistics on their way from a real activator to the autoscaler, with the connection broken in between."""

import asyncio
import math

from tests.integration.activator_world import FakePod, World, api_server_fixture, world_fixture
from tests.waiting import eventually

__all__ = ["api_server_fixture", "world_fixture"]


async def test_requests_are_counted_once_over_messages_and_reconnects(world: World) -> None:
    autoscaler = await world.add_autoscaler()
    pod = await FakePod(ready=True).listen()
    await world.add_revision("count")
    await world.add_pod("count", pod, ready=True)
    await world.start_activator()
    await eventually(lambda: autoscaler.connections)

    for _ in range(20):
        await world.ask("count")
    await autoscaler.close()
    for _ in range(30):
        await world.ask("count")
    # The figures of a second nobody listened to: they must arrive afterwards, and only once.
    await asyncio.sleep(1.2)
    again = await world.add_autoscaler(autoscaler.port)
    await eventually(lambda: again.connections)

    def counted() -> float:
        return math.fsum(stat.request_count for stat in autoscaler.about("count") + again.about("count"))

    await eventually(lambda: counted() >= 50)
    await asyncio.sleep(1.2)
    assert counted() == 50


async def test_of_autoscalers_that_hand_on_to_each_other_one_is_told_at_a_time(world: World) -> None:
    both = [await world.add_autoscaler(), await world.add_autoscaler()]
    await world.add_revision("one")
    await world.add_pod("one", await FakePod(ready=True).listen(), ready=True)
    await world.start_activator()
    await eventually(lambda: all(one.connections for one in both))

    for _ in range(5):
        await world.ask("one")
    await eventually(lambda: both[0].messages or both[1].messages)
    told, other = both if both[0].messages else both[::-1]
    await eventually(lambda: sum(stat.request_count for stat in told.about("one")) == 5)
    assert not other.messages
    await told.close()
    for _ in range(3):
        await world.ask("one")

    await eventually(lambda: sum(stat.request_count for stat in told.about("one") + other.about("one")) >= 8)
    await asyncio.sleep(1.2)
    assert sum(stat.request_count for stat in told.about("one") + other.about("one")) == 8


async def test_waiting_requests_are_reported_as_concurrency_and_a_quiet_revision_as_zero(world: World) -> None:
    autoscaler = await world.add_autoscaler()
    await world.add_revision("busy")
    await world.start_activator()
    await eventually(lambda: autoscaler.connections)

    asked = [asyncio.create_task(world.ask("busy")) for _ in range(7)]
    await eventually(lambda: any(stat.average_concurrent_requests == 7.0 for stat in autoscaler.about("busy")))
    await world.add_pod("busy", await FakePod(ready=True).listen())
    await asyncio.gather(*asked)

    await eventually(lambda: autoscaler.about("busy")[-1].average_concurrent_requests == 0.0)
    assert sum(stat.request_count for stat in autoscaler.about("busy")) == 7


async def test_an_autoscaler_that_is_away_does_not_make_the_activator_unready(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("without")
    await world.add_pod("without", pod, ready=True)

    await world.start_activator()

    assert await world.health() == 200
    assert (await world.ask("without")).status == 200
    assert 'kn_activator_stats_conn_reachable{peer="autoscaler"} 0.0' in await world.metrics()
