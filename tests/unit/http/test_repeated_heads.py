"""A head that comes again is not parsed again, and means the same; nothing else is ever taken for it."""

from operator import methodcaller

import pytest

from tests.unit.http.world import GET, OK, World, request
from upwell.http import Exchange, request_reader


async def test_a_head_that_comes_again_goes_out_as_before(world: World) -> None:
    client = world.client()
    for _ in range(3):
        upstream = await world.exchange(client)
        assert upstream.take() == b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
        upstream.sends(OK)

    assert client.got == OK * 3
    assert world.app.exchanges[1].request is world.app.exchanges[0].request


async def test_a_head_that_differs_in_one_byte_is_read_anew(world: World) -> None:
    client = world.client()
    for path in (b"/a", b"/a", b"/b"):
        upstream = await world.exchange(client, GET.replace(b"/", path, 1))
        assert upstream.take().startswith(b"GET %b HTTP/1.1\r\n" % path)
        upstream.sends(OK)


async def test_what_the_application_adds_to_one_request_is_not_in_the_next(world: World) -> None:
    client = world.client()
    seen = []
    for number in (b"1", b"1", b"2"):
        added = [(b"X-N", number)]
        world.app.on_request = methodcaller("forward", world.upstream, host=b"h" + number, add=added)
        upstream = await world.exchange(client)
        seen.append(upstream.take())
        upstream.sends(OK)

    assert seen[0] == seen[1]
    assert b"Host: h2\r\n" in seen[2]
    assert b"X-N: 2\r\n" in seen[2]


async def test_bodies_after_the_same_head_are_told_apart(world: World) -> None:
    client = world.client()
    for body in (b"one", b"two", b"six"):
        upstream = await world.exchange(client, request("POST / HTTP/1.1", "Content-Length: 3", body=body))
        assert upstream.take().endswith(b"\r\n\r\n" + body)
        upstream.sends(OK)


async def test_the_answer_to_head_is_not_taken_for_that_to_get(world: World) -> None:
    client = world.client()
    head_only = OK.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    for method, answer in ((b"HEAD", head_only), (b"GET", OK), (b"HEAD", head_only), (b"GET", OK)):
        upstream = await world.exchange(client, GET.replace(b"GET", method))
        upstream.sends(answer)
        assert client.take() == answer


async def test_a_response_head_that_the_application_changes_is_not_remembered(world: World) -> None:
    client = world.client()
    numbers = iter(range(9))

    def forward_and_mark(exchange: Exchange) -> None:
        number = next(numbers)
        if number != 2:
            exchange.on_head = lambda _, head: head.set_fields([*head.headers, (b"X-N", b"%d" % number)])
        exchange.forward(world.upstream)

    world.app.on_request = forward_and_mark
    answers = []
    for _ in range(4):
        (await world.exchange(client)).sends(OK)
        answers.append(client.take())

    assert [b"X-N: %d\r\n" % n in answer for n, answer in enumerate(answers)] == [True, True, False, True]
    assert answers[2] == OK


async def test_only_so_many_connections_remember(world: World, engine_patch: pytest.MonkeyPatch) -> None:
    engine_patch.setattr(request_reader, "_REMEMBERING_MAX", 2)
    clients = [world.client() for _ in range(3)]
    for client in clients * 2:
        (await world.exchange(client)).sends(OK)

    assert len(world.engine.head_memory) == 2
    assert all(client.got == OK * 2 for client in clients)


async def test_a_connection_that_is_gone_is_forgotten(world: World) -> None:
    client = world.client()
    (await world.exchange(client)).sends(OK)
    client.resets()

    assert len(world.engine.head_memory) == 0
