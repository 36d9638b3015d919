"""The three bounds on an exchange's time, before and after the response has begun."""

from collections.abc import Callable

import pytest

from tests.unit.http.world import GET, OK, Peer, World, request, settle
from upwell.http import Exchange, Outcome

BEGIN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"


def bounded(world: World, **bounds: float) -> Callable[[Exchange], None]:
    def forward(exchange: Exchange) -> None:
        exchange.set_timeouts(**bounds)  # type: ignore[arg-type]
        world.app.forward(exchange)

    return forward


async def started(world: World, **bounds: float) -> tuple[Peer, Peer]:
    world.app.on_request = bounded(world, **bounds)
    client = world.client()
    return client, await world.exchange(client)


@pytest.mark.parametrize("bound", ["total", "response_start", "idle"])
async def test_before_the_response_it_is_504(world: World, bound: str) -> None:
    client, upstream = await started(world, **{bound: 10.0})

    await world.passes(9.9)
    assert client.got == b""
    await world.passes(0.2)

    assert client.got == (
        b"HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Upwell-Error: tester; reason=timeout\r\nContent-Length: 15\r\nConnection: close\r\n\r\nrequest timeout"
    )
    assert upstream.aborted
    assert world.app.outcomes == [Outcome.TIMED_OUT]
    assert world.app.ended[0].status == 504
    world.quiet()


@pytest.mark.parametrize("bound", ["total", "idle"])
async def test_after_its_begin_the_response_is_cut(world: World, bound: str) -> None:
    client, upstream = await started(world, **{bound: 10.0})
    upstream.sends(BEGIN)

    await world.passes(10.1)

    assert client.gone
    assert client.got.endswith(b"4\r\npart\r\n")
    assert upstream.aborted
    assert world.app.outcomes == [Outcome.TIMED_OUT]
    world.quiet()


async def test_a_response_that_has_begun_met_its_start(world: World) -> None:
    client, upstream = await started(world, response_start=10.0)

    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    await world.passes(100)
    upstream.sends(b"ok")

    assert client.got == OK


async def test_an_informational_answer_is_no_start_but_a_sign_of_life(world: World) -> None:
    client, upstream = await started(world, response_start=10.0, idle=8.0)

    await world.passes(6)
    upstream.sends(b"HTTP/1.1 102 Processing\r\n\r\n")
    await world.passes(3)
    assert b"504" not in client.got
    await world.passes(1.1)

    assert b"504" in client.got


async def test_a_steady_stream_is_not_idle(world: World) -> None:
    client, upstream = await started(world, idle=2.0)

    upstream.sends(BEGIN)
    for _ in range(5):
        await world.passes(1.9)
        upstream.sends(b"1\r\nx\r\n")
    upstream.sends(b"0\r\n\r\n")

    assert client.got.endswith(b"0\r\n\r\n")
    assert world.app.outcomes == [Outcome.COMPLETED]


async def test_time_spent_parked_counts(world: World) -> None:
    def park(exchange: Exchange) -> None:
        exchange.set_timeouts(total=10)

    world.app.on_request = park
    client = world.client()
    client.sends(GET)

    await world.passes(10.1)

    assert client.got.startswith(b"HTTP/1.1 504")
    world.quiet()


async def test_time_spent_connecting_counts(world: World) -> None:
    async def never(attempt: int) -> None:
        await world.clock.sleep(100)

    world.connects = never
    world.app.on_request = bounded(world, total=5)
    client = world.client()
    client.sends(GET)
    await settle()

    await world.passes(5.1)

    assert client.got.startswith(b"HTTP/1.1 504")
    world.quiet()


async def test_a_client_that_still_uploads_gets_its_504_at_once(world: World) -> None:
    world.app.on_request = bounded(world, total=5)
    client = world.client()
    upstream = await world.exchange(client, request("POST / HTTP/1.1", "Content-Length: 1000000", body=b"a little"))

    await world.passes(5.1)

    assert client.got.startswith(b"HTTP/1.1 504")
    assert client.ended
    assert not client.gone
    assert upstream.aborted


async def test_an_ended_exchange_has_no_deadlines(world: World) -> None:
    client, upstream = await started(world, total=5.0, response_start=4.0, idle=3.0)
    upstream.sends(OK)

    await world.passes(10)

    assert client.got == OK
    assert world.app.outcomes == [Outcome.COMPLETED]


async def test_the_body_of_the_504_is_the_applications(world: World) -> None:
    def park(exchange: Exchange) -> None:
        exchange.set_timeouts(total=1, body=b"activator request timeout")

    world.app.on_request = park
    client = world.client()
    client.sends(GET)
    await world.passes(1.1)

    assert client.got.endswith(b"\r\n\r\nactivator request timeout")


async def test_many_different_bounds_do_not_pile_up(world: World) -> None:
    def differently(exchange: Exchange) -> None:
        exchange.set_timeouts(total=1 + len(world.app.exchanges))

    world.app.on_request = differently
    for _ in range(300):
        client = world.client()
        client.sends(GET)
        client.resets()

    assert len(world.engine._timeouts) <= 256
    world.quiet()
