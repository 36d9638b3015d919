"""`Expect: 100-continue`: who tells the client to go on."""

import pytest

from tests.unit.http.world import OK, Peer, World, request, settle
from upwell.http import Exchange

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
POST = request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 5")


async def waiting(world: World) -> tuple[Peer, Peer]:
    client = world.client()
    return client, await world.exchange(client, POST)


async def test_the_upstream_is_asked_and_its_word_passed_on(world: World) -> None:
    client, upstream = await waiting(world)

    assert b"\r\nExpect: 100-continue\r\n" in upstream.take()
    upstream.sends(CONTINUE)
    assert client.take() == CONTINUE
    client.sends(b"hello")
    assert upstream.take() == b"hello"
    upstream.sends(OK)
    assert client.take() == OK
    assert not client.gone


async def test_an_upstream_that_refuses_spares_the_client_the_upload(world: World) -> None:
    client, upstream = await waiting(world)

    upstream.sends(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")

    # Whether the client sends the body all the same cannot be known, so it is its last request here.
    assert client.got == b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert client.ended
    assert upstream.gone


async def test_an_upstream_that_says_nothing_is_spoken_for_after_a_second(world: World) -> None:
    client, upstream = await waiting(world)

    await world.passes(0.9)
    assert client.got == b""
    await world.passes(0.2)
    assert client.take() == CONTINUE
    client.sends(b"hello")
    upstream.sends(CONTINUE + OK)

    assert client.take() == OK


async def test_a_client_that_does_not_wait_is_not_told(world: World) -> None:
    client, upstream = await waiting(world)

    client.sends(b"hello")
    upstream.sends(CONTINUE + OK)
    await world.passes(2)

    assert client.got == OK


async def test_a_client_that_sent_head_and_body_at_once_is_not_told(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, POST + b"hello")

    upstream.sends(CONTINUE + OK)

    assert client.got == OK


async def test_an_unexpected_100_is_not_passed_on(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(CONTINUE + OK)

    assert client.got == OK


async def test_while_the_request_is_parked_nobody_says_go_on(world: World) -> None:
    world.app.on_request = world.app.park
    client = world.client()
    client.sends(POST)

    await world.passes(10)
    assert client.got == b""
    world.app.forward(world.app.exchanges[0])
    await settle()
    await world.passes(1.1)

    assert client.got == CONTINUE


@pytest.mark.parametrize("status", [200, 503])
async def test_our_own_answer_ends_the_connection_of_a_client_that_waits(world: World, status: int) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.respond(status, (), b"full")

    world.app.on_request = answer
    client = world.client()

    client.sends(POST)

    assert b"\r\nConnection: close\r\n" in client.got
    assert client.ended
    await world.passes(2)
    assert CONTINUE not in client.got


async def test_nobody_says_go_on_after_the_client_has_left(world: World) -> None:
    client, _ = await waiting(world)

    client.resets()
    await world.passes(2)

    assert client.got == b""
    world.quiet()
