"""The gateway when things die, change and end: no request lost that could be saved."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.gateway_world import World, world
from tests.unit.gateway.builders import ingress, path, rule, simple, split
from tests.waiting import eventually
from upwell.api.resources import ENDPOINT_SLICE


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


async def test_an_endpoint_that_dies_under_load_is_not_noticed(here: World) -> None:
    first, second = await here.backend("first"), await here.backend("second")
    await here.serve("a", first, second)
    await here.route(simple("a", "a.example", "a"))
    async with here.load("a.example") as seen:
        await here.more(seen)
        await first.kill()
        await here.more(seen)
        await first.start()
        await here.more(seen, 300)

    assert {status for status, _ in seen} == {200}
    assert {name for _, name in seen} == {"first", "second"}
    assert seen[-1][0] == 200


async def test_the_only_endpoint_may_take_a_second_to_start_again(here: World) -> None:
    backend = await here.backend("only")
    await here.serve("a", backend)
    await here.route(simple("a", "a.example", "a"))
    async with here.load("a.example") as seen:
        await here.more(seen)
        await backend.kill()
        await asyncio.sleep(1)
        await backend.start()
        await here.more(seen)

    assert {status for status, _ in seen} == {200}
    assert "upwell_gateway_retries_total" in await here.metrics()


async def test_routes_change_under_load_without_a_failed_request(here: World) -> None:
    old, new = await here.backend("old"), await here.backend("new")
    await here.serve("old", old)
    await here.serve("new", new)
    await here.route(simple("a", "a.example", "old"))
    async with here.load("a.example") as seen:
        for percent in (10, 50, 90, 100):
            await here.more(seen, 50)
            await here.route(
                ingress("a", rule("a.example", paths=[path(split("old", 100 - percent), split("new", percent))]))
            )
        mark = len(seen) + 8  # those under way may have been routed before
        await here.more(seen, 100)

    assert {status for status, _ in seen} == {200}
    assert {name for _, name in seen[mark:]} == {"new"}


async def test_endpoints_move_under_load_without_a_failed_request(here: World) -> None:
    backends = [await here.backend(f"b{number}") for number in range(3)]
    await here.serve("a", backends[0])
    await here.route(simple("a", "a.example", "a"))
    async with here.load("a.example") as seen:
        for number in (1, 2, 0, 1, 2):
            await here.more(seen, 50)
            await here.serve("a", backends[number])
        await here.more(seen, 100)

    assert {status for status, _ in seen} == {200}
    assert {name for _, name in seen} == {"b0", "b1", "b2"}


async def test_a_request_waits_for_the_first_endpoint(here: World) -> None:
    await here.serve("a")
    await here.route(simple("a", "a.example", "a"))
    waiting = [asyncio.create_task(here.get("a.example")) for _ in range(50)]

    async def all_wait() -> bool:
        return "upwell_gateway_requests_waiting 50.0" in await here.metrics()

    await eventually(all_wait)
    await here.serve("a", await here.backend("late"))

    assert {status for status, _, _ in await asyncio.gather(*waiting)} == {200}
    assert "upwell_gateway_requests_waiting 0.0" in await here.metrics()


async def test_a_request_that_waits_follows_its_route_when_that_changes(here: World) -> None:
    await here.serve("stuck")
    await here.serve("good", await here.backend("good"))
    await here.route(simple("a", "a.example", "stuck"))
    waiting = [asyncio.create_task(here.get("a.example")) for _ in range(5)]

    async def all_wait() -> bool:
        return "upwell_gateway_requests_waiting 5.0" in await here.metrics()

    await eventually(all_wait)
    await here.route(simple("a", "a.example", "good"))

    assert {content["name"] for _, content, _ in await asyncio.gather(*waiting)} == {"good"}


async def test_endpoints_that_are_not_ready_get_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, UPWELL_GATEWAY_WAIT_SECONDS="0.3") as here:
        await here.serve("a", await here.backend("unready"), ready=False)
        await here.route(simple("a", "a.example", "a"))
        status, content, headers = await here.get("a.example")

    assert status == 503
    assert "default/a:80 has no ready endpoint" in content
    assert headers["Retry-After"] == "1"
    assert headers["Upwell-Error"] == "gateway; reason=no-endpoint; unsent"


async def test_when_waiting_is_in_vain_the_answer_says_what_happened(tmp_path: Path) -> None:
    async with world(tmp_path, UPWELL_GATEWAY_WAIT_SECONDS="0.3", UPWELL_GATEWAY_WAITING_MAX="1") as here:
        backend = await here.backend("dead")
        await here.serve("a", backend)
        await here.route(simple("a", "a.example", "a"))
        await backend.kill()
        answers = await asyncio.gather(*(here.get("a.example") for _ in range(3)))

    assert [status for status, _, _ in answers] == [502] * 3
    assert all(backend.address in content for _, content, _ in answers)
    assert sorted(headers["Upwell-Error"] for _, _, headers in answers) == [
        "gateway; reason=no-endpoint",
        "gateway; reason=too-many-waiting",
        "gateway; reason=too-many-waiting",
    ]


async def test_what_a_sidecar_could_not_hand_to_its_app_goes_elsewhere_whatever_the_method(here: World) -> None:
    await here.serve("a", await here.backend("unsent"), await here.backend("good"))
    await here.route(simple("a", "a.example", "a"))
    url = f"http://127.0.0.1:{here.port}/"
    for _ in range(20):
        async with here.http.post(url, data=b"x" * 1000, headers={"Host": "a.example"}) as response:
            content = await response.json()
            assert (response.status, content["name"], content["body"]) == (200, "good", 1000)


async def test_a_request_that_may_have_had_an_effect_is_not_sent_twice(here: World) -> None:
    backend = await here.backend("only")
    await here.serve("a", backend)
    await here.route(simple("a", "a.example", "a"))
    url = f"http://127.0.0.1:{here.port}/slow/20"
    posted = asyncio.create_task(here.http.post(url, data=b"x", headers={"Host": "a.example"}))
    assert await backend.process.line() == "slow request"
    await backend.kill()
    async with await posted as response:
        assert response.status == 502


async def test_without_the_api_server_traffic_goes_on_and_changes_arrive_after(here: World) -> None:
    await here.serve("a", await here.backend("one"))
    await here.route(simple("a", "a.example", "a"))
    await here.api.end(signal.SIGKILL)
    async with here.load("a.example") as seen:
        await here.more(seen, 200)
    assert {status for status, _ in seen} == {200}
    assert await here.healthz() == 200

    await here.start_api()
    await here.serve("a", await here.backend("two"))

    async def moved() -> bool:
        name: str = (await here.get("a.example"))[1]["name"]
        return name == "two"

    await eventually(moved, seconds=30)


async def test_it_waits_for_an_api_server_that_is_not_there_yet(tmp_path: Path) -> None:
    async with world(tmp_path, gateway=False) as here:
        await here.api.end(signal.SIGKILL)
        await here.start_gateway()

        async def waiting() -> bool:
            return any(line["message"].startswith("cannot follow") for line in here.gateway.said())

        await eventually(waiting)
        assert await here.healthz() == 503
        await here.start_api()
        await here.ready()


async def test_it_can_be_stopped_while_it_waits_for_the_api_server(tmp_path: Path) -> None:
    async with world(tmp_path, gateway=False) as here:
        await here.api.end(signal.SIGKILL)
        await here.start_gateway()

        async def started() -> bool:
            return await here.healthz() == 503

        await eventually(started)
        assert await here.gateway.end(signal.SIGTERM) == 0


async def test_sigterm_lets_requests_finish_and_ends_well(here: World) -> None:
    backend = await here.backend("a")
    await here.serve("a", backend)
    await here.route(simple("a", "a.example", "a"))
    slow = asyncio.create_task(here.get("a.example", "/slow/1"))
    assert await backend.process.line() == "slow request"
    status = await here.gateway.end(signal.SIGTERM)

    assert (await slow)[0] == 200
    assert status == 0


async def test_with_a_drain_delay_it_is_unready_first_and_still_serves(tmp_path: Path) -> None:
    async with world(tmp_path, UPWELL_GATEWAY_DRAIN_DELAY="2") as here:
        await here.serve("a", await here.backend("a"))
        await here.route(simple("a", "a.example", "a"))
        here.gateway.process.send_signal(signal.SIGTERM)

        async def unready() -> bool:
            return await here.healthz() == 503

        await eventually(unready)
        assert (await here.get("a.example"))[0] == 200
        assert await here.gateway.end() in (0, 1)


async def test_a_restart_on_a_handed_over_socket_refuses_nobody(tmp_path: Path) -> None:
    async with world(tmp_path, gateway=False) as here:
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
            listening.set_inheritable(True)
            here.port = listening.getsockname()[1]
            await here.start_gateway(listening.fileno())
            await here.ready()
            await here.serve("a", await here.backend("a"))
            await here.route(simple("a", "a.example", "a"))
            async with here.load("a.example") as seen:
                await here.more(seen)
                assert await here.gateway.end(signal.SIGTERM) == 0
                await here.start_gateway(listening.fileno())
                await here.ready()
                await here.more(seen)

    assert {status for status, _ in seen} == {200}


async def test_a_killed_gateway_loses_only_what_was_under_way(tmp_path: Path) -> None:
    async with world(tmp_path, gateway=False) as here:
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
            listening.set_inheritable(True)
            here.port = listening.getsockname()[1]
            await here.start_gateway(listening.fileno())
            await here.ready()
            await here.serve("a", await here.backend("a"))
            await here.route(simple("a", "a.example", "a"))
            async with here.load("a.example", clients=4) as seen:
                await here.more(seen)
                await here.gateway.end(signal.SIGKILL)
                await here.start_gateway(listening.fileno())
                await here.ready()
                await here.more(seen)

    assert {status for status, _ in seen} <= {0, 200}
    assert [status for status, _ in seen].count(0) <= 4
    assert "Connection refused" not in str(seen)


async def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    async with world(tmp_path, gateway=False) as here:
        with socket.create_server(("127.0.0.1", here.port)):
            await here.start_gateway()
            status = await asyncio.to_thread(here.gateway.process.wait, 30)
        (line,) = [line for line in here.gateway.said() if line["severity"] == "ERROR"]

    assert status == 1
    assert f"cannot listen on 127.0.0.1:{here.port}" in line["error"]


def test_a_wrong_setting_is_one_clear_line() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "gateway"],
        env={"UPWELL_GATEWAY_WAIT_SECONDS": "soon", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert found.returncode == 1
    (line,) = found.stderr.strip().splitlines()
    assert 'UPWELL_GATEWAY_WAIT_SECONDS="soon"' in json.loads(line)["error"]


async def test_an_endpoint_that_is_gone_is_forgotten(here: World) -> None:
    first, second = await here.backend("first"), await here.backend("second")
    await here.serve("a", first, second)
    await here.route(simple("a", "a.example", "a"))
    await here.client.delete(ENDPOINT_SLICE, "a-0", "default")

    async def only_second() -> bool:
        answers = await asyncio.gather(*(here.get("a.example") for _ in range(20)))
        return {content["name"] for _, content, _ in answers} == {"second"}

    await eventually(only_second)
