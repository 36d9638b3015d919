"""The engine as a whole: listening, and leaving in good order."""

import asyncio
import socket

from tests.unit.http.world import GET, OK, World, settle
from upwell.http import Engine, Outcome


async def test_a_drain_with_nothing_under_way_is_over_at_once(world: World) -> None:
    client = world.client()
    (await world.exchange(client)).sends(OK)

    assert await world.engine.drain(None) is True

    assert client.closed
    assert all(peer.gone for peer in world.upstreams)
    assert world.engine.deadlines.next_sweep == float("inf")


async def test_a_drain_lets_what_is_under_way_finish(world: World) -> None:
    client, parked = world.client(), world.client()
    upstream = await world.exchange(client)
    world.app.on_request = world.app.park
    parked.sends(GET)
    draining = asyncio.ensure_future(world.engine.drain(None))
    await settle()
    assert not draining.done()

    upstream.sends(OK)
    world.app.exchanges[1].respond(200, (), b"ok")
    await settle()

    assert draining.result() is True
    assert client.got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in client.got
    assert parked.got.endswith(b"ok")
    world.quiet()


async def test_a_drain_serves_requests_that_were_sent_ahead(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, GET)
    client.sends(GET)
    draining = asyncio.ensure_future(world.engine.drain(None))
    await settle()

    upstream.sends(OK)
    await settle()

    assert draining.result() is True
    assert client.got.count(b"HTTP/1.1 200 OK") == 1
    assert client.got.count(b"Connection: close") == 1


async def test_a_drain_cuts_what_takes_too_long(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    assert await world.engine.drain(0.01) is False

    assert client.aborted
    assert upstream.aborted
    assert world.app.outcomes == [Outcome.ABORTED]
    world.quiet()


async def test_a_drain_gives_up_connections_that_are_being_opened(world: World) -> None:
    async def never(attempt: int) -> None:
        await asyncio.Event().wait()

    world.connects = never
    world.client().sends(GET)
    await settle()

    assert await world.engine.drain(0.01) is False

    assert world.engine._tasks == set()
    world.quiet()


async def test_it_listens_on_a_free_port_or_on_a_socket_that_it_was_given(world: World) -> None:
    engine = Engine()
    listener = await engine.serve(world.app, "127.0.0.1")
    given = socket.create_server(("127.0.0.1", 0))
    port = given.getsockname()[1]
    other = await engine.serve(world.app, "", sock=given)

    assert listener.port > 0
    assert other.port == port
    assert await engine.drain(1) is True
