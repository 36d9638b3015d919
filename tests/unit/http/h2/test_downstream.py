import asyncio

import h2.events
import pytest

from tests.unit.http.h2.world import GET, POST, Client, Http2World
from tests.unit.http.world import Peer
from upwell.http import Limits, Outcome
from upwell.http.h2.codes import ErrorCode
from upwell.http.h2.downstream import Http2Downstream
from upwell.http.h2.fields import encode_fields
from upwell.http.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    encode_frame,
)
from upwell.http.h2.limits import Http2Limits

BLOCK = encode_fields([(name.encode(), value.encode()) for name, value in GET])


def respond(world: Http2World, body: bytes = b"ok") -> None:
    world.app.on_request = lambda exchange: exchange.respond(200, (), body)


async def test_a_request_is_answered(world: Http2World) -> None:
    respond(world)
    client = await world.h2_client()
    client.h2.send_headers(1, GET, end_stream=True)
    await client.look()
    assert client.status(1) == 200
    assert client.body(1) == b"ok"
    assert client.ended(1)
    (exchange,) = world.app.exchanges
    assert exchange.request.version == (2, 0)
    assert exchange.request.host == b"app.test"
    world.quiet()


async def test_the_answers_to_one_read_leave_in_one_write(world: Http2World) -> None:
    respond(world)
    client = await world.h2_client()
    for number in (1, 3, 5, 7):
        client.h2.send_headers(number, GET, end_stream=True)
    writes = client.peer.writes
    await client.look()
    assert [client.status(number) for number in (1, 3, 5, 7)] == [200] * 4
    assert client.peer.writes == writes + 1


async def test_a_preface_that_comes_byte_by_byte_is_one(world: Http2World) -> None:
    respond(world)
    peer = Peer(Http2Downstream(world.engine, world.app), asyncio.get_running_loop())
    settings, request = encode_frame(SETTINGS, 0, 0), encode_frame(HEADERS, END_HEADERS | END_STREAM, 1, BLOCK)
    peer.sends_bytewise(PREFACE + settings + request)
    assert len(world.app.ended) == 1


async def test_what_begins_like_a_preface_and_is_none_ends_the_connection(world: Http2World) -> None:
    peer = Peer(Http2Downstream(world.engine, world.app), asyncio.get_running_loop())
    peer.sends(PREFACE[:20] + b"xx")
    assert peer.gone


async def test_a_body_goes_through_both_ways_with_trailers(world: Http2World) -> None:
    client = await world.h2_client()
    client.h2.send_headers(1, [*POST, ("te", "trailers")])
    client.h2.send_data(1, b"one")
    await client.look()
    server = await world.server()
    assert server.request(1)[b"te"] == b"trailers"
    assert server.request(1)[b"x-forwarded-for"] == b"192.0.2.7"
    assert server.body(1) == b"one"
    server.h2.send_headers(1, [(":status", "200")])
    server.h2.send_data(1, b"ONE")
    await server.look()
    await client.look()
    assert client.body(1) == b"ONE"
    client.h2.send_data(1, b"two")
    client.h2.send_headers(1, [("x-sum", "6")], end_stream=True)
    await client.look()
    await server.look()
    assert server.body(1) == b"onetwo"
    assert server.seen(h2.events.TrailersReceived)[0].headers == [(b"x-sum", b"6")]
    server.h2.send_headers(1, [("grpc-status", "0")], end_stream=True)
    await server.look()
    await client.look()
    assert client.seen(h2.events.TrailersReceived)[0].headers == [(b"grpc-status", b"0")]
    assert client.ended(1)
    assert world.app.outcomes == [Outcome.COMPLETED]
    world.quiet()


async def test_a_cancelled_stream_ends_its_exchange_and_the_attempt(world: Http2World) -> None:
    client = await world.h2_client()
    client.h2.send_headers(1, GET, end_stream=True)
    await client.look()
    server = await world.server()
    client.h2.reset_stream(1, 8)
    await client.look()
    await server.look()
    assert world.app.outcomes == [Outcome.CLIENT_GONE]
    assert server.reset_code(1) == ErrorCode.CANCEL
    assert not client.peer.gone
    world.quiet()


async def test_a_client_that_leaves_ends_all_its_exchanges(world: Http2World) -> None:
    world.app.on_request = world.app.park
    client = await world.h2_client()
    for number in (1, 3, 5):
        client.h2.send_headers(number, GET, end_stream=True)
    await client.look()
    client.peer.resets()
    assert world.app.outcomes == [Outcome.CLIENT_GONE] * 3
    world.quiet()


async def test_a_slow_client_holds_the_upstream_by_its_window_and_nothing_is_lost(world: Http2World) -> None:
    client = await world.h2_client()
    client.automatic = False
    client.h2.send_headers(1, GET, end_stream=True)
    await client.look()
    server = await world.server()
    server.h2.send_headers(1, [(":status", "200")])
    sent = 0
    while server.h2.local_flow_control_window(1) > 0 and sent < 2_000_000:
        size = min(16_384, server.h2.local_flow_control_window(1))
        server.h2.send_data(1, b"x" * size)
        sent += size
        await server.look()
        await client.look()
    assert sent < 700_000, "the upstream may fill our windows, and no more"
    assert len(client.body(1)) == 65_535
    server.h2.end_stream  # noqa: B018 - the stream stays open until its window opens again
    client.automatic = True
    client.h2.acknowledge_received_data(65_535, 1)
    for _ in range(50):
        await client.look()
        await server.look()
    assert len(client.body(1)) == sent
    assert server.h2.local_flow_control_window(1) > 0


async def test_a_waiting_upload_is_held_by_its_window_while_others_go_on(world: Http2World) -> None:
    world.app.on_request = lambda exchange: (
        world.app.park(exchange) if exchange.request.method == b"POST" else exchange.respond(200)
    )
    client = await world.h2_client()
    sent = 0
    client.h2.send_headers(1, POST)
    while (room := min(16_384, client.h2.local_flow_control_window(1))) > 0:
        client.h2.send_data(1, b"x" * room)
        sent += room
        await client.look()
    assert sent <= 64 * 1024 + 2 * 65_535
    client.h2.send_headers(3, GET, end_stream=True)
    await client.look()
    assert client.status(3) == 200


async def test_an_answer_before_the_end_of_the_request_stops_the_upload(world: Http2World) -> None:
    world.app.on_request = lambda exchange: exchange.respond(413)
    client = await world.h2_client()
    client.h2.send_headers(1, POST)
    await client.look()
    assert client.status(1) == 413
    assert client.reset_code(1) == ErrorCode.NO_ERROR
    client.peer.sends(encode_frame(DATA, END_STREAM, 1, b"late"))
    await client.look()
    assert not client.peer.gone


async def test_a_timeout_is_504_and_after_the_first_byte_a_reset(world: Http2World) -> None:
    def forward(exchange: object) -> None:
        exchange.set_timeouts(total=5)  # type: ignore[attr-defined]
        world.app.forward(exchange)  # type: ignore[arg-type]

    world.app.on_request = forward
    client = await world.h2_client()
    client.h2.send_headers(1, GET, end_stream=True)
    client.h2.send_headers(3, GET, end_stream=True)
    await client.look()
    server = await world.server()
    server.h2.send_headers(3, [(":status", "200")])
    server.h2.send_data(3, b"begin")
    await server.look()
    await world.passes(6)
    await client.look()
    assert client.status(1) == 504
    assert client.body(1) == b"request timeout"
    assert client.body(3) == b"begin"
    assert client.reset_code(3) == ErrorCode.INTERNAL_ERROR
    world.quiet()


async def test_drain_lets_streams_finish_and_then_closes(world: Http2World) -> None:
    client = await world.h2_client()
    client.h2.send_headers(1, GET, end_stream=True)
    await client.look()
    server = await world.server()
    (connection,) = world.engine.connections
    connection.drain()
    data = client.peer.take()
    assert data == b""
    await world.passes(0)
    raw = client.peer.take()
    assert raw.count(b"drained?") == 1
    client.peer.sends(encode_frame(PING, 1, 0, b"drained?"))
    await server.answer(1)
    await world.passes(0)
    assert client.peer.gone
    assert world.app.outcomes == [Outcome.COMPLETED]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (encode_frame(DATA, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(HEADERS, END_HEADERS, 2, BLOCK), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(HEADERS, END_HEADERS, 0, BLOCK), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), ErrorCode.FLOW_CONTROL_ERROR),
        (encode_frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(WINDOW_UPDATE, 0, 0, b"\0"), ErrorCode.FRAME_SIZE_ERROR),
        (encode_frame(RST_STREAM, 0, 1, b"\0\0\0\0"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(RST_STREAM, 0, 0, b"\0\0\0\0"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(SETTINGS, 1, 0, b"\0" * 6), ErrorCode.FRAME_SIZE_ERROR),
        (encode_frame(SETTINGS, 0, 0, b"\0\2\0\0\0\2"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"), ErrorCode.FLOW_CONTROL_ERROR),
        (encode_frame(SETTINGS, 0, 0, b"\0\5\0\0\0\1"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(PING, 0, 0, b"short"), ErrorCode.FRAME_SIZE_ERROR),
        (encode_frame(PING, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(PRIORITY, 0, 1, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
        (encode_frame(5, 0, 1, b"1234"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(7, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(CONTINUATION, END_HEADERS, 1, BLOCK), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(HEADERS, 0, 1, BLOCK) + encode_frame(PING, 0, 0, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(HEADERS, 0, 1, BLOCK) + encode_frame(CONTINUATION, 0, 3, b""), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(HEADERS, END_HEADERS, 1, b"\xff\xff"), ErrorCode.COMPRESSION_ERROR),
        # Floods.
        (encode_frame(HEADERS, 0, 1, BLOCK) + encode_frame(CONTINUATION, 0, 1) * 40, ErrorCode.ENHANCE_YOUR_CALM),
        (encode_frame(PING, 0, 0, b"12345678") * 2100, ErrorCode.ENHANCE_YOUR_CALM),
        (encode_frame(SETTINGS, 0, 0) * 2100, ErrorCode.ENHANCE_YOUR_CALM),
        (encode_frame(PRIORITY, 0, 1, b"12345") * 2100, ErrorCode.ENHANCE_YOUR_CALM),
        (encode_frame(99, 0, 1, b"12345") * 2100, ErrorCode.ENHANCE_YOUR_CALM),
        (encode_frame(HEADERS, 4, 1, BLOCK) + encode_frame(DATA, 0, 1) * 2100, ErrorCode.ENHANCE_YOUR_CALM),
        (
            b"".join(
                encode_frame(HEADERS, 5, number, BLOCK) + encode_frame(RST_STREAM, 0, number, b"\0\0\0\x08")
                for number in range(1, 2400, 2)
            ),
            ErrorCode.ENHANCE_YOUR_CALM,
        ),
    ],
)
async def test_a_broken_rule_ends_the_connection_with_its_code(
    world: Http2World, frame: bytes, code: ErrorCode
) -> None:
    world.app.on_request = world.app.park
    client = await world.h2_client()
    client.peer.sends(frame)
    await client.look()
    assert client.goaway_code() == code
    assert client.peer.gone
    assert world.engine.in_flight == 0
    assert len(world.app.ended) == len(world.app.exchanges)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (encode_frame(HEADERS, 5, 1, BLOCK) + encode_frame(DATA, 0, 1, b"x"), ErrorCode.STREAM_CLOSED),
        (encode_frame(HEADERS, 5, 1, BLOCK) + encode_frame(HEADERS, 5, 1, BLOCK), ErrorCode.STREAM_CLOSED),
        (encode_frame(HEADERS, 4, 1, BLOCK) + encode_frame(HEADERS, 4, 1, b""), ErrorCode.PROTOCOL_ERROR),
        (encode_frame(HEADERS, 4, 1, BLOCK) + encode_frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\0"), ErrorCode.PROTOCOL_ERROR),
        (
            encode_frame(HEADERS, 4, 1, BLOCK) + encode_frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"),
            ErrorCode.FLOW_CONTROL_ERROR,
        ),
        (
            encode_frame(HEADERS, 4, 1, BLOCK) + encode_frame(DATA, 0, 1, b"x" * 16384) * 12,
            ErrorCode.FLOW_CONTROL_ERROR,
        ),
        (encode_frame(HEADERS, 5, 1, BLOCK + b"\x00\x0aconnection\x05close"), ErrorCode.PROTOCOL_ERROR),
        (
            encode_frame(HEADERS, 4, 1, BLOCK + encode_fields([(b"content-length", b"2")]))
            + encode_frame(DATA, 1, 1, b"x"),
            ErrorCode.PROTOCOL_ERROR,
        ),
        (
            encode_frame(HEADERS, 4, 1, BLOCK + encode_fields([(b"content-length", b"2")]))
            + encode_frame(DATA, 0, 1, b"xxx"),
            ErrorCode.PROTOCOL_ERROR,
        ),
    ],
)
async def test_a_broken_rule_of_a_stream_costs_that_stream(world: Http2World, frames: bytes, code: ErrorCode) -> None:
    world.app.on_request = world.app.park
    client = await world.h2_client()
    client.peer.sends(frames)
    await world.passes(0)
    raw = client.peer.take()
    assert encode_frame(RST_STREAM, 0, 1, int(code).to_bytes(4, "big")) in raw
    assert not client.peer.gone
    assert world.engine.in_flight == 0


async def test_more_streams_than_allowed_are_refused() -> None:
    world = Http2World(Limits(http2=Http2Limits(concurrent_streams=2)))
    world.app.on_request = world.app.park
    client = await world.h2_client()
    for number in (1, 3, 5):
        client.peer.sends(encode_frame(HEADERS, 5, number, BLOCK))
    await world.passes(0)
    assert encode_frame(RST_STREAM, 0, 5, b"\0\0\0\x07") in client.peer.take()
    assert len(world.app.exchanges) == 2


async def test_an_oversized_head_is_431_on_its_stream(world: Http2World) -> None:
    respond(world)
    client = await world.h2_client()
    client.h2.send_headers(1, [*GET, *[("x", "1")] * 300], end_stream=True)
    client.h2.send_headers(3, GET, end_stream=True)
    await client.look()
    assert client.status(1) == 431
    assert client.status(3) == 200


async def test_a_client_that_takes_nothing_loses_its_stream_after_a_while(world: Http2World) -> None:
    respond(world, b"x" * 100_000)
    client = await world.h2_client()
    client.automatic = False
    client.h2.send_headers(1, GET, end_stream=True)
    await client.look()
    assert not client.ended(1)
    await world.passes(301)
    await client.look()
    assert client.reset_code(1) == ErrorCode.CANCEL


async def test_a_client_that_reads_nothing_is_not_read(world: Http2World) -> None:
    respond(world)
    client = await world.h2_client()
    client.peer.is_full()
    assert client.peer.paused
    client.peer.has_room()
    assert not client.peer.paused


async def test_a_client_without_acknowledgement_is_told_so(world: Http2World) -> None:
    client = await world.h2_client()
    silent = Client(client.peer, client=True)
    (connection,) = world.engine.connections
    assert isinstance(connection, Http2Downstream)
    connection.http2.unacknowledged.add(connection, world.engine.now())
    await world.passes(11)
    assert encode_frame(7, 0, 0, b"\0\0\0\0\0\0\0\x04")[9:] in silent.peer.take() or silent.peer.gone


async def test_an_idle_connection_is_closed_with_goaway(world: Http2World) -> None:
    client = await world.h2_client()
    await world.passes(181)
    await client.look()
    assert client.goaway_code() == ErrorCode.NO_ERROR
    assert client.peer.gone


async def test_the_preface_on_an_http_1_connection_switches_it(world: Http2World) -> None:
    plain = world.client()
    before = plain.protocol
    respond(world)
    plain.sends(PREFACE[:10])
    plain.sends(PREFACE[10:] + encode_frame(SETTINGS, 0, 0) + encode_frame(HEADERS, 5, 1, BLOCK))
    await world.passes(0)
    assert plain.protocol is not before
    assert len(world.app.ended) == 1
    assert list(world.engine.connections) == [plain.protocol]
