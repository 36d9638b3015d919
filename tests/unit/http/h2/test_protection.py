"""What a hostile peer may try over HTTP/2, one test a rule, with the `h2` library's connection as the attacker's."""

import asyncio

import pytest
from h2.settings import SettingCodes

from tests.unit.http.h2.world import GET, POST, Client, Http2World, split
from tests.unit.http.world import Peer, settle
from upwell.http import Limits, Outcome
from upwell.http.h2.codes import ErrorCode
from upwell.http.h2.downstream import Http2Downstream
from upwell.http.h2.fields import encode_fields
from upwell.http.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    encode_frame,
)
from upwell.http.h2.limits import Http2Limits

BLOCK = encode_fields([(name.encode(), value.encode()) for name, value in GET])
GET_END = END_HEADERS | END_STREAM


async def over(world: Http2World, client: Client, code: ErrorCode) -> None:
    """The connection has ended with this code, and everything that came over it."""
    await settle()
    assert goaways(client.peer.take()) == [code]
    assert client.peer.gone
    world.quiet()


def goaways(data: bytes) -> list[int]:
    return [int.from_bytes(payload[4:8], "big") for kind, _, _, payload in split(data) if kind == GOAWAY]


def resets(data: bytes) -> dict[int, int]:
    return {number: int.from_bytes(payload, "big") for kind, _, number, payload in split(data) if kind == RST_STREAM}


# Rapid reset.


async def test_a_client_that_cancels_at_once_over_and_over_is_cut_off_and_costs_the_app_a_bounded_number() -> None:
    world = Http2World(Limits(http2=Http2Limits(resets_burst=50)))
    client = await world.h2_client()
    for number in range(1, 400, 2):
        if client.peer.gone:
            break
        client.h2.send_headers(number, GET, end_stream=True)
        client.h2.reset_stream(number, ErrorCode.CANCEL)
        client.flush()
    await over(world, client, ErrorCode.ENHANCE_YOUR_CALM)
    assert len(world.app.exchanges) == 51
    assert set(world.app.outcomes) == {Outcome.CLIENT_GONE}


async def test_a_client_that_cancels_slowly_enough_may_go_on(world: Http2World) -> None:
    client = await world.h2_client()
    for number in range(1, 4000, 2):
        client.h2.send_headers(number, GET, end_stream=True)
        client.h2.reset_stream(number, ErrorCode.CANCEL)
        await world.clock.advance(1 / 30)
        client.flush()
    await client.look()
    assert client.goaway_code() is None


async def test_a_request_that_has_had_its_time_may_be_cancelled_by_its_deadline_however_many_do() -> None:
    world = Http2World(Limits(http2=Http2Limits(resets_burst=50, resets_per_second=1)))
    world.app.on_request = world.app.park
    client = await world.h2_client()
    for first in range(1, 1000, 100):
        for number in range(first, first + 100, 2):
            client.h2.send_headers(number, GET, end_stream=True)
        client.flush()
        await world.clock.advance(1)
        for number in range(first, first + 100, 2):
            client.h2.reset_stream(number, ErrorCode.CANCEL)
        client.flush()
    await client.look()
    assert client.goaway_code() is None
    assert world.app.outcomes == [Outcome.CLIENT_GONE] * 500


async def test_streams_that_we_must_reset_ourselves_are_counted_too(world: Http2World) -> None:
    """Made you reset: the client breaks a rule of the stream instead of cancelling it."""
    client = await world.h2_client()
    attack = b"".join(
        encode_frame(HEADERS, END_HEADERS, number, BLOCK) + encode_frame(WINDOW_UPDATE, 0, number, b"\0\0\0\0")
        for number in range(1, 4400, 2)
    )
    client.peer.sends(attack)
    await over(world, client, ErrorCode.ENHANCE_YOUR_CALM)


# Header blocks.


@pytest.mark.parametrize("piece", [b"", b"x" * 16_384], ids=["many", "large"])
async def test_a_header_block_without_end_is_given_up(world: Http2World, piece: bytes) -> None:
    client = await world.h2_client()
    client.peer.sends(encode_frame(HEADERS, 0, 1, BLOCK))
    for _ in range(33):
        if not client.peer.gone:
            client.peer.sends(encode_frame(CONTINUATION, 0, 1, piece))
    await over(world, client, ErrorCode.ENHANCE_YOUR_CALM)
    assert world.app.exchanges == []


async def test_a_header_block_that_drips_is_given_up_in_time(world: Http2World) -> None:
    client = await world.h2_client()
    client.peer.sends(encode_frame(HEADERS, 0, 1, BLOCK))
    await world.passes(59)
    client.peer.sends(encode_frame(CONTINUATION, 0, 1, b"\x82"))
    await world.passes(2)
    await over(world, client, ErrorCode.ENHANCE_YOUR_CALM)


async def test_a_header_list_larger_than_we_take_is_431_and_a_bomb_ends_the_connection(world: Http2World) -> None:
    world.app.on_request = lambda exchange: exchange.respond(200)
    client = await world.h2_client()
    client.h2.send_headers(1, [*GET, *[(f"x-{number}", "v" * 4000) for number in range(40)]], end_stream=True)
    client.h2.send_headers(3, GET, end_stream=True)
    await client.look()
    assert (client.status(1), client.status(3)) == (431, 200)
    # One entry of 4,000 bytes, and then a thousand times its index.
    entry = b"\x40\x01x\x7f\xa1\x1e" + b"v" * 4000
    client.peer.sends(encode_frame(HEADERS, GET_END, 5, BLOCK + entry + b"\xbe" * 1000))
    await over(world, client, ErrorCode.ENHANCE_YOUR_CALM)


async def test_trailers_larger_than_we_take_cost_the_stream(world: Http2World) -> None:
    client = await world.h2_client()
    client.h2.send_headers(1, POST)
    client.h2.send_headers(1, [(f"x-{number}", "v" * 4000) for number in range(5)], end_stream=True)
    await client.look()
    assert client.reset_code(1) == ErrorCode.ENHANCE_YOUR_CALM
    assert world.app.outcomes == [Outcome.BAD_REQUEST]
    world.quiet()


async def test_an_answer_whose_head_is_larger_than_we_take_is_502() -> None:
    world = Http2World(Limits(response_head_bytes=20_000))
    client = await world.h2_client()
    client.h2.send_headers(1, GET, end_stream=True)
    await client.look()
    server = await world.server()
    server.h2.send_headers(1, [(":status", "200"), *[(f"x-{number}", "v" * 4000) for number in range(6)]])
    await server.look()
    await client.look()
    assert client.status(1) == 502
    await server.look()
    assert server.reset_code(1) == ErrorCode.ENHANCE_YOUR_CALM
    world.quiet()


# Frames that only cost work.


@pytest.mark.parametrize(
    "frame",
    [
        encode_frame(PING, 0, 0, b"12345678"),
        encode_frame(SETTINGS, 0, 0),
        encode_frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff"),
        encode_frame(2, 0, 1, b"\0\0\0\3\x10"),
        encode_frame(DATA, 0, 1),
        encode_frame(DATA, 8, 1, b"\2\0\0"),
        encode_frame(99, 0, 0),
        encode_frame(RST_STREAM, 0, 3, b"\0\0\0\x08"),
        encode_frame(DATA, 0, 3, b"x"),
    ],
    ids=["ping", "settings", "window settings", "priority", "empty", "padding", "unknown", "reset again", "too late"],
)
async def test_a_flood_ends_the_connection_and_what_comes_slowly_does_not(world: Http2World, frame: bytes) -> None:
    world.app.on_request = world.app.park
    client = await world.h2_client()
    client.peer.sends(encode_frame(HEADERS, END_HEADERS, 1, BLOCK) + encode_frame(HEADERS, END_HEADERS, 3, BLOCK))
    client.peer.sends(encode_frame(RST_STREAM, 0, 3, b"\0\0\0\x08"))
    for _ in range(60):
        client.peer.sends(frame * 50)
        await world.passes(0.15)
        client.peer.take()
    assert not client.peer.gone
    client.peer.sends(frame * 2600)
    await over(world, client, ErrorCode.ENHANCE_YOUR_CALM)


async def test_an_app_that_floods_us_loses_its_connection_and_its_requests_get_502(world: Http2World) -> None:
    client = await world.h2_client()
    client.h2.send_headers(1, POST, end_stream=True)
    await client.look()
    (peer,) = world.upstreams
    peer.sends(encode_frame(SETTINGS, 0, 0) + encode_frame(PING, 0, 0, b"12345678") * 2100)
    await client.look()
    assert peer.gone
    assert client.status(1) == 502
    assert b"too many frames" in client.body(1)
    world.quiet()


# Windows.


async def test_data_beyond_the_connection_s_window_ends_the_connection() -> None:
    world = Http2World(Limits(http2=Http2Limits(connection_window=65_535, stream_window=2**20)))
    world.app.on_request = world.app.park
    client = await world.h2_client()
    # Given back half at a time, the window is never smaller than what one read may bring; so this takes two streams.
    client.peer.sends(encode_frame(HEADERS, END_HEADERS, 1, BLOCK))
    (connection,) = world.engine.connections
    connection._receive_window = 10_000  # type: ignore[union-attr] # as if our updates were still under way
    connection._refill_below = 0  # type: ignore[union-attr]
    client.peer.sends(encode_frame(DATA, 0, 1, b"x" * 10_001))
    await over(world, client, ErrorCode.FLOW_CONTROL_ERROR)


async def test_a_setting_that_opens_a_stream_s_window_too_far_ends_the_connection(world: Http2World) -> None:
    world.app.on_request = world.app.park
    client = await world.h2_client()
    client.peer.sends(encode_frame(HEADERS, GET_END, 1, BLOCK))
    client.peer.sends(encode_frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\0\0"))
    client.peer.sends(encode_frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff"))
    await over(world, client, ErrorCode.FLOW_CONTROL_ERROR)


@pytest.mark.parametrize("which", ["stream", "connection"])
async def test_a_window_that_stays_shut_costs_the_stream_in_time_and_the_app_is_let_go(
    world: Http2World, which: str
) -> None:
    client = await world.h2_client({SettingCodes.INITIAL_WINDOW_SIZE: 0 if which == "stream" else 2**20})
    client.automatic = False
    client.h2.send_headers(1, GET, end_stream=True)
    await client.look()
    server = await world.server()
    server.h2.send_headers(1, [(":status", "200")])
    for _ in range(6):
        server.h2.send_data(1, b"x" * 15_000)
    await server.look()
    await client.look()
    assert len(client.body(1)) == (0 if which == "stream" else 65_535)
    await world.passes(301)
    await client.look()
    await server.look()
    assert client.reset_code(1) == ErrorCode.CANCEL
    assert server.reset_code(1) == ErrorCode.CANCEL
    assert world.app.outcomes == [Outcome.CLIENT_GONE]
    assert not client.peer.gone
    world.quiet()


async def test_a_window_opened_byte_by_byte_is_a_flood(world: Http2World) -> None:
    world.app.on_request = lambda exchange: exchange.respond(200, (), b"x" * 100_000)
    client = await world.h2_client({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    client.h2.send_headers(1, GET, end_stream=True)
    await client.look()
    for _ in range(2100):
        if not client.peer.gone:
            client.peer.sends(encode_frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    await over(world, client, ErrorCode.ENHANCE_YOUR_CALM)


# Readers that do not read.


async def test_a_client_that_reads_nothing_holds_the_app_and_is_cut_in_time(world: Http2World) -> None:
    client = await world.h2_client({SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
    client.h2.increment_flow_control_window(2**29)
    client.h2.send_headers(1, GET, end_stream=True)
    await client.look()
    server = await world.server()
    server.h2.send_headers(1, [(":status", "200")])
    client.peer.is_full()
    sent = 0
    while (room := min(16_384, server.h2.local_flow_control_window(1))) > 0 and sent < 2_000_000:
        server.h2.send_data(1, b"x" * room)
        sent += room
        await server.look()
    assert sent < 500_000, "the app may fill our window, and no more"
    await world.passes(301)
    await server.look()
    assert client.peer.gone
    assert server.reset_code(1) == ErrorCode.CANCEL
    world.quiet()


async def test_answers_that_pile_up_before_a_client_that_reads_nothing_are_bounded() -> None:
    world = Http2World(Limits(http2=Http2Limits(unsent_control=20_000)))
    client = await world.h2_client()
    client.peer.is_full()
    client.peer.unsent = 20_001
    client.peer.had_sent(encode_frame(PING, 0, 0, b"12345678"))
    await settle()
    assert client.peer.aborted
    world.quiet()


# Streams.


async def test_the_number_of_streams_is_announced_enforced_and_free_again_when_one_ends() -> None:
    world = Http2World(Limits(http2=Http2Limits(concurrent_streams=3)))
    world.app.on_request = world.app.park
    client = await world.h2_client()
    assert client.h2.remote_settings.max_concurrent_streams == 3
    for number in (1, 3, 5):
        client.h2.send_headers(number, GET, end_stream=True)
    await client.look()
    client.peer.sends(encode_frame(HEADERS, GET_END, 7, BLOCK) + encode_frame(HEADERS, END_HEADERS, 9, BLOCK))
    client.peer.sends(encode_frame(DATA, END_STREAM, 9, b"was under way"))
    await settle()
    assert resets(client.peer.take()) == {7: ErrorCode.REFUSED_STREAM, 9: ErrorCode.REFUSED_STREAM}
    world.app.exchanges[0].respond(200)
    await client.look()
    client.peer.sends(encode_frame(HEADERS, GET_END, 11, BLOCK))
    assert len(world.app.exchanges) == 4
    assert world.engine.in_flight == 3


async def test_a_client_that_opens_streams_only_to_be_refused_is_cut_off() -> None:
    world = Http2World(Limits(http2=Http2Limits(concurrent_streams=1)))
    world.app.on_request = world.app.park
    client = await world.h2_client()
    client.peer.sends(b"".join(encode_frame(HEADERS, GET_END, number, BLOCK) for number in range(1, 4200, 2)))
    await over(world, client, ErrorCode.ENHANCE_YOUR_CALM)
    assert len(world.app.exchanges) == 1


# The preface.


async def test_a_client_that_never_acknowledges_our_settings_is_given_up(world: Http2World) -> None:
    peer = Peer(Http2Downstream(world.engine, world.app), asyncio.get_running_loop())
    peer.sends(PREFACE + encode_frame(SETTINGS, 0, 0))
    await world.passes(11)
    assert goaways(peer.take()) == [ErrorCode.SETTINGS_TIMEOUT]
    assert peer.gone


async def test_a_connection_on_which_nothing_is_asked_is_closed(world: Http2World) -> None:
    client = await world.h2_client()
    client.peer.sends(encode_frame(HEADERS, END_HEADERS, 1, BLOCK)[:20])
    await world.passes(181)
    await over(world, client, ErrorCode.NO_ERROR)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concurrent_streams": 0}, "concurrent_streams must be from 1 to"),
        ({"connection_window": 2**31}, "connection_window must be from 65535 to"),
        ({"chores_per_second": -1.0}, "chores_per_second must be from 0 to inf, and is -1.0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Http2Limits(**settings)  # type: ignore[arg-type]
