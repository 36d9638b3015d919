"""Public endpoints as a real activator keeps them: flips, subsets, ownership, leadership."""

import asyncio
import signal
from typing import Any

from tests.integration.activator_world import (
    NAMESPACE,
    FakePod,
    World,
    api_server_fixture,
    endpoint_slice,
    world_fixture,
)
from tests.waiting import eventually
from upwell.api import names
from upwell.api.conditions import find, status_of
from upwell.api.objects import Object, controller_reference, labels_of, new_object
from upwell.api.resources import CORE_SERVICE, DEPLOYMENT, ENDPOINT_SLICE, ENDPOINTS, SERVERLESS_SERVICE
from upwell.clock import SystemClock
from upwell.cluster.endpoints import EndpointTracker
from upwell.cluster.informer import Informer

__all__ = ["api_server_fixture", "world_fixture"]

ACTIVATORS = {"http": 30012, "http2": 30013}


async def add_sks(world: World, name: str, *, mode: str = "Proxy", **spec: Any) -> None:
    labels = {names.LABEL_REVISION_UID: f"uid-of-{name}"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "app", "image": "upwell.local/app"}]},
    }
    deployment = new_object(
        DEPLOYMENT,
        NAMESPACE,
        f"{name}-deployment",
        spec={"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    )
    await world.client.create(DEPLOYMENT, deployment)
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{name}-deployment"}
    sks = new_object(
        SERVERLESS_SERVICE,
        NAMESPACE,
        name,
        metadata={"labels": {names.LABEL_REVISION: name}},
        spec={"mode": mode, "objectRef": reference, "protocolType": "http1", "numActivators": 2, **spec},
    )
    await world.client.create(SERVERLESS_SERVICE, sks)

    async def remove() -> None:
        await world.client.delete(SERVERLESS_SERVICE, name, NAMESPACE)
        await world.client.delete(DEPLOYMENT, f"{name}-deployment", NAMESPACE)

    world.closers.append(remove)


class PublicAddress:
    """What a client of the public Service sees, change by change."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self._slices = Informer(world.client, ENDPOINT_SLICE, clock=SystemClock())
        self._tracker = EndpointTracker(self._slices)
        self.history: list[set[int]] = []
        self._tracker.on_change(self._note)

    def _note(self, service: Any) -> None:
        if service == (NAMESPACE, self.name):
            self.history.append(self.ports)

    @property
    def ports(self) -> set[int]:
        return {address.port for address in self._tracker.addresses(NAMESPACE, self.name, "http")[0]}

    async def __aenter__(self) -> "PublicAddress":
        self._task = asyncio.create_task(self._slices.run())
        await self._slices.wait_synced()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def set_mode(world: World, name: str, mode: str) -> None:
    await world.client.patch(SERVERLESS_SERVICE, name, NAMESPACE, {"spec": {"mode": mode}})


async def sks_where(world: World, name: str, condition: str, status: str) -> Object:
    async with asyncio.timeout(10):
        while True:
            sks = await world.client.get(SERVERLESS_SERVICE, name, NAMESPACE)
            if status_of(sks.get("status"), condition) == status:
                return sks
            await asyncio.sleep(0.02)


async def test_a_new_serverless_service_gets_its_services_and_leads_to_the_activators(world: World) -> None:
    await world.add_endpoint(names.SYSTEM_NAMESPACE, "activator-service", "a", ACTIVATORS)
    await world.start_activator()
    await add_sks(world, "fresh")

    sks = await sks_where(world, "fresh", "ActivatorEndpointsPopulated", "True")
    private = await world.client.get(CORE_SERVICE, "fresh-private", NAMESPACE)
    public = await world.client.get(CORE_SERVICE, "fresh", NAMESPACE)

    assert private["spec"]["selector"] == {names.LABEL_REVISION_UID: "uid-of-fresh"}
    assert [port["name"] for port in private["spec"]["ports"]] == [
        "http",
        "https",
        "http-autometric",
        "http-usermetric",
        "http-istio",
    ]
    assert not public["spec"].get("selector")
    assert sks["status"]["serviceName"] == "fresh"
    assert sks["status"]["privateServiceName"] == "fresh-private"
    assert sks["status"]["observedGeneration"] == sks["metadata"]["generation"]
    assert find(sks["status"], "Ready")["reason"] == "NoHealthyBackends"
    async with PublicAddress(world, "fresh") as address:
        assert address.ports == {30012}


async def test_flips_follow_mode_and_pods_and_never_leave_the_address_empty(world: World) -> None:
    await world.add_endpoint(names.SYSTEM_NAMESPACE, "activator-service", "a", ACTIVATORS)
    await world.start_activator()
    await add_sks(world, "flip")
    await sks_where(world, "flip", "ActivatorEndpointsPopulated", "True")
    async with PublicAddress(world, "flip") as address:
        for port in (31001, 31002):
            await world.add_endpoint(NAMESPACE, "flip-private", str(port), {"http": port, "http-autometric": 9})
        await sks_where(world, "flip", "Ready", "True")
        assert address.ports == {30012}

        await set_mode(world, "flip", "Serve")
        await eventually(lambda: address.ports == {31001, 31002})
        await world.remove_pod("flip", 31001)
        await eventually(lambda: address.ports == {31002})
        await set_mode(world, "flip", "Proxy")
        await eventually(lambda: address.ports == {30012})
        await set_mode(world, "flip", "Serve")
        await eventually(lambda: address.ports == {31002})
        await world.remove_pod("flip", 31002)
        await eventually(lambda: address.ports == {30012})

        assert all(address.history)


async def test_the_endpoints_object_follows_each_flip(world: World) -> None:
    await world.add_endpoint(names.SYSTEM_NAMESPACE, "activator-service", "a", ACTIVATORS)
    await world.add_endpoint(NAMESPACE, "older-private", "1", {"http": 31001, "https": 31002, "http-autometric": 9})
    await world.start_activator()
    await add_sks(world, "older")
    await sks_where(world, "older", "Ready", "True")
    assert await endpoints_ports(world, "older") == {"http": 30012}

    await set_mode(world, "older", "Serve")
    await eventually(
        lambda: endpoints_ports(world, "older"), lambda found: found == {"http": 31001, "https": 31002}, seconds=10
    )
    found = await world.client.get(ENDPOINTS, "older", NAMESPACE)
    assert labels_of(found)["endpointslice.kubernetes.io/skip-mirror"] == "true"
    assert labels_of(found)[names.LABEL_SERVICE_TYPE] == "Public"


async def test_endpoints_of_knatives_controller_are_taken_over_and_no_longer_mirrored(world: World) -> None:
    await world.add_endpoint(names.SYSTEM_NAMESPACE, "activator-service", "a", ACTIVATORS)
    await add_sks(world, "theirs-once")
    owner = controller_reference(await world.client.get(SERVERLESS_SERVICE, "theirs-once", NAMESPACE))
    subsets = [{"addresses": [{"ip": "10.0.0.9"}], "ports": [{"name": "http", "port": 8012}]}]
    before = new_object(ENDPOINTS, NAMESPACE, "theirs-once", metadata={"ownerReferences": [owner]}, subsets=subsets)
    await world.client.create(ENDPOINTS, before)

    await world.start_activator()
    await sks_where(world, "theirs-once", "ActivatorEndpointsPopulated", "True")

    found = await world.client.get(ENDPOINTS, "theirs-once", NAMESPACE)
    assert labels_of(found)["endpointslice.kubernetes.io/skip-mirror"] == "true"
    assert await endpoints_ports(world, "theirs-once") == {"http": 30012}


async def test_endpoints_of_somebody_else_are_left_alone_and_named_in_the_status(world: World) -> None:
    await world.client.create(ENDPOINTS, new_object(ENDPOINTS, NAMESPACE, "foreign", subsets=[]))
    await add_sks(world, "foreign")

    await world.start_activator()

    condition = find((await sks_where(world, "foreign", "Ready", "False"))["status"], "EndpointsPopulated")
    assert condition["message"] == "Resource foreign of type Endpoints is not owned by SKS"
    assert not labels_of(await world.client.get(ENDPOINTS, "foreign", NAMESPACE))
    await world.client.delete(ENDPOINTS, "foreign", NAMESPACE)


async def endpoints_ports(world: World, name: str) -> dict[str, int]:
    found = await world.client.get(ENDPOINTS, name, NAMESPACE)
    return {port["name"]: port["port"] for subset in found["subsets"] for port in subset["ports"]}


async def test_when_the_leading_activator_dies_for_good_another_takes_over(world: World) -> None:
    await world.add_endpoint(names.SYSTEM_NAMESPACE, "activator-service", "a", ACTIVATORS)
    await world.start_activator()
    await add_sks(world, "heir")
    await sks_where(world, "heir", "ActivatorEndpointsPopulated", "True")
    await world.stop_activator(signal.SIGKILL)
    await world.add_endpoint(NAMESPACE, "heir-private", "1", {"http": 31001})
    await set_mode(world, "heir", "Serve")

    await world.start_activator(POD_NAME="activator-2")

    async with PublicAddress(world, "heir") as address:
        await eventually(lambda: address.ports == {31001}, seconds=8)
    # In good order, so that the next test's activator need not wait for the lease.
    assert await world.stop_activator() == 0


async def test_an_activator_beside_knatives_controller_leaves_addresses_alone(world: World) -> None:
    await world.add_endpoint(names.SYSTEM_NAMESPACE, "activator-service", "a", ACTIVATORS)
    await world.start_activator(ACTIVATOR_FLIPS="false")
    await add_sks(world, "theirs")

    async with PublicAddress(world, "theirs") as address:
        await asyncio.sleep(0.5)
        assert not address.ports
    assert "status" not in await world.client.get(SERVERLESS_SERVICE, "theirs", NAMESPACE)


async def test_without_ready_activators_the_address_leads_to_the_pods(world: World) -> None:
    await world.add_endpoint(NAMESPACE, "alone-private", "1", {"http": 31001})
    await world.start_activator()
    await add_sks(world, "alone")

    async with PublicAddress(world, "alone") as address:
        await eventually(lambda: address.ports == {31001})


async def test_a_service_of_somebody_else_is_left_alone_and_named_in_the_status(world: World) -> None:
    foreign = new_object(CORE_SERVICE, NAMESPACE, "taken-private", spec={"ports": [{"name": "x", "port": 1}]})
    await world.client.create(CORE_SERVICE, foreign)
    await world.start_activator()
    await add_sks(world, "taken")

    sks = await sks_where(world, "taken", "Ready", "False")

    condition = find(sks["status"], "EndpointsPopulated")
    assert condition["reason"] == "NotOwned"
    assert condition["message"] == "Resource taken-private of type Service is not owned by SKS"
    found = await world.client.get(CORE_SERVICE, "taken-private", NAMESPACE)
    assert [port["name"] for port in found["spec"]["ports"]] == ["x"]


async def test_what_others_change_is_put_right(world: World) -> None:
    await world.add_endpoint(names.SYSTEM_NAMESPACE, "activator-service", "a", ACTIVATORS)
    await world.start_activator()
    await add_sks(world, "mend")
    await sks_where(world, "mend", "ActivatorEndpointsPopulated", "True")
    async with PublicAddress(world, "mend") as address:
        await eventually(lambda: address.ports == {30012})
        for obj in (await world.client.list(ENDPOINT_SLICE, NAMESPACE, labels=f"{names.LABEL_SLICE_SERVICE}=mend"))[0]:
            await world.client.delete(ENDPOINT_SLICE, obj["metadata"]["name"], NAMESPACE)
        await eventually(lambda: address.history[-1:] == [{30012}] and set() in address.history)


async def test_a_killed_activator_that_comes_back_leads_again_at_once(world: World) -> None:
    await world.add_endpoint(names.SYSTEM_NAMESPACE, "activator-service", "a", ACTIVATORS)
    await world.start_activator()
    await add_sks(world, "again")
    await sks_where(world, "again", "ActivatorEndpointsPopulated", "True")
    await world.stop_activator(signal.SIGKILL)
    await world.add_endpoint(NAMESPACE, "again-private", "1", {"http": 31001})
    await set_mode(world, "again", "Serve")

    await world.start_activator()

    async with PublicAddress(world, "again") as address:
        await eventually(lambda: address.ports == {31001}, seconds=2)


async def test_an_activator_takes_its_share_of_the_pods(world: World) -> None:
    pods = sorted([await FakePod(ready=True).listen() for _ in range(2)], key=lambda pod: f"127.0.0.1:{pod.port}")
    await world.add_revision("share", concurrency=1)
    for pod in pods:
        await world.add_pod("share", pod, ready=True)
    for port in (world.ports[8012], 1):
        await world.add_endpoint(NAMESPACE, "share", str(port), {"http": port})
    await world.start_activator()

    # Port 1 sorts before any other, so this activator is the second of two, and the second pod is its own.
    async with asyncio.timeout(10):
        while not pods[1].seen:
            await world.ask("share")
    before = [len(pod.seen) for pod in pods]
    replies = await asyncio.gather(*(world.ask("share") for _ in range(10)))

    assert {reply.status for reply in replies} == {200}
    assert [len(pod.seen) for pod in pods] == [before[0], before[1] + 10]


async def test_a_pod_that_becomes_unready_is_used_again_once_it_answers(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("flap")
    await world.add_pod("flap", pod, ready=True)
    await world.start_activator()
    assert (await world.ask("flap")).status == 200
    probes = pod.probes
    pod.ready.clear()
    changed = endpoint_slice(NAMESPACE, "flap-private", str(pod.port), {"http": pod.port}, ready=False)

    await world.client.update(ENDPOINT_SLICE, changed)
    await eventually(lambda: pod.probes > probes)
    asked = asyncio.create_task(world.ask("flap"))
    await asyncio.sleep(0.3)
    assert not asked.done()

    pod.ready.set()
    assert (await asked).status == 200
