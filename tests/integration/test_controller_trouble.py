"""A controller that may not, that is killed at its work, and whose cluster changes under its hands."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.autoscaler_world import server_fixture  # noqa: F401  # the API server
from tests.integration.controller_world import NAMESPACE, Process, World, world_fixture  # noqa: F401
from tests.integration.rbac_proxy import without
from tests.unit.chart.rendering import rules_of
from tests.waiting import eventually
from upwell.api.conditions import find
from upwell.api.objects import Object, is_deleting, labels_of, new_object
from upwell.api.resources import LEASE, POD, REVISION

SERVICES = 50


async def readiness(controller: Process) -> str:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{controller.port}/readiness") as answer,
        ):
            return f"{answer.status} {await answer.text()}"
    except aiohttp.ClientError as error:
        return str(error)


async def leaders(world: World) -> set[str]:
    """Who holds the Leases, by the names of their pods."""
    leases, _ = await world.client.list(LEASE, "knative-serving")
    return {str(lease["spec"].get("holderIdentity") or "").partition("_")[0] for lease in leases}


async def test_a_right_that_is_missing_is_named_and_all_is_well_when_it_is_granted(
    world: World, tmp_path: Path
) -> None:
    async with without("pods", "controller", world.server.kubeconfig, tmp_path) as (proxy, kubeconfig):
        controller = Process(kubeconfig, "controller-1").start()
        world.controllers.append(controller)
        await world.apply()

        async def told() -> bool:
            found = await readiness(controller)
            return found.startswith("503 waiting for copies of: pods (") and "forbidden" in found

        assert await eventually(told)

        proxy.rules = {"controller": rules_of("controller")}

        await world.ready()
        assert await readiness(controller) == "200 ok"
        assert not [one for one in proxy.refused if "pods" not in one]
        _, said = await controller.stop()
        world.controllers.clear()
        assert '"the right to list and watch a resource is missing, nothing starts without it"' in said


async def test_config_maps_that_may_not_be_read_keep_a_controller_from_being_ready(
    world: World, tmp_path: Path
) -> None:
    async with without("configmaps", "controller", world.server.kubeconfig, tmp_path) as (_, kubeconfig):
        controller = Process(kubeconfig, "controller-1").start()
        world.controllers.append(controller)

        found = await eventually(lambda: readiness(controller), lambda found: "forbidden" in found)

        assert found.startswith("503 waiting for copies of: configmaps (")


@pytest.mark.timeout(120)
async def test_a_leader_that_is_killed_in_the_midst_of_many_services_leaves_nothing_undone_or_twice(
    world: World,
) -> None:
    await world.configure("config-leader-election", lease_duration="3s", renew_deadline="2s", retry_period="500ms")
    for name in ("one", "two"):
        await world.make_pod(name)  # or its Leases would be free for all
    first = world.start_controller("one")
    await eventually(lambda: leaders(world), lambda found: found == {"one"})
    second = world.start_controller("two")
    await eventually(lambda: readiness(second), lambda found: found == "200 ok")
    names = [f"app-{number:02d}" for number in range(SERVICES)]
    await asyncio.gather(*(world.apply(name) for name in names))

    async def half_way() -> bool:
        revisions, _ = await world.client.list(REVISION, NAMESPACE)
        return len(revisions) >= SERVICES // 3

    await eventually(half_way)
    assert await leaders(world) == {"one"}
    await first.stop(signal.SIGKILL)
    world.controllers.remove(first)

    for name in names:
        await world.ready(name)
    made = await world.everything()
    # Service, Configuration, Revision, Route, Deployment, PodAutoscaler, Ingress, placeholder
    assert len(made) == 8 * SERVICES
    assert "one" not in await leaders(world)


async def test_pods_that_are_deleted_while_they_start_are_no_failure_of_the_revision(world: World) -> None:
    waiting: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
    starting: Object = {"containerStatuses": [{"name": "user-container", "state": waiting}]}
    world.failing["app-00001"] = starting
    world.start_controller()
    await world.apply()

    async def pods() -> list[Object]:
        found, _ = await world.client.list(POD, NAMESPACE)
        of_revision = [pod for pod in found if labels_of(pod).get("serving.knative.dev/revision") == "app-00001"]
        return [pod for pod in of_revision if not is_deleting(pod)]

    for _ in range(3):
        (pod, *_) = await eventually(pods)
        await world.client.delete(POD, pod["metadata"]["name"], NAMESPACE)
        killed = {"terminated": {"reason": "Error", "exitCode": 137}}
        leaving = new_object(
            POD,
            NAMESPACE,
            f"leaving-{pod['metadata']['uid']}",
            metadata={"labels": labels_of(pod), "finalizers": ["example.com/slow"]},
            spec={"containers": [{"name": "user-container", "image": "x"}]},
        )
        made = await world.client.create(POD, leaving)
        await world.client.delete(POD, made["metadata"]["name"], NAMESPACE)
        ended = {"containerStatuses": [{"name": "user-container", "state": killed}]}
        gone = await world.client.get(POD, made["metadata"]["name"], NAMESPACE)
        await world.client.update_status(POD, {**gone, "status": ended})
    revision = await world.get(REVISION, "app-00001")
    assert find(revision["status"], "Ready")["status"] == "Unknown"

    del world.failing["app-00001"]

    assert find((await world.ready())["status"], "Ready")["status"] == "True"
