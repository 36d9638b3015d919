"""Several processes on the same ports: who serves what, and what happens when one of them dies."""

import asyncio
import os
import signal
from pathlib import Path

from tests.integration.activator_world import FakePod, World, api_server_fixture, world_fixture
from tests.waiting import eventually

__all__ = ["api_server_fixture", "world_fixture"]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def text_of(file: Path) -> str:
    return file.read_text()


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def ask_on_new_connections(world: World, revision: str, count: int) -> list[int]:
    """The statuses of so many requests at once, each on a connection of its own."""
    replies = await asyncio.gather(
        *(world.ask(revision, headers={"Connection": "close"}) for _ in range(count)), return_exceptions=True
    )
    return [reply if isinstance(reply, int) else getattr(reply, "status", 0) for reply in replies]


async def workers_of(world: World, count: int) -> list[int]:
    assert world.process is not None
    pid = world.process.pid
    return await eventually(lambda: found if len(found := children_of(pid)) == count else [])


async def until_all_serve(world: World, count: int) -> None:
    await eventually(lambda: text_of(world.log).count('"message": "serving"') >= count)


async def test_workers_share_the_ports_and_no_pod_is_used_by_two_of_them(world: World) -> None:
    pods = [await FakePod(ready=True).listen() for _ in range(2)]
    await world.add_revision("shared", concurrency=1)
    for pod in pods:
        pod.seconds = 0.01
        await world.add_pod("shared", pod, ready=True)
    await world.start_activator(ACTIVATOR_WORKERS="2")
    await until_all_serve(world, 2)

    # As long as a worker knows of one pod only, that pod is everybody's.
    await ask_on_new_connections(world, "shared", 20)
    for pod in pods:
        pod.most_at_once = 0

    statuses = await ask_on_new_connections(world, "shared", 40)
    metrics = await world.metrics()

    assert statuses == [200] * 40
    assert all(pod.seen for pod in pods)
    assert [pod.most_at_once for pod in pods] == [1, 1]
    for worker in "01":
        assert f'kn_revision_request_active{{worker="{worker}",' in metrics
    assert metrics.count("# TYPE kn_revision_request_active ") == 1


async def test_a_worker_that_dies_is_started_again_and_the_others_serve_meanwhile(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("dies")
    await world.add_pod("dies", pod, ready=True)
    await world.start_activator(ACTIVATOR_WORKERS="2")
    await until_all_serve(world, 2)
    victim, other = await workers_of(world, 2)

    os.kill(victim, signal.SIGKILL)
    await eventually(lambda: victim not in children_of(world.process.pid) if world.process else True)
    statuses = await ask_on_new_connections(world, "dies", 20)

    assert statuses == [200] * 20
    assert other in await workers_of(world, 2)
    await until_all_serve(world, 3)


async def test_all_workers_drain_before_the_process_ends(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    pod.seconds = 0.5
    await world.add_revision("leaving")
    await world.add_pod("leaving", pod, ready=True)
    await world.start_activator(
        ACTIVATOR_WORKERS="2", ACTIVATOR_DRAIN_SECONDS="30", ACTIVATOR_DRAIN_QUIET_SECONDS="0.2"
    )
    await until_all_serve(world, 2)
    workers = await workers_of(world, 2)
    asked = [asyncio.create_task(world.ask("leaving", headers={"Connection": "close"})) for _ in range(10)]
    await eventually(lambda: pod.running == 10)

    status = await world.stop_activator()

    assert [reply.status for reply in await asyncio.gather(*asked)] == [200] * 10
    assert status == 0
    assert all(is_gone(worker) for worker in workers)


async def test_workers_leave_when_the_process_that_started_them_is_gone(world: World) -> None:
    await world.start_activator(ACTIVATOR_WORKERS="2")
    await until_all_serve(world, 2)
    workers = await workers_of(world, 2)

    await world.stop_activator(signal.SIGKILL)

    await eventually(lambda: all(is_gone(worker) for worker in workers))
