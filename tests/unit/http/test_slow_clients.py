"""A client that stops sending in the middle of its request's body."""

from types import SimpleNamespace

from tests.unit.http.world import OK, World
from upwell.http import Exchange, Limits

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"
IDLE = 60.0


async def test_a_body_that_stops_coming_is_408_and_the_upstream_is_let_go(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, POST)

    await world.passes(IDLE - 0.1)
    assert client.got == b""
    await world.passes(0.2)

    assert client.got.startswith(b"HTTP/1.1 408 ")
    assert b"Upwell-Error: tester; reason=body-timeout" in client.got
    assert upstream.aborted
    world.quiet()


async def test_each_piece_of_the_body_gives_the_whole_time_again(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, POST)
    for _ in range(5):
        await world.passes(IDLE - 1)
        client.sends(b"x")
    client.sends(b"y")
    await world.passes(2 * IDLE)

    assert client.got == b""
    upstream.sends(OK)
    assert client.got == OK
    world.quiet()


async def test_a_client_that_is_not_read_is_not_to_blame(world: World) -> None:
    world.app.on_request = world.app.park
    client = world.client()
    client.socket = SimpleNamespace(getsockopt=lambda *_: b"\x01")  # type: ignore[assignment] # an open connection
    client.sends(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70_000)

    await world.passes(3 * IDLE)

    assert client.paused
    assert client.got == b""


async def test_a_client_that_waits_for_continue_is_not_to_blame(world: World) -> None:
    world.app.on_request = world.app.park
    client = world.client()
    client.sends(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")

    await world.passes(3 * IDLE)

    assert client.got == b""


async def test_a_response_that_has_begun_lets_the_client_be_silent(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, POST)
    upstream.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    await world.passes(3 * IDLE)

    assert b"408" not in client.got
    assert not upstream.aborted


async def test_zero_is_no_limit() -> None:
    world = World(Limits(body_idle_timeout=0))
    client = world.client()
    await world.exchange(client, POST)

    await world.passes(86_400)

    assert client.got == b""


async def test_refused_requests_are_counted_by_reason(world: World) -> None:
    for head in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/3.9\r\nHost: a\r\n\r\n"):
        world.client().sends(head)

    assert sum(world.engine.refused.values()) == 3
    assert world.engine.refused["host"] == 2


async def test_the_application_may_look_at_a_response_head_before_it_leaves(world: World) -> None:
    def forward(exchange: Exchange) -> None:
        exchange.on_head = lambda _, head: head.set_fields([*head.headers, (b"Server-Timing", b"app;dur=1")])
        world.app.forward(exchange)

    world.app.on_request = forward
    client = world.client()
    upstream = await world.exchange(client)
    upstream.sends(OK)

    assert b"Server-Timing: app;dur=1\r\n" in client.got
