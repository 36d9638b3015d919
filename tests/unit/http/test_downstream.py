"""What a client can do to us, and what it gets."""

import pytest

from tests.unit.http.world import GET, OK, World, request, settle
from upwell.http import Exchange, Limits, Outcome

CHUNKED_POST = request("POST / HTTP/1.1", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"


async def test_a_request_goes_out_in_one_write_and_so_does_its_response(world: World) -> None:
    client = world.client()
    data = request("POST /a HTTP/1.1", "Content-Length: 5", body=b"hello")

    upstream = await world.exchange(client, data)
    upstream.sends(OK)

    assert upstream.got == (
        b"POST /a HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nX-Forwarded-For: 192.0.2.7\r\n\r\nhello"
    )
    assert client.got == OK
    assert (upstream.writes, client.writes) == (1, 1)
    assert world.app.outcomes == [Outcome.COMPLETED]
    world.quiet()


@pytest.mark.parametrize("cut", range(1, len(CHUNKED_POST)))
async def test_a_request_may_be_cut_anywhere(world: World, cut: int) -> None:
    client = world.client()

    client.sends(CHUNKED_POST[:cut])
    await settle()
    client.sends(CHUNKED_POST[cut:])
    await settle()

    (upstream,) = world.upstreams
    head, _, body = upstream.got.partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert body.replace(b"1\r\nh\r\n4\r\nello\r\n", b"5\r\nhello\r\n").endswith(b"0\r\nX-Sum: 1\r\n\r\n")
    (exchange,) = world.app.exchanges
    assert (exchange.request_bytes, exchange.request_complete) == (5, True)


async def test_a_request_may_come_byte_by_byte(world: World) -> None:
    client = world.client()
    client.sends_bytewise(request("PUT / HTTP/1.1", "Content-Length: 3", body=b"abc"))
    await settle()

    world.upstreams[0].sends(OK)

    assert world.upstreams[0].got.endswith(b"\r\n\r\nabc")
    assert client.got == OK


async def test_a_connection_carries_one_request_after_another(world: World) -> None:
    client = world.client()
    for _ in range(3):
        (await world.exchange(client)).sends(OK)

    assert client.got == OK * 3
    assert len(world.upstreams) == 1
    assert not client.gone


async def test_requests_sent_ahead_are_answered_in_order_one_at_a_time(world: World) -> None:
    client = world.client()
    client.sends(b"".join(request(f"GET /{number} HTTP/1.1") for number in (1, 2, 3)))
    await settle()
    (upstream,) = world.upstreams

    for number in (b"1", b"2", b"3"):
        assert upstream.take().startswith(b"GET /" + number)
        upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + number)
        assert client.take().endswith(number)

    assert world.app.outcomes == [Outcome.COMPLETED] * 3


async def test_requests_sent_ahead_of_a_body_wait_for_their_turn(world: World) -> None:
    client = world.client()
    client.sends(request("POST /1 HTTP/1.1", "Content-Length: 3", body=b"abc" + request("GET /2 HTTP/1.1")))
    await settle()
    (upstream,) = world.upstreams

    assert upstream.take().endswith(b"abc")
    upstream.sends(OK)
    assert upstream.take().startswith(b"GET /2")


async def test_thousands_of_requests_answered_on_the_spot_need_no_stack(world: World) -> None:
    world.app.on_request = lambda exchange: exchange.respond(204)
    client = world.client()

    client.sends(GET * 5000)

    assert client.got.count(b"HTTP/1.1 204 No Content\r\n") == 5000


async def test_a_client_that_sends_ahead_without_end_is_not_read_for_ever(world: World) -> None:
    client = world.client()
    await world.exchange(client)

    client.sends(GET * 3000)
    assert client.paused
    world.upstreams[0].sends(OK)
    assert not client.paused


async def test_a_client_that_does_not_read_its_answers_gets_no_more_of_them(world: World) -> None:
    answered: list[Exchange] = []

    def answer(exchange: Exchange) -> None:
        answered.append(exchange)
        if len(answered) == 1:
            client.is_full()
        exchange.respond(200, (), b"x")

    world.app.on_request = answer
    client = world.client()

    client.sends(GET * 3)
    assert len(answered) == 1
    assert client.paused
    client.has_room()
    assert len(answered) == 3
    assert not client.paused


@pytest.mark.parametrize(
    ("version", "fields", "connection", "closes"),
    [
        ("1.1", (), None, False),
        ("1.1", ("Connection: close",), b"close", True),
        ("1.0", (), b"close", True),
        ("1.0", ("Connection: keep-alive",), b"keep-alive", False),
    ],
)
async def test_the_connection_lives_on_as_the_client_asked(
    world: World, version: str, fields: tuple[str, ...], connection: bytes | None, closes: bool
) -> None:
    client = world.client()

    upstream = await world.exchange(client, request(f"GET / HTTP/{version}", *fields))
    upstream.sends(OK)

    assert client.got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (b"Connection: " + connection in client.got) if connection else (b"Connection" not in client.got)
    assert client.gone is closes
    assert not upstream.gone


async def test_what_follows_a_last_request_is_ignored(world: World) -> None:
    client = world.client()

    upstream = await world.exchange(client, request("GET / HTTP/1.1", "Connection: close") + GET)
    upstream.sends(OK)
    await settle()

    assert client.closed
    assert len(world.app.exchanges) == 1


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\n", b"400"),
        (b"\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", b"505"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
        (request("POST / HTTP/1.1", "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n", b"400"),
        (request("POST / HTTP/1.1", "Transfer-Encoding: chunked") + b"zz\r\n", b"400"),
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n", b"414"),
        (request("GET / HTTP/1.1", "X: " + "x" * 140_000), b"431"),
        (request("GET / HTTP/1.1", *["X: x"] * 300), b"431"),
    ],
)
async def test_bad_requests_are_answered_and_never_forwarded(world: World, data: bytes, status: bytes) -> None:
    client = world.client()

    client.sends(data)
    await settle()

    assert client.got.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nConnection: close\r\n" in client.got
    assert b"\r\nUpwell-Error: tester; reason=" in client.got
    assert client.ended
    assert (world.app.exchanges, world.dials) == ([], [])
    assert world.engine.in_flight == 0


async def test_a_bad_request_after_good_ones_is_answered_in_its_turn(world: World) -> None:
    client = world.client()

    upstream = await world.exchange(client, GET + b"nonsense\r\n\r\n")
    assert client.got == b""
    upstream.sends(OK)

    assert client.got.startswith(OK + b"HTTP/1.1 400 Bad Request\r\n")


async def test_a_body_that_turns_out_malformed_ends_the_exchange(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(
        client, request("POST / HTTP/1.1", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n"
    )

    client.sends(b"zz\r\n")
    await settle()

    assert client.got.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert upstream.aborted
    assert not upstream.got.endswith(b"0\r\n\r\n")
    assert world.app.outcomes == [Outcome.BAD_REQUEST]
    world.quiet()


async def test_a_body_that_turns_out_malformed_after_the_response_began_cuts_it(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(
        client, request("POST / HTTP/1.1", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n"
    )
    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart")

    client.sends(b"zz\r\n")

    assert client.gone
    assert client.got.endswith(b"part")
    assert world.app.outcomes == [Outcome.BAD_REQUEST]


async def test_after_a_refusal_the_client_may_finish_speaking_but_not_for_ever(world: World) -> None:
    client = world.client()
    client.sends(b"nonsense\r\n\r\n")

    client.sends(b"x" * 1000)
    assert not client.gone
    await world.passes(5.1)
    assert client.aborted


async def test_after_a_refusal_only_so_much_is_read(world: World) -> None:
    client = world.client()
    client.sends(b"nonsense\r\n\r\n")

    client.sends(b"x" * 300_000)

    assert client.gone


async def test_who_leaves_while_its_request_runs_cancels_it_at_once(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    client.resets()

    assert upstream.aborted
    assert world.app.outcomes == [Outcome.CLIENT_GONE]
    world.quiet()


async def test_who_stops_speaking_while_its_request_runs_is_gone_too(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    client.ends()

    assert upstream.aborted
    assert world.app.outcomes == [Outcome.CLIENT_GONE]


async def test_who_leaves_while_its_request_is_parked_is_noticed(world: World) -> None:
    world.app.on_request = world.app.park
    client = world.client()
    client.sends(request("POST / HTTP/1.1", "Content-Length: 100000", body=b"some"))

    client.ends()

    assert world.app.outcomes == [Outcome.CLIENT_GONE]
    assert world.dials == []
    world.quiet()


async def test_a_parked_requests_body_is_read_only_so_far(world: World) -> None:
    world.app.on_request = world.app.park
    client = world.client()

    client.sends(request("POST / HTTP/1.1", "Content-Length: 200000", body=b"x" * 30_000))
    assert not client.paused
    client.sends(b"x" * 40_000)
    assert client.paused
    world.app.forward(world.app.exchanges[0])
    await settle()

    assert not client.paused
    assert world.upstreams[0].got.endswith(b"x" * 70_000)


async def test_who_leaves_unread_is_found_by_asking_the_kernel(world: World, engine_patch: pytest.MonkeyPatch) -> None:
    world.app.on_request = world.app.park
    client = world.client()
    client.sends(request("POST / HTTP/1.1", "Content-Length: 200000", body=b"x" * 70_000))
    here = [True]
    engine_patch.setattr("upwell.http.downstream.peer_has_left", lambda transport: not here[0])

    await world.passes(1.1)
    await world.passes(1.1)
    assert world.app.ended == []
    here[0] = False
    await world.passes(1.1)

    assert world.app.outcomes == [Outcome.CLIENT_GONE]
    world.quiet()


async def test_a_head_must_come_in_time(world: World) -> None:
    silent, slow = world.client(), world.client()
    slow.sends(b"GET / HTTP/1.1\r\n")

    await world.passes(59)
    assert not silent.gone
    assert not slow.gone
    await world.passes(1.1)

    assert silent.gone
    assert slow.gone


async def test_a_slow_head_on_a_kept_alive_connection_has_its_own_time(world: World) -> None:
    client = world.client()
    (await world.exchange(client)).sends(OK)
    await world.passes(100)

    client.sends(b"GET ")
    await world.passes(59)
    client.sends(b"/ HTTP")
    assert not client.gone
    await world.passes(1.1)

    assert client.gone


async def test_an_idle_connection_is_closed_after_a_while(world: World) -> None:
    client = world.client()
    (await world.exchange(client)).sends(OK)

    await world.passes(179)
    assert not client.gone
    await world.passes(1.1)

    assert client.gone


async def test_a_busy_connection_has_no_deadline_of_its_own(world: World) -> None:
    client = world.client()
    await world.exchange(client)

    await world.passes(10_000)

    assert not client.gone


async def test_an_answer_of_the_application_is_framed_for_it(world: World) -> None:
    world.app.on_request = lambda exchange: exchange.respond(503, ((b"Retry-After", b"1"),), b"full\n")
    client = world.client()

    client.sends(GET)
    client.sends(request("HEAD / HTTP/1.1"))

    assert client.got == (
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\nfull\n"
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\n"
    )
    assert [exchange.status for exchange in world.app.ended] == [503, 503]
    assert not client.gone


async def test_an_answer_before_a_short_rest_of_the_body_keeps_the_connection(world: World) -> None:
    world.app.on_request = lambda exchange: exchange.respond(503, (), b"full")
    client = world.client()

    client.sends(request("POST / HTTP/1.1", "Content-Length: 10", body=b"12345"))
    assert world.app.outcomes == [Outcome.COMPLETED]
    client.sends(b"67890" + GET)

    assert client.got.count(b"HTTP/1.1 503") == 2
    assert b"Connection" not in client.got


async def test_a_connection_kept_over_an_unwanted_rest_stays_when_that_had_to_be_over(world: World) -> None:
    world.app.on_request = lambda exchange: exchange.respond(503, (), b"full")
    client = world.client()
    client.sends(request("POST / HTTP/1.1", "Content-Length: 10", body=b"12345"))
    client.sends(b"67890")

    await world.passes(6)

    assert not client.gone


async def test_the_rest_of_a_body_that_nobody_wants_must_come_in_time(world: World) -> None:
    world.app.on_request = lambda exchange: exchange.respond(503, (), b"full")
    client = world.client()
    client.sends(request("POST / HTTP/1.1", "Content-Length: 10", body=b"12345"))

    await world.passes(5.1)

    assert client.gone


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
async def test_an_answer_before_a_long_rest_of_the_body_is_the_last(world: World, framing: str) -> None:
    world.app.on_request = lambda exchange: exchange.respond(503, (), b"full")
    client = world.client()

    client.sends(request("POST / HTTP/1.1", framing))

    assert b"\r\nConnection: close\r\n" in client.got
    assert client.ended
    assert not client.gone
    client.sends(b"more of it")
    client.ends()
    assert client.gone


async def test_an_application_that_fails_is_answered_for(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail(exchange: Exchange) -> None:
        raise RuntimeError("a bug")

    world.app.on_request = world.app.on_end = fail
    client = world.client()

    client.sends(GET)

    assert client.got.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"a bug" not in client.got
    assert len(caplog.records) == 2
    assert world.engine.in_flight == 0


async def test_when_drained_busy_connections_close_after_their_answer(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)
    world.engine.draining = True

    upstream.sends(OK)

    assert b"\r\nConnection: close\r\n" in client.got
    assert client.closed


async def test_what_is_written_to_a_slow_reader_at_the_end_is_not_waited_for_for_ever() -> None:
    world = World(Limits(linger_timeout=2.0))
    client = world.client()
    upstream = await world.exchange(client, request("GET / HTTP/1.1", "Connection: close"))
    client.is_full()

    upstream.had_sent(OK)
    assert client.closed
    assert not client.aborted
    await world.passes(2.1)

    assert client.aborted
