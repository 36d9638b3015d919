"""Requests through a real activator process: cold starts, crowds, failures, and what comes out at the other end."""

import asyncio
import contextlib
import signal

import aiohttp
import pytest

from tests.integration.activator_world import FakePod, World, api_server_fixture, world_fixture
from tests.waiting import eventually
from upwell.api import names

__all__ = ["api_server_fixture", "world_fixture"]


async def test_a_request_at_zero_waits_for_a_pod_and_calls_the_autoscaler_at_once(world: World) -> None:
    autoscaler = await world.add_autoscaler()
    await world.add_revision("cold")
    await world.start_activator()
    await eventually(lambda: autoscaler.connections)

    asked = asyncio.create_task(world.ask("cold", "/path?query=1"))
    first = (await eventually(lambda: autoscaler.about("cold")))[0]
    pod = await FakePod(ready=True).listen()
    await world.add_pod("cold", pod, ready=False)
    reply = await asked

    assert (first.pod_name, first.average_concurrent_requests, first.request_count) == ("activator-1", 1.0, 1.0)
    assert (reply.status, reply.text) == (200, "0 bytes for /path")
    assert pod.paths == ["/path?query=1"]


async def test_the_pod_sees_the_headers_that_the_contract_says(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("headers")
    await world.add_pod("headers", pod, ready=True)
    await world.start_activator()

    await world.ask(
        "headers", headers={"K-Network-Hash": "x", "Knative-Serving-Tag": "blue", "X-Forwarded-For": "1.2.3.4"}
    )

    seen = pod.seen[0]
    assert seen["K-Proxy-Request"] == "activator"
    assert seen["K-Original-Host"] == "headers.example.com"
    assert seen["Host"] == f"127.0.0.1:{pod.port}"
    assert seen["Knative-Serving-Tag"] == "blue"
    assert seen["X-Forwarded-For"] == "1.2.3.4, 127.0.0.1"
    assert not {"Knative-Serving-Revision", "Knative-Serving-Namespace", "K-Network-Hash"} & seen.keys()


async def test_a_cluster_local_host_says_the_revision_where_headers_do_not(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("byhost")
    await world.add_pod("byhost", pod, ready=True)
    await world.start_activator()

    async with world.session.get(world.url, headers={"Host": "byhost.default.svc.cluster.local:80"}) as response:
        assert response.status == 200


async def test_an_unknown_revision_is_answered_404_and_not_reported(world: World) -> None:
    autoscaler = await world.add_autoscaler()
    await world.start_activator()

    reply = await world.ask("nobody")

    assert reply.status == 404
    assert reply.text == 'Error getting active endpoint: revision.serving.knative.dev "nobody" not found\n'
    assert not autoscaler.messages


async def test_two_hundred_requests_at_once_at_zero_are_each_answered_once(world: World) -> None:
    await world.add_revision("crowd", concurrency=10)
    await world.start_activator()
    asked = [asyncio.create_task(world.ask("crowd", f"/{number}")) for number in range(200)]
    await asyncio.sleep(0.2)
    pods = [await FakePod(ready=True).listen() for _ in range(3)]
    for pod in pods:
        pod.seconds = 0.02
        await world.add_pod("crowd", pod)

    replies = await asyncio.gather(*asked)

    assert [reply.status for reply in replies] == [200] * 200
    served = sorted(path for pod in pods for path in pod.paths)
    assert served == sorted(f"/{number}" for number in range(200))
    assert all(pod.most_at_once <= 10 for pod in pods)


async def test_a_pod_that_is_killed_under_load_costs_no_request_that_may_be_retried(world: World) -> None:
    pods = [await FakePod(ready=True).listen() for _ in range(2)]
    await world.add_revision("kill")
    for pod in pods:
        await world.add_pod("kill", pod, ready=True)
    await world.start_activator()
    statuses: list[int] = []

    async def keep_asking(until: asyncio.Event) -> None:
        while not until.is_set():
            statuses.append((await world.ask("kill")).status)

    done = asyncio.Event()
    askers = [asyncio.create_task(keep_asking(done)) for _ in range(10)]
    await eventually(lambda: len(statuses) > 50)
    await pods[0].close()
    count = len(statuses)
    await eventually(lambda: len(statuses) > count + 100)
    done.set()
    await asyncio.gather(*askers)

    assert set(statuses) == {200}


async def test_a_post_that_never_reached_the_app_goes_to_another_pod(world: World) -> None:
    broken, sound = [await FakePod(ready=True).listen() for _ in range(2)]
    broken.refusing = True
    await world.add_revision("unsent", concurrency=1)
    for pod in (broken, sound):
        await world.add_pod("unsent", pod, ready=True)
    await world.start_activator()

    replies = [await world.ask("unsent", method="POST", data=b"x" * 1000) for _ in range(4)]

    assert [reply.status for reply in replies] == [200] * 4
    assert len(sound.seen) == 4


async def test_a_client_that_goes_leaves_the_queue(world: World) -> None:
    await world.add_revision("gone")
    await world.start_activator()
    with pytest.raises(TimeoutError):
        await world.ask("gone", "/gone", timeout=aiohttp.ClientTimeout(total=0.3))
    asked = asyncio.create_task(world.ask("gone", "/stays"))
    await eventually_metric(world, "kn_revision_request_queued", "gone", 1)

    pod = await FakePod(ready=True).listen()
    await world.add_pod("gone", pod)
    await asked

    assert pod.paths == ["/stays"]


async def test_a_full_queue_is_answered_503_at_once(world: World) -> None:
    await world.add_revision("full")
    await world.start_activator(ACTIVATOR_QUEUE_LIMIT="2")
    waiting = [asyncio.create_task(world.ask("full")) for _ in range(2)]
    await eventually_metric(world, "kn_revision_request_queued", "full", 2)

    reply = await world.ask("full")

    assert (reply.status, reply.text) == (503, "pending request queue full\n")
    assert reply.headers["Retry-After"] == "1"
    assert reply.headers[names.HEADER_ERROR] == "activator; reason=queue-full; unsent"
    await world.add_pod("full", await FakePod(ready=True).listen())
    assert [reply.status for reply in await asyncio.gather(*waiting)] == [200, 200]


async def test_a_crowd_before_one_revision_leaves_places_for_anothers_cold_start(world: World) -> None:
    for name in ("crowded", "calm"):
        await world.add_revision(name)
    await world.start_activator(ACTIVATOR_QUEUE_TOTAL="10")
    waiting = [asyncio.create_task(world.ask("crowded")) for _ in range(5)]
    await eventually_metric(world, "kn_revision_request_queued", "crowded", 5)

    refused = await world.ask("crowded")
    calm = asyncio.create_task(world.ask("calm"))
    await eventually_metric(world, "kn_revision_request_queued", "calm", 1)

    assert refused.status == 503
    for name in ("crowded", "calm"):
        await world.add_pod(name, await FakePod(ready=True).listen())
    assert [reply.status for reply in await asyncio.gather(*waiting, calm)] == [200] * 6


async def test_uploads_that_wait_do_not_use_up_the_memory(world: World) -> None:
    await world.add_revision("uploads")
    await world.start_activator(ACTIVATOR_QUEUE_BYTES="100000")
    first = asyncio.create_task(world.ask("uploads", method="POST", data=b"x" * 1_000_000))
    await eventually_metric(world, "kn_revision_request_queued", "uploads", 1)

    plain = asyncio.create_task(world.ask("uploads"))
    # One that comes before enough of the first has been read waits as well; it gives up, and another tries.
    status = 0
    while status != 503:
        with contextlib.suppress(TimeoutError):
            small = aiohttp.ClientTimeout(total=0.5)
            status = (await world.ask("uploads", method="POST", data=b"x" * 1000, timeout=small)).status

    await world.add_pod("uploads", await FakePod(ready=True).listen())

    assert (await first).text == "1000000 bytes for /"
    assert (await plain).status == 200


async def test_a_request_that_waits_past_the_revisions_timeout_is_answered_504(world: World) -> None:
    await world.add_revision("slow", timeoutSeconds=1)
    await world.start_activator()

    reply = await world.ask("slow")

    assert (reply.status, reply.text) == (504, "activator request timeout")


async def test_a_sidecar_of_another_make_is_polled(world: World) -> None:
    pod = await FakePod(ours=False).listen()
    await world.add_revision("plain")
    await world.add_pod("plain", pod)
    await world.start_activator()
    asked = asyncio.create_task(world.ask("plain"))
    await eventually(lambda: pod.probes >= 3)

    pod.ready.set()

    assert (await asked).status == 200


async def test_a_sidecar_of_ours_is_asked_once_and_answers_when_it_is_ready(world: World) -> None:
    pod = await FakePod().listen()
    await world.add_revision("pushed")
    await world.add_pod("pushed", pod)
    await world.start_activator()
    asked = asyncio.create_task(world.ask("pushed"))
    await eventually(lambda: pod.probes >= 2)
    await asyncio.sleep(1)
    probes = pod.probes

    pod.ready.set()

    assert (await asked).status == 200
    assert probes <= 3


async def test_requests_that_come_before_the_revisions_are_known_wait(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("early")
    await world.add_pod("early", pod, ready=True)
    await world.start_activator()
    assert (await world.ask("early")).status == 200

    await world.stop_activator(signal.SIGKILL)
    await world.start_activator(wait=False)

    async def until_answered() -> int:
        while True:
            try:
                return (await world.ask("early")).status
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.005)

    assert [await until_answered() for _ in range(3)] == [200] * 3


async def test_after_sigterm_the_kubelet_is_told_no_and_what_waits_is_still_served(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("drain")
    await world.start_activator()
    asked = asyncio.create_task(world.ask("drain"))
    await eventually_metric(world, "kn_revision_request_queued", "drain", 1)

    assert world.process is not None
    world.process.send_signal(signal.SIGTERM)
    await eventually(world.health, lambda found: found != 200, seconds=10)
    await world.add_pod("drain", pod)

    assert (await asked).status == 200
    assert await asyncio.wait_for(world.process.wait(), 10) == 0


async def test_a_wrong_setting_is_one_line_and_exit_code_1(world: World) -> None:
    await world.start_activator(wait=False, POD_IP="", PROBE_TIMEOUT="soon")
    assert world.process is not None

    assert await asyncio.wait_for(world.process.wait(), 10) == 1

    (line,) = world.log.read_text().splitlines()
    assert "POD_IP is not set" in line
    assert 'PROBE_TIMEOUT=\\"soon\\"' in line


async def eventually_metric(world: World, name: str, revision: str, value: float) -> None:
    line = f'{name}{{k8s_namespace_name="default",kn_revision_name="{revision}"}} {float(value)}'
    await eventually(world.metrics, lambda found: line in found, seconds=10)
