"""Asking on our own account."""

import asyncio

import pytest

from tests.unit.http.world import OK, World, settle
from upwell.http import FetchError, FetchResult


def ask(world: World, **options: object) -> "asyncio.Task[FetchResult]":
    arguments: dict[str, object] = {"timeout": 3.0, "max_body": 100, **options}
    coroutine = world.engine.fetch(b"GET", "10.0.0.1", 8080, b"/healthz", [(b"X-A", b"1")], **arguments)  # type: ignore[arg-type]
    return asyncio.ensure_future(coroutine)


async def failure(task: "asyncio.Task[FetchResult]") -> str:
    with pytest.raises(FetchError) as caught:
        await asyncio.wait_for(task, 10)
    return str(caught.value)


async def test_an_answer_has_status_headers_and_body(world: World) -> None:
    task = ask(world)
    await settle()
    (upstream,) = world.upstreams
    upstream.sends(b"HTTP/1.1 299 Odd\r\nX-B: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    upstream.sends(b"1\r\nc\r\n0\r\n\r\n")
    result = await task

    assert upstream.got == b"GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nX-A: 1\r\n\r\n"
    assert (result.status, result.body, result.get(b"x-b"), result.get(b"x-c")) == (299, b"abc", b"2", None)
    assert world.engine.in_flight == 0


async def test_the_host_can_be_given(world: World) -> None:
    task = asyncio.ensure_future(
        world.engine.fetch(b"GET", "10.0.0.1", 8080, b"/", [(b"host", b"app.test")], timeout=1, max_body=10)
    )
    await settle()
    world.upstreams[0].sends(OK)
    await task

    assert world.upstreams[0].got == b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n"


async def test_it_uses_the_pools_that_requests_use(world: World) -> None:
    (idle,) = await world.warm()
    task = ask(world)
    await settle()

    idle.sends(OK)

    assert (await task).body == b"ok"
    assert world.upstream.idle_count == 1


async def test_a_stale_connection_is_tried_once_more(world: World) -> None:
    (idle,) = await world.warm()
    task = ask(world)
    await settle()

    idle.ends()
    await settle()
    world.upstreams[1].sends(OK)

    assert (await task).status == 200


async def test_two_connections_that_die_are_an_error(world: World) -> None:
    task = ask(world)
    await settle()
    world.upstreams[0].ends()
    await settle()
    world.upstreams[1].ends()

    assert await failure(task) == "read tcp 10.0.0.1:8080: connection closed"


async def test_a_refused_connection_is_an_error(world: World) -> None:
    async def refused(attempt: int) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    world.connects = refused

    assert await failure(ask(world)) == "dial tcp 10.0.0.1:8080: connect: connection refused"
    assert world.engine.in_flight == 0


async def test_an_answer_that_takes_too_long_is_an_error(world: World) -> None:
    task = ask(world)
    await settle()

    await world.passes(3.1)

    assert await failure(task) == "timed out"
    assert world.upstreams[0].aborted
    assert world.engine.in_flight == 0


@pytest.mark.parametrize("ended", [True, False])
async def test_an_answer_that_is_too_long_is_an_error(world: World, ended: bool) -> None:
    task = ask(world)
    await settle()

    world.upstreams[0].sends(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"x" * (200 if ended else 150))
    if not ended:
        world.upstreams[0].sends(b"x")

    assert await failure(task) == "the answer has more than 100 bytes"
    assert world.engine.in_flight == 0


async def test_an_answer_that_breaks_off_is_an_error(world: World) -> None:
    task = ask(world)
    await settle()

    world.upstreams[0].sends(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nx")
    world.upstreams[0].ends()

    assert await failure(task) == "the answer broke off"


async def test_who_is_cancelled_leaves_nothing_behind(world: World) -> None:
    task = ask(world)
    await settle()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert world.upstreams[0].aborted
    assert (world.engine.in_flight, world.upstream.in_flight) == (0, 0)
