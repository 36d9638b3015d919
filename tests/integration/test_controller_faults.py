"""Whatever goes wrong between the controller and the API server, the objects end up the same, and then at rest."""

import asyncio
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.golden.recorded_world import compare
from tests.integration.autoscaler_world import server_fixture  # noqa: F401  # the API server
from tests.integration.controller_world import NAMESPACE, Process, World, world_fixture  # noqa: F401
from tests.integration.faulty_proxy import FaultyProxy
from tests.waiting import eventually
from upwell.api.objects import Object, new_object
from upwell.api.resources import CONFIG_MAP, DEPLOYMENT, DOMAIN_MAPPING, REVISION, ROUTE, SERVICE
from upwell.cluster.errors import Conflict, NotFound

NAMES = ("one", "two", "three", "four")
OBJECTS_OF_A_SERVICE = 8
"""Service, Configuration, Revision, Route, Deployment, PodAutoscaler, Ingress, and the placeholder Service."""
UNKNOWN_TO_OLD_SERVERS = {
    "Deployment": ("seccompProfile", "enableServiceLinks", "minReadySeconds"),
    "Service": ("appProtocol",),
    "PodAutoscaler": ("reachability",),
    "Ingress": ("httpOption",),
}
_OWN = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")

_OTHERS = (
    "example.com/touched",
    "serving.knative.dev/routingStateModified",
    "deployment.kubernetes.io/revision",
)
"""Annotations that others put there, or that tell a time."""


def through(proxy: FaultyProxy, kubeconfig: Path, folder: Path) -> Path:
    content = yaml.safe_load(kubeconfig.read_text())
    for cluster in content["clusters"]:
        cluster["cluster"]["server"] = f"http://127.0.0.1:{proxy.port}"
    path = folder / "through-proxy"
    path.write_text(yaml.safe_dump(content))
    return path


def target_of(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"])


async def history(world: World) -> None:
    """A day in the life of some Services; every step as soon as the one before it is through."""
    for name in NAMES:
        await world.apply(name)
    reference = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "one"}
    mapping = new_object(DOMAIN_MAPPING, NAMESPACE, "one.example.com", spec={"ref": reference})
    await world.client.create(DOMAIN_MAPPING, mapping)
    for name in NAMES:
        await world.ready(name)
    tagged = [{"latestRevision": True, "percent": 80}, {"revisionName": "two-00001", "percent": 20, "tag": "old"}]
    await asyncio.gather(world.apply("two", command="two", traffic=tagged), world.apply("three", command="two"))
    await world.client.delete(SERVICE, "four", NAMESPACE)
    await meddle(world)
    for name in ("two", "three"):
        await world.ready(name, generation=2)
    await world.ready("one.example.com", resource=DOMAIN_MAPPING)


async def meddle(world: World) -> None:
    """Somebody else writes to the same objects, between our reading and our writing."""
    for number in range(20):
        for resource, name in ((ROUTE, "two"), (REVISION, "three-00001"), (DEPLOYMENT, "one-00001-deployment")):
            patch = {"metadata": {"annotations": {"example.com/touched": str(number)}}}
            try:
                await world.client.patch(resource, name, NAMESPACE, patch)
            except (Conflict, NotFound):
                continue
        await asyncio.sleep(0.02)


async def outcome(world: World) -> dict[Any, Object]:
    """Everything that there is, without what differs from run to run."""
    found = {}
    uids: dict[str, str] = {}
    everything = await world.everything()
    for key, obj in everything.items():
        uids[obj["metadata"]["uid"]] = f"<{key}>"
        for owner in obj["metadata"].get("ownerReferences") or ():
            uids.setdefault(owner["uid"], f"<{owner['kind']}/{owner['name']}>")
    for key, obj in everything.items():
        kept = _without_uids(deepcopy(obj), uids)
        for field in _OWN:
            kept["metadata"].pop(field, None)
        for annotation in _OTHERS:
            kept["metadata"].get("annotations", {}).pop(annotation, None)
        kept.get("spec", {}).pop("internalTrafficPolicy", None)
        kept["metadata"].get("labels", {}).pop("serving.knative.dev/deployment-hash", None)
        for condition in (kept.get("status") or {}).get("conditions") or ():
            condition.pop("lastTransitionTime", None)
        (kept.get("status") or {}).pop("observedGeneration", None)
        found[key] = kept
    return found


def _without_uids(value: Any, uids: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _without_uids(part, uids) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_uids(part, uids) for part in value]
    return uids.get(value, value) if isinstance(value, str) else value


async def all_gone(world: World, *prefixes: str) -> bool:
    return not any(name.startswith(prefixes) for _, name in await world.everything())


async def run(world: World, kubeconfig: Path) -> dict[Any, Object]:
    await world.client.patch(
        CONFIG_MAP, "config-network", "knative-serving", {"data": {"autocreate-cluster-domain-claims": "true"}}
    )
    controller = Process(kubeconfig, "controller-1").start()
    world.controllers.append(controller)
    await history(world)
    await eventually(lambda: all_gone(world, "four"))
    return await outcome(world)


async def clear(world: World) -> None:
    for controller in world.controllers:
        await controller.stop()
    world.controllers.clear()
    controller = world.start_controller("cleaner")
    for name in NAMES[:3]:
        await world.client.delete(SERVICE, name, NAMESPACE)
    await world.client.delete(DOMAIN_MAPPING, "one.example.com", NAMESPACE)
    await eventually(lambda: all_gone(world, *NAMES))
    await controller.stop()
    world.controllers.clear()


@pytest.mark.timeout(150)
async def test_faults_change_nothing_about_the_outcome(world: World, tmp_path: Path) -> None:
    calm = await run(world, world.server.kubeconfig)
    await clear(world)

    async with FaultyProxy(target_of(world.server.kubeconfig), seed=7).serve() as proxy:
        rough = await run(world, through(proxy, world.server.kubeconfig, tmp_path))
        assert rough.keys() == calm.keys()
        try:
            await eventually(lambda: same(world, calm), seconds=30)
        except TimeoutError:
            found = await outcome(world)
            pytest.fail("\n".join(line for key in calm for line in compare(found[key], calm[key], str(key))))
        seen = dict(proxy.faults)
        assert seen.keys() >= {"error", "throttled", "dropped before", "dropped after", "read failed"}, seen
        assert seen.keys() >= {"watch ended", "watch expired in its midst"}, seen

        # What the server fills in is not fought over: with nothing left to do, nothing is written.
        proxy.share = 0.0
        await at_rest(proxy)


async def test_requests_that_time_out_are_made_again_and_nothing_is_there_twice(world: World, tmp_path: Path) -> None:
    async with FaultyProxy(target_of(world.server.kubeconfig), seed=11).serve() as proxy:
        proxy.only_time_outs = True
        world.controllers.append(Process(through(proxy, world.server.kubeconfig, tmp_path), "controller-1").start())
        await asyncio.gather(*(world.apply(name) for name in NAMES))
        for name in NAMES:
            await world.ready(name)

        assert len(await world.everything()) == OBJECTS_OF_A_SERVICE * len(NAMES)
        assert proxy.faults.keys() >= {"timed out before", "timed out after"}
        proxy.share = 0.0
        await at_rest(proxy)


async def test_fields_that_the_server_does_not_know_are_not_written_again_and_again(
    world: World, tmp_path: Path
) -> None:
    async with FaultyProxy(target_of(world.server.kubeconfig), seed=13).serve() as proxy:
        proxy.share = 0.0
        proxy.pruned = UNKNOWN_TO_OLD_SERVERS
        world.controllers.append(Process(through(proxy, world.server.kubeconfig, tmp_path), "controller-1").start())
        await asyncio.gather(*(world.apply(name) for name in NAMES))
        for name in NAMES:
            await world.ready(name)
        await at_rest(proxy)
        deployment = await world.get(DEPLOYMENT, "one-00001-deployment")
        pod = deployment["spec"]["template"]["spec"]
        assert "enableServiceLinks" not in pod
        assert not any("seccompProfile" in one.get("securityContext", {}) for one in pod["containers"])

        # Each object is looked at again when something of its own changes: that costs a write or two, and then rest.
        before = proxy.writes.copy()
        touched = {"metadata": {"annotations": {"example.com/touched": "once"}}}
        for name in NAMES:
            await world.client.patch(DEPLOYMENT, f"{name}-00001-deployment", NAMESPACE, touched)
        await at_rest(proxy)
        assert (proxy.writes - before).total() <= 2 * len(NAMES), proxy.writes - before


async def same(world: World, wanted: dict[Any, Object]) -> bool:
    return await outcome(world) == wanted


async def at_rest(proxy: FaultyProxy) -> None:
    """Wait until a second has passed without a write."""
    async with asyncio.timeout(20):
        before = None
        while before != proxy.writes.total():
            before = proxy.writes.total()
            await asyncio.sleep(1)


async def test_a_finalizer_of_somebody_elses_holds_up_nothing_but_its_own_object(world: World) -> None:
    world.start_controller()
    await world.apply()
    await world.ready()
    held = {"metadata": {"finalizers": ["example.com/hold", "routes.serving.knative.dev"]}}
    await world.client.patch(ROUTE, "app", NAMESPACE, held)
    await world.client.delete(SERVICE, "app", NAMESPACE)

    async def only_the_route_is_left() -> bool:
        serving = [name for kind, name in await world.everything() if "serving.knative.dev" in kind]
        return serving == ["app"]

    await eventually(only_the_route_is_left)
    route = await world.get(ROUTE, "app")
    assert route["metadata"]["finalizers"] == ["example.com/hold"]
    await world.client.patch(ROUTE, "app", NAMESPACE, {"metadata": {"finalizers": None}})
    await eventually(lambda: all_gone(world, "app"))
