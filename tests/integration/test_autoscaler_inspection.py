"""What the autoscaler tells of its decisions: over HTTP, and through `upwell explain` and `upwell top`."""

import asyncio
import json
import sys
from pathlib import Path

from tests.integration.autoscaler_world import World, running_status, server_fixture, world_fixture
from tests.waiting import eventually
from upwell.api import names
from upwell.api.objects import new_object
from upwell.api.resources import POD

__all__ = ["server_fixture", "world_fixture"]

UPWELL = Path(sys.executable).with_name("upwell")


async def upwell(world: World, *words: str) -> tuple[int, str, str]:
    """Exit status, output and errors of the command."""
    process = await asyncio.create_subprocess_exec(
        UPWELL, *words, "--kubeconfig", str(world.kubeconfig), stdout=-1, stderr=-1
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def add_autoscaler_pod(world: World) -> None:
    """The Pod object that says where the autoscaler's process listens."""
    metadata = {
        "labels": {"app": "autoscaler"},
        "annotations": {"local.upwell.dev/ports": ",".join(f"{one}={other}" for one, other in world.ports.items())},
    }
    spec = {"containers": [{"name": "autoscaler", "image": "upwell.local/autoscaler"}]}
    pod = await world.client.create(
        POD, new_object(POD, names.SYSTEM_NAMESPACE, "autoscaler-1", metadata=metadata, spec=spec)
    )
    await world.client.update_status(POD, {**pod, "status": running_status()})


async def test_a_decision_is_explained_with_its_window_its_limit_and_what_would_change_it(world: World) -> None:
    await world.start()
    await add_autoscaler_pod(world)
    world.play.load = 100
    await world.add_revision("busy", target="10", max_scale="4")
    await world.until_replicas(4)
    await eventually(lambda: world.metric("upwell_autoscaler_decisions_total"), lambda found: found >= 2)

    status, told, _ = await upwell(world, "explain", "busy")
    assert status == 0
    assert "default/busy: 4 wanted" in told
    for part in (
        "stable window (60 s): 100 concurrent requests / 7 per pod = 15 pods",
        "panic window (6 s)",
        "max-scale lowers it to 4",
        "more pods: only with a higher max-scale (4)",
        "15 pods, in panic",
    ):
        assert part in told

    status, told, _ = await upwell(world, "explain", "service", "-o", "json")
    (shown,) = json.loads(told)
    assert (shown["name"], shown["decisions"][-1]["wanted_stable"], status) == ("busy", 15, 0)
    status, told, _ = await upwell(world, "top", "--once", "-A")
    assert status == 0
    assert "busy" in told
    assert "panic" in told
    status, told, _ = await upwell(world, "top", "-o", "json")
    (row,) = json.loads(told)
    assert (row["desired"], row["requested"], row["stable"], row["queued"]) == (15, 4, 100, 0)


async def test_what_cannot_be_explained_is_said_with_something_to_try(world: World) -> None:
    status, _, why = await upwell(world, "explain", "nobody")
    assert (status, why) == (
        1,
        "Error: no autoscaler runs in namespace knative-serving\nTry: see `upwell get pods -A`\n",
    )
    await add_autoscaler_pod(world)
    status, _, why = await upwell(world, "top", "--once")
    assert (status, why.startswith("Error: the autoscaler does not answer")) == (1, True)
    await world.start()
    status, _, why = await upwell(world, "explain", "nobody")
    assert status == 1
    assert "nobody: nothing in namespace default" in why
    async with world.session.get(f"http://127.0.0.1:{world.ports[9090]}/revisions/default/nobody") as response:
        assert response.status == 404
