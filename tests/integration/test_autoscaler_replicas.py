"""Several replicas of the autoscaler: who acts for which revision, what a death costs, and what outlives it."""

import asyncio
import signal

from tests.integration.autoscaler_world import World, server_fixture, world_fixture
from tests.waiting import eventually
from upwell.api import names
from upwell.api.objects import annotations_of, name_of
from upwell.api.resources import ENDPOINT_SLICE, LEASE

__all__ = ["server_fixture", "world_fixture"]

REVISIONS = ("alpha", "beta", "gamma", "delta")
QUICK = {"lease_duration": "2s", "renew_deadline": "1500ms", "retry_period": "200ms"}


async def holders(world: World) -> dict[str, str]:
    """Bucket → the pod that holds it; only those that are held."""
    leases, _ = await world.client.list(LEASE, names.SYSTEM_NAMESPACE)
    found = {name_of(lease): (lease.get("spec") or {}).get("holderIdentity") or "" for lease in leases}
    return {name: holder.partition("_")[0] for name, holder in found.items() if holder and "memory" not in name}


async def until_held(world: World, count: int, *, without: str = "") -> dict[str, str]:
    async with asyncio.timeout(20):
        while True:
            found = await holders(world)
            if len(found) == count and without not in found.values():
                return found
            await asyncio.sleep(0.05)


async def test_a_killed_holder_under_load_costs_no_pod_and_its_buckets_are_taken_over(world: World) -> None:
    await world.config("config-leader-election", buckets="3", **QUICK)
    first = await world.start_another("autoscaler-1")
    await world.start_another("autoscaler-2")
    held = await until_held(world, 3)
    assert set(held) == {f"autoscaler-bucket-{number:02d}-of-03" for number in range(3)}
    world.play.load = 30
    for name in REVISIONS:
        await world.add_revision(name, target="10", window="6s", target_burst_capacity="0")
    await eventually(lambda: [world.play.scales.get(name, [0])[-1] for name in REVISIONS] == [5] * 4)

    first.send_signal(signal.SIGKILL)
    await first.wait()
    await until_held(world, 3, without="autoscaler-1")
    before = world.play.scrapes
    await eventually(lambda: world.play.scrapes >= before + 4 * 5 * 8)

    for name in REVISIONS:
        scales = world.play.scales[name]
        assert scales == sorted(scales), f"{name} lost pods: {scales}"
        assert scales[-1] == 5
    world.play.load = 60
    await eventually(lambda: [world.play.scales[name][-1] for name in REVISIONS] == [9] * 4)


async def test_a_statistic_that_reached_the_wrong_replica_is_handed_on_unless_all_were_told(world: World) -> None:
    await world.config("config-autoscaler", scale_to_zero_grace_period="1s")
    await world.config("config-leader-election", **QUICK)
    await world.start_another("autoscaler-1")
    held = await until_held(world, 1)
    assert held == {"autoscaler-bucket-00-of-01": "autoscaler-1"}
    await world.add_revision("asleep", window="6s", target_burst_capacity="-1", initial_scale="1")
    await world.until("asleep", "Active", "True")
    await world.until_replicas(0)
    owner = world.ports
    await world.start_another("autoscaler-2")
    url = f"ws://127.0.0.1:{world.ports[8080]}/"

    async with world.session.ws_connect(url, headers={names.HEADER_STATS: names.STATS_TO_ALL}) as activator:
        await activator.send_bytes(world.report("asleep", 1))
        await eventually(
            lambda: world.metric("upwell_autoscaler_stats_received_total"), lambda found: found == 1, seconds=10
        )
    async with world.session.ws_connect(url) as activator:
        await activator.send_bytes(world.report("asleep", 1))
        await world.until_replicas(1)

    assert await world.metric("upwell_autoscaler_stats_forwarded_total") == 1
    world.ports = owner
    assert await world.metric("upwell_autoscaler_stats_received_total") == 1
    (slice_,) = [
        found
        for found in (await world.client.list(ENDPOINT_SLICE, names.SYSTEM_NAMESPACE))[0]
        if name_of(found) == "autoscaler-bucket-00-of-01"
    ]
    assert (slice_["endpoints"][0]["addresses"], slice_["ports"][0]["port"]) == (["127.0.0.1"], owner[8080])


async def test_panic_and_a_delay_outlive_an_orderly_restart(world: World) -> None:
    await world.start()
    world.play.load = 30
    await world.add_revision("delayed", target="10", window="6s", scale_down_delay="1h", target_burst_capacity="0")
    await world.until_replicas(5)
    await world.until("delayed", "Active", "True")
    world.play.load = 8
    await eventually(lambda: world.metric(gauge("kn_revision_concurrency_stable", "delayed")), lambda found: found <= 8)

    assert await world.stop() == 0
    leases, _ = await world.client.list(LEASE, names.SYSTEM_NAMESPACE)
    (memory,) = [lease for lease in leases if "memory" in name_of(lease)]
    assert "autoscaling.upwell.dev/memory" in annotations_of(memory)
    await world.start()

    await eventually(lambda: world.metric(gauge("kn_revision_pods_desired", "delayed")), lambda found: found != 0)
    assert await world.metric(gauge("kn_revision_concurrency_stable", "delayed")) == 8, "the windows go on"
    await asyncio.sleep(7)  # a stable window, after which nothing but the delay holds the pods
    assert await world.metric(gauge("kn_revision_pods_desired", "delayed")) == 5
    assert world.play.replicas[-1] == 5


def gauge(name: str, revision: str) -> str:
    labels = ("service", "configuration", revision, "default")
    keys = ("kn_service_name", "kn_configuration_name", "kn_revision_name", "k8s_namespace_name")
    pairs = ",".join(f'{key}="{value}"' for key, value in zip(keys, labels, strict=True))
    return f"{name}{{{pairs}}}"
