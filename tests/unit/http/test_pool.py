"""Connections to an upstream: kept, shared out, and let go."""

import asyncio

from tests.unit.http.world import GET, OK, World, settle
from upwell.http import Exchange, FailureKind, Limits
from upwell.http.dial import DialError


async def test_the_connection_used_last_is_used_first(world: World) -> None:
    old, new = await world.warm(2)

    assert await world.exchange(world.client()) is new
    assert await world.exchange(world.client()) is old


async def test_only_so_many_idle_connections_are_kept() -> None:
    world = World(Limits(idle_connections=2))

    await world.warm(4)

    assert world.upstream.idle_count == 2
    assert sum(not peer.gone for peer in world.upstreams) == 2


async def test_an_upstream_may_have_a_limit_of_its_own(world: World) -> None:
    world.upstream = world.app.upstream = world.engine.upstream("10.0.0.2", 80, idle_limit=1)

    await world.warm(2)

    assert world.upstream.idle_count == 1


async def test_past_the_total_the_connection_unused_longest_goes_whosever_it_is() -> None:
    world = World(Limits(idle_connections_total=2))
    first = world.upstream
    await world.warm(2)
    world.upstream = world.app.upstream = world.engine.upstream("10.0.0.2", 80)

    await world.warm(1)

    assert (first.idle_count, world.upstream.idle_count) == (1, 1)
    assert sum(not peer.gone for peer in world.upstreams) == 2


async def test_the_same_address_with_tls_is_another_upstream(world: World) -> None:
    class Dialer:
        async def connect(self, protocol: asyncio.Protocol, host: str, port: int) -> asyncio.Transport:
            raise DialError(FailureKind.TLS, f"{host} is not who it should be")

    secure = world.engine.upstream("10.0.0.1", 8080, secure=Dialer())
    assert secure is not world.upstream
    world.app.upstream = secure

    world.client().sends(GET)
    await settle()

    (failure,) = world.app.failures
    assert (failure.kind, failure.sent) == (FailureKind.TLS, False)
    assert not world.dials


async def test_an_idle_connection_is_closed_after_ninety_seconds(world: World) -> None:
    (peer,) = await world.warm()

    await world.passes(89)
    assert not peer.gone
    await world.passes(1.1)

    assert peer.gone
    assert world.upstream.idle_count == 0


async def test_a_connection_in_use_is_not_idle(world: World) -> None:
    (peer,) = await world.warm()
    await world.passes(80)
    client = world.client()
    await world.exchange(client)
    await world.passes(80)
    assert not peer.gone
    peer.sends(OK)
    await world.passes(89)

    assert not peer.gone


async def test_a_connection_that_the_upstream_closed_is_never_used(world: World) -> None:
    old, new = await world.warm(2)

    new.ends()
    await settle()

    assert await world.exchange(world.client()) is old


async def test_who_waits_for_a_connection_takes_whichever_comes_first(world: World) -> None:
    gate = asyncio.Event()
    (peer,) = await world.warm()
    first, second = world.client(), world.client()
    await world.exchange(first)

    async def slowly(attempt: int) -> None:
        await gate.wait()

    world.connects = slowly
    second.sends(GET)
    await settle()
    peer.sends(OK)
    assert peer.writes == 3
    gate.set()
    await settle()
    peer.sends(OK)

    assert first.got == second.got == OK
    assert world.upstream.idle_count == 2


async def test_those_who_wait_are_served_in_order(world: World) -> None:
    gate = asyncio.Event()

    async def slowly(attempt: int) -> None:
        await gate.wait()

    world.connects = slowly
    clients = [world.client() for _ in range(3)]
    for number, client in enumerate(clients):
        client.sends(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    gate.set()
    await settle()

    assert [peer.got[:6] for peer in world.upstreams] == [b"GET /0", b"GET /1", b"GET /2"]


async def test_a_connection_refused_fails_one_request_not_all(world: World) -> None:
    async def first_fails(attempt: int) -> None:
        if attempt == 1:
            raise ConnectionRefusedError(111, "Connection refused")

    world.connects = first_fails
    clients = [world.client() for _ in range(2)]
    for client in clients:
        client.sends(GET)
    await settle()
    world.upstreams[0].sends(OK)

    assert [client.got[:12] for client in clients] == [b"HTTP/1.1 502", b"HTTP/1.1 200"]
    world.quiet()


async def test_only_so_many_connections_are_opened_at_once_and_each_that_is_there_lets_the_next_be_opened() -> None:
    world = World(Limits(connections_opening=2))
    gates: list[asyncio.Event] = []

    async def slowly(attempt: int) -> None:
        gates.append(asyncio.Event())
        await gates[-1].wait()

    world.connects = slowly
    clients = [world.client() for _ in range(4)]
    for client in clients:
        client.sends(GET)
    await settle()
    assert len(gates) == 2

    gates[0].set()
    await settle()
    assert len(gates) == 3
    world.upstreams[0].sends(OK)
    assert len(gates) == 3
    for gate in gates:
        gate.set()
    await settle()
    for peer in world.upstreams:
        peer.sends(OK)
    await settle()
    assert [client.got[:12] for client in clients] == [b"HTTP/1.1 200"] * 4
    assert world.upstream.connections_opened == 3


async def test_when_the_last_attempt_fails_all_hear_of_it_who_wait_for_a_connection() -> None:
    world = World(Limits(connections_opening=2))

    async def fails(attempt: int) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    world.connects = fails
    clients = [world.client() for _ in range(5)]
    for client in clients:
        client.sends(GET)
    await settle()

    assert [client.got[:12] for client in clients] == [b"HTTP/1.1 502"] * 5
    assert len(world.dials) == 2
    world.quiet()


async def test_an_address_that_does_not_exist_is_a_failure_like_others(world: World) -> None:
    import socket

    async def unknown(attempt: int) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    world.connects = unknown
    client = world.client()
    client.sends(GET)
    await settle()

    assert world.app.failures[0].kind is FailureKind.CONNECT_REFUSED
    assert "Name or service not known" in world.app.failures[0].message


async def test_an_address_has_one_pool(world: World) -> None:
    assert world.engine.upstream("10.0.0.1", 8080) is world.upstream
    assert world.engine.upstream("10.0.0.1", 8081) is not world.upstream


async def test_a_discarded_upstream_closes_when_it_is_through(world: World) -> None:
    idle, busy = await world.warm(2)
    client = world.client()
    await world.exchange(client)

    world.engine.discard(world.upstream)
    assert idle.gone
    assert not busy.gone
    busy.sends(OK)

    assert client.got == OK
    assert busy.gone
    assert world.engine.upstream("10.0.0.1", 8080) is not world.upstream


async def test_in_flight_counts_from_forwarding_to_the_end(world: World) -> None:
    seen: list[int] = []

    def forward(exchange: Exchange) -> None:
        world.app.forward(exchange)
        seen.append(world.upstream.in_flight)

    world.app.on_request = forward
    clients = [world.client() for _ in range(2)]
    used = [await world.exchange(client) for client in clients]
    world.app.on_end = lambda exchange: seen.append(world.upstream.in_flight)
    for peer in used:
        peer.sends(OK)

    assert seen == [1, 2, 1, 0]


async def test_a_pool_can_be_looked_at(world: World) -> None:
    await world.warm(2)
    await world.exchange(world.client())

    assert repr(world.upstream) == "<Upstream 10.0.0.1:8080: 1 in flight, 1 idle, 0 waiting, 0 opening>"
    assert world.upstream.connections_opened == 2
    assert world.engine.upstream("::1", 80).authority == b"[::1]:80"
