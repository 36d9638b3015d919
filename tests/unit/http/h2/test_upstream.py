import itertools

import pytest

from tests.unit.http.h2.world import GET, POST, Client, Http2World
from upwell.http import FailureKind, Limits, Outcome
from upwell.http.h2.codes import ErrorCode
from upwell.http.h2.fields import encode_fields
from upwell.http.h2.frames import DATA, END_HEADERS, END_STREAM, HEADERS, encode_frame
from upwell.http.h2.limits import Http2Limits


async def send(world: Http2World, client: Client, *numbers: int, method: list[tuple[str, str]] = GET) -> None:
    for number in numbers:
        client.h2.send_headers(number, method, end_stream=True)
    await client.look()


async def test_many_clients_share_one_connection(world: Http2World) -> None:
    first, second = await world.h2_client(), await world.h2_client()
    await send(world, first, 1, 3)
    await send(world, second, 1)
    server = await world.server()
    assert server.requests == [1, 3, 5]
    for number in (5, 1, 3):
        await server.answer(number, b"%d" % number)
    await first.look()
    await second.look()
    assert (first.body(1), first.body(3), second.body(1)) == (b"1", b"3", b"5")
    assert len(world.upstreams) == 1
    world.quiet()


async def test_more_streams_than_the_upstream_takes_get_a_second_connection() -> None:
    world = Http2World(Limits(http2=Http2Limits(upstream_streams=2)))
    client = await world.h2_client()
    await send(world, client, 1, 3, 5)
    assert len(world.upstreams) == 2
    server = await world.server()
    assert server.requests == [1, 3]
    assert (await world.server(1)).requests == [1]


async def test_a_refused_stream_is_sent_again_whatever_its_method(world: Http2World) -> None:
    world.app.on_failure = world.app.retry
    client = await world.h2_client()
    await send(world, client, 1, method=POST)
    server = await world.server()
    server.h2.reset_stream(1, ErrorCode.REFUSED_STREAM)
    await server.look()
    await server.look()
    assert server.requests == [1, 3]
    await server.answer(3)
    await client.look()
    assert client.status(1) == 200
    (failure,) = world.app.failures
    assert (failure.kind, failure.sent, failure.retryable) == (FailureKind.RESET, False, True)


async def test_streams_above_a_goaway_go_over_another_connection_and_the_others_finish(world: Http2World) -> None:
    world.app.on_failure = world.app.retry
    client = await world.h2_client()
    await send(world, client, 1, 3, method=POST)
    server = await world.server()
    server.h2.close_connection(0, last_stream_id=1)
    server.peer.sends(server.h2.data_to_send())
    await client.look()
    second = await world.server(1)
    assert second.requests == [1]
    await second.answer(1, b"moved")
    await client.look()
    assert client.body(3) == b"moved"
    assert not client.ended(1)


async def test_a_reset_by_the_app_is_an_error_that_is_not_repeated(world: Http2World) -> None:
    world.app.on_failure = world.app.answer_failure
    client = await world.h2_client()
    await send(world, client, 1, method=POST)
    server = await world.server()
    server.h2.reset_stream(1, ErrorCode.INTERNAL_ERROR)
    await server.look()
    await client.look()
    assert client.status(1) == 502
    (failure,) = world.app.failures
    assert (failure.kind, failure.retryable) == (FailureKind.BAD_RESPONSE, False)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (ErrorCode.CANCEL, ErrorCode.CANCEL),
        (ErrorCode.ENHANCE_YOUR_CALM, ErrorCode.ENHANCE_YOUR_CALM),
        (ErrorCode.INTERNAL_ERROR, ErrorCode.INTERNAL_ERROR),
        (ErrorCode.NO_ERROR, ErrorCode.INTERNAL_ERROR),
        (ErrorCode.REFUSED_STREAM, ErrorCode.INTERNAL_ERROR),
        (ErrorCode.FLOW_CONTROL_ERROR, ErrorCode.INTERNAL_ERROR),
        (77, ErrorCode.INTERNAL_ERROR),
    ],
)
async def test_a_reset_within_the_body_reaches_the_client_with_a_code_that_is_true_there(
    world: Http2World, said: int, heard: ErrorCode
) -> None:
    client = await world.h2_client()
    await send(world, client, 1)
    server = await world.server()
    server.h2.send_headers(1, [(":status", "200")])
    server.h2.send_data(1, b"begin")
    await server.look()
    server.h2.reset_stream(1, said)
    await server.look()
    await client.look()
    assert client.body(1) == b"begin"
    assert client.reset_code(1) == heard
    assert world.app.outcomes == [Outcome.UPSTREAM_ABORTED]


async def test_a_connection_that_dies_fails_its_streams_and_the_next_request_gets_a_new_one(world: Http2World) -> None:
    client = await world.h2_client()
    await send(world, client, 1)
    server = await world.server()
    server.peer.resets()
    await client.look()
    assert client.status(1) == 502
    await send(world, client, 3)
    second = await world.server(1)
    await second.answer(1)
    await client.look()
    assert client.status(3) == 200


async def test_an_upstream_that_speaks_http_1_only_is_a_bad_response(world: Http2World) -> None:
    client = await world.h2_client()
    await send(world, client, 1)
    (peer,) = world.upstreams
    peer.sends(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await client.look()
    assert client.status(1) == 502
    assert b"HTTP/1" in client.body(1)
    assert peer.gone


async def test_an_answer_in_one_read_is_checked_like_one_in_many(world: Http2World) -> None:
    block = encode_fields([(b":status", b"200"), (b"content-length", b"5")])
    # Before anything of it was passed on, a wrong length is a bad answer.
    for body, status in ((b"hello", 200), (b"hell", 502), (b"hello!", 502), (b"", 502)):
        client = await world.h2_client()
        await send(world, client, 1, method=POST)
        server = await world.server()
        number = server.requests[-1]
        frames = encode_frame(HEADERS, END_HEADERS, number, block) + encode_frame(DATA, END_STREAM, number, body)
        server.peer.sends(frames)
        await client.look()
        assert (client.status(1), client.ended(1)) == (status, True)
        assert (client.body(1) == body) == (status == 200)
        await server.look()
    world.quiet()


async def test_an_early_answer_in_one_read_stops_the_upload(world: Http2World) -> None:
    client = await world.h2_client()
    client.h2.send_headers(1, POST)
    await client.look()
    server = await world.server()
    server.h2.send_headers(1, [(":status", "413")])
    server.h2.send_data(1, b"no", end_stream=True)
    await server.look()
    await client.look()
    assert (client.status(1), client.body(1)) == (413, b"no")
    assert client.reset_code(1) == ErrorCode.NO_ERROR
    assert server.reset_code(1) == ErrorCode.CANCEL
    world.quiet()


async def test_a_body_shorter_or_longer_than_its_length_never_looks_whole(world: Http2World) -> None:
    client = await world.h2_client()
    await send(world, client, 1, 3)
    server = await world.server()
    for number, body in ((1, b"short"), (3, b"far too long")):
        server.h2.send_headers(number, [(":status", "200"), ("content-length", "10")])
        await server.look()
        server.h2.send_data(number, body, end_stream=True)
        await server.look()
    await client.look()
    assert not client.ended(1)
    assert not client.ended(3)
    assert client.reset_code(1) == client.reset_code(3) == ErrorCode.INTERNAL_ERROR


async def test_informational_answers_pass_and_do_not_change_the_final_one(world: Http2World) -> None:
    client = await world.h2_client()
    await send(world, client, 1)
    server = await world.server()
    server.h2.send_headers(1, [(":status", "103"), ("link", "</a>")])
    await server.look()
    await server.answer(1)
    await client.look()
    assert client.status(1) == 200
    assert len(client.events) > 3


async def silent(world: Http2World) -> Client:
    """A client whose request is with an app that has not answered our PING."""
    client = await world.h2_client()
    await send(world, client, 1, method=POST)
    await world.server()
    (peer,) = world.upstreams
    peer.take()
    await world.passes(16)
    await world.passes(16)
    assert b"silence?" in peer.take()
    await world.passes(16)
    await client.look()
    return client


async def test_a_silent_connection_to_a_host_that_is_gone_is_given_up_with_its_streams(world: Http2World) -> None:
    client = await silent(world)
    assert world.upstreams[0].gone
    assert client.status(1) == 502
    world.quiet()


async def test_an_app_that_is_busy_and_silent_keeps_its_requests_and_gets_no_new_ones_there(
    world: Http2World, engine_patch: pytest.MonkeyPatch
) -> None:
    engine_patch.setattr("upwell.http.h2.upstream.is_unacknowledged", lambda transport: False)
    client = await silent(world)
    assert client.status(1) is None
    await send(world, client, 3)
    assert (await world.server(1)).requests == [1]
    await (await world.server()).answer(1)
    await client.look()
    assert client.status(1) == 200
    assert world.upstreams[0].gone


async def test_a_quiet_stream_is_asked_about_once_in_five_minutes_as_grpc_wants_it(world: Http2World) -> None:
    client = await world.h2_client()
    await send(world, client, 1)
    server = await world.server()
    pings = []
    for second in range(0, 700, 5):
        await world.passes(5)
        data = server.peer.take()
        if b"silence?" in data:
            pings.append(second)
        server.h2.receive_data(data)
        server.flush()
    assert len(pings) == 3
    assert all(later - earlier >= 300 for earlier, later in itertools.pairwise(pings))
    await server.answer(1)
    await client.look()
    assert client.status(1) == 200


async def test_an_idle_connection_is_closed_and_not_used_again(world: Http2World) -> None:
    client = await world.h2_client()
    await send(world, client, 1)
    server = await world.server()
    await server.answer(1)
    await world.passes(91)
    await server.look()
    assert server.peer.gone
    await send(world, client, 3)
    assert len(world.upstreams) == 2


async def test_an_early_end_of_the_answer_stops_the_request(world: Http2World) -> None:
    client = await world.h2_client()
    client.h2.send_headers(1, POST)
    await client.look()
    server = await world.server()
    await server.answer(1, b"enough")
    await client.look()
    assert client.body(1) == b"enough"
    assert server.reset_code(1) == ErrorCode.CANCEL
    assert client.reset_code(1) == ErrorCode.NO_ERROR
    world.quiet()
