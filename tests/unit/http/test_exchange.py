"""What an application can do with an exchange, and what it is told."""

import pytest

from tests.unit.http.world import GET, OK, World, request, settle
from upwell.http import Exchange, Outcome, UpstreamFailure
from upwell.http.states import ExchangeState


async def test_an_exchange_can_be_parked_and_forwarded_later(world: World) -> None:
    world.app.on_request = world.app.park
    client = world.client()
    client.sends(GET)
    await world.passes(1000)
    (exchange,) = world.app.exchanges
    assert (exchange.state, exchange.ended, client.paused) == (ExchangeState.PARKED, False, False)

    world.app.forward(exchange)
    await settle()
    world.upstreams[0].sends(OK)

    assert client.got == OK
    assert exchange.state is ExchangeState.ENDED
    assert (exchange.attempts, exchange.upstream) == (1, world.upstream)


async def test_an_exchange_knows_when_it_began_and_how_much_went_through(world: World) -> None:
    await world.clock.advance(7)
    client = world.client()

    upstream = await world.exchange(client, request("POST / HTTP/1.1", "Content-Length: 5", body=b"he"))
    client.sends(b"llo")
    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    upstream.sends(b"cd")

    (exchange,) = world.app.ended
    assert exchange.started == 7
    assert (exchange.request_bytes, exchange.response_bytes, exchange.status) == (5, 4, 200)


async def test_it_carries_whatever_the_application_needs(world: World) -> None:
    marks: list[object] = []

    def mark(exchange: Exchange) -> None:
        exchange.context = object()
        marks.append(exchange.context)
        world.app.forward(exchange)

    world.app.on_request = mark
    client = world.client()
    (await world.exchange(client)).sends(OK)

    assert [exchange.context for exchange in world.app.ended] == marks


async def test_it_can_be_answered_while_it_is_under_way(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    world.app.exchanges[0].respond(503, (), b"enough")

    assert client.got.endswith(b"\r\n\r\nenough")
    assert upstream.aborted
    world.quiet()


async def test_it_can_be_answered_while_it_waits_for_a_connection(world: World) -> None:
    client = world.client()
    client.sends(GET)

    world.app.exchanges[0].respond(503, (), b"enough")
    await settle()

    assert client.got.endswith(b"\r\n\r\nenough")
    assert world.upstreams[0].got == b""
    assert world.upstream.idle_count == 1
    world.quiet()


async def test_decisions_that_come_too_late_change_nothing(world: World) -> None:
    world.app.on_request = world.app.park
    client = world.client()
    client.sends(GET)
    (exchange,) = world.app.exchanges
    client.resets()

    world.app.forward(exchange)
    exchange.respond(200)
    await settle()

    assert (client.got, world.dials) == (b"", [])
    world.quiet()


async def test_deciding_twice_is_a_mistake(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)
    (exchange,) = world.app.exchanges

    with pytest.raises(ValueError, match="already been forwarded"):
        world.app.forward(exchange)
    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    with pytest.raises(ValueError, match="already been answered"):
        exchange.respond(200)


async def test_an_application_that_fails_at_a_failure_is_answered_for(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(exchange: Exchange, failure: UpstreamFailure) -> None:
        raise RuntimeError("a bug")

    world.app.on_failure = fail
    client = world.client()
    upstream = await world.exchange(client)

    upstream.ends()

    assert client.got.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert "a bug" in caplog.text
    world.quiet()


async def test_after_a_failure_an_undecided_exchange_is_parked_again(world: World) -> None:
    world.app.on_failure = lambda exchange, failure: None
    client = world.client()
    upstream = await world.exchange(client)

    upstream.ends()
    (exchange,) = world.app.exchanges
    assert exchange.state is ExchangeState.PARKED
    assert world.upstream.in_flight == 0
    client.resets()

    assert world.app.outcomes == [Outcome.CLIENT_GONE]
    world.quiet()
