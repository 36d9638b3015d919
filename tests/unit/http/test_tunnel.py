"""After 101: bytes both ways until both sides have ended."""

import pytest

from tests.unit.http.world import Peer, World, request
from upwell.http import Exchange, FailureKind, Outcome

UPGRADE = request("GET /ws HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-A: 1\r\n\r\n"
PASSED_ON = b"HTTP/1.1 101 Switching Protocols\r\nX-A: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def opened(world: World) -> tuple[Peer, Peer]:
    client = world.client()
    upstream = await world.exchange(client, UPGRADE)
    upstream.sends(SWITCHING)
    assert client.take() == PASSED_ON
    upstream.take()
    return client, upstream


async def test_bytes_pass_both_ways(world: World) -> None:
    client, upstream = await opened(world)

    client.sends(b"GET / HTTP/1.1\r\n\r\n")
    upstream.sends(b"\x00\xff")
    client.sends(b"again")

    assert upstream.got == b"GET / HTTP/1.1\r\n\r\nagain"
    assert client.got == b"\x00\xff"
    (exchange,) = world.app.exchanges
    assert (exchange.status, exchange.request_bytes, exchange.response_bytes) == (101, 23, 2)
    assert world.app.ended == []


@pytest.mark.parametrize(
    "answer",
    [
        b"Connection: Upgrade\r\nUpgrade: other\r\n",
        b"Connection: Upgrade\r\nUpgrade: web\r\n",
        b"Connection: Upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"",
    ],
    ids=["another protocol", "a part of its name", "none", "no Connection", "nothing"],
)
async def test_an_upstream_that_switches_to_what_was_not_asked_for_has_failed(world: World, answer: bytes) -> None:
    client = world.client()
    upstream = await world.exchange(client, UPGRADE)

    upstream.sends(b"HTTP/1.1 101 Switching Protocols\r\n" + answer + b"\r\n")

    assert [failure.kind for failure in world.app.failures] == [FailureKind.BAD_RESPONSE]
    assert client.got.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert upstream.aborted
    world.quiet()


async def test_an_upstream_chooses_among_the_protocols_that_were_asked_for(world: World) -> None:
    client = world.client()
    asking = request("GET /ws HTTP/1.1", "Connection: Upgrade", "Upgrade: a/2, WebSocket")
    upstream = await world.exchange(client, asking)

    upstream.sends(SWITCHING)

    assert client.got == PASSED_ON


async def test_what_comes_with_the_101_belongs_to_the_tunnel(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, UPGRADE)
    upstream.take()
    client.sends(b"hasty")

    upstream.sends(SWITCHING + b"welcome")

    assert client.got == PASSED_ON + b"welcome"
    assert upstream.got == b"hasty"


async def test_one_side_may_end_and_still_listen(world: World) -> None:
    client, upstream = await opened(world)

    client.ends()
    assert upstream.ended
    assert not client.gone
    upstream.sends(b"last words")
    assert client.got == b"last words"
    upstream.ends()

    assert client.closed
    assert upstream.closed
    assert not client.aborted
    assert world.app.outcomes == [Outcome.COMPLETED]
    world.quiet()


async def test_the_upstream_may_end_first(world: World) -> None:
    client, upstream = await opened(world)

    upstream.ends()
    assert client.ended
    client.sends(b"bye")
    assert upstream.got == b"bye"
    client.ends()

    assert upstream.closed
    assert world.app.outcomes == [Outcome.COMPLETED]
    world.quiet()


async def test_when_one_connection_is_gone_so_is_the_other(world: World) -> None:
    client, upstream = await opened(world)
    client.resets()
    assert upstream.gone

    client, upstream = await opened(world)
    upstream.resets()
    assert client.gone

    assert world.app.outcomes == [Outcome.COMPLETED] * 2
    world.quiet()


async def test_half_a_tunnel_without_traffic_is_given_up(world: World) -> None:
    client, upstream = await opened(world)
    client.ends()

    await world.passes(50)
    upstream.sends(b"still here")
    await world.passes(50)
    assert not upstream.gone
    await world.passes(11)

    assert upstream.gone
    assert client.gone
    world.quiet()


async def test_a_whole_tunnel_may_be_silent(world: World) -> None:
    client, upstream = await opened(world)

    await world.passes(100_000)

    assert not client.gone
    assert not upstream.gone


async def test_slow_readers_hold_the_other_side(world: World) -> None:
    client, upstream = await opened(world)

    client.is_full()
    assert upstream.paused
    client.has_room()
    assert not upstream.paused
    upstream.is_full()
    assert client.paused
    upstream.has_room()
    assert not client.paused


async def test_the_total_time_bounds_a_tunnel_and_traffic_does_not_help(world: World) -> None:
    def bounded(exchange: Exchange) -> None:
        exchange.set_timeouts(total=10, response_start=1)
        world.app.forward(exchange)

    world.app.on_request = bounded
    client, upstream = await opened(world)

    await world.passes(9)
    client.sends(b"x")
    await world.passes(1.1)

    assert client.gone
    assert upstream.gone
    assert world.app.outcomes == [Outcome.TIMED_OUT]


async def test_a_tunnel_with_traffic_is_not_idle(world: World) -> None:
    def bounded(exchange: Exchange) -> None:
        exchange.set_timeouts(idle=10)
        world.app.forward(exchange)

    world.app.on_request = bounded
    client, upstream = await opened(world)

    for _ in range(3):
        await world.passes(6)
        client.sends(b"x")
        await world.passes(6)
        upstream.sends(b"y")
    assert world.app.ended == []
    await world.passes(11)

    assert world.app.outcomes == [Outcome.TIMED_OUT]
    assert client.gone


async def test_a_drain_without_time_ends_tunnels(world: World) -> None:
    client, upstream = await opened(world)

    assert await world.engine.drain(0.01) is False

    assert client.gone
    assert upstream.gone
    assert world.app.outcomes == [Outcome.ABORTED]
