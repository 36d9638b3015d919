"""What an upstream can answer, and what becomes of it."""

import pytest

from tests.unit.http.world import GET, OK, World, request, settle
from upwell.http import Exchange, FailureKind, Outcome
from upwell.http.body import ChunkedReader

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n"
    b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n"
)
UPGRADE = request("GET /ws HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket")


@pytest.mark.parametrize("cut", range(1, len(CHUNKED)))
async def test_a_response_may_be_cut_anywhere(world: World, cut: int) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(CHUNKED[:cut])
    upstream.sends(CHUNKED[cut:])

    head, _, body = client.got.partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked"
    chunks = ChunkedReader(1000)
    assert chunks.feed(body) == b"hello world"
    assert (chunks.ended, chunks.rest, chunks.trailers) == (True, b"", [(b"X-Sum", b"42")])
    assert (world.app.ended[0].status, world.app.ended[0].response_bytes) == (200, 11)
    assert not upstream.gone
    world.quiet()


async def test_a_response_that_comes_whole_leaves_whole(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    assert client.got == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"


async def test_a_response_is_passed_on_as_it_comes(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    assert client.take() == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    upstream.sends(b"ab")
    assert client.take() == b"ab"
    upstream.sends(b"cd")
    assert client.take() == b"cd"
    assert world.app.outcomes == [Outcome.COMPLETED]


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_some_answers_have_no_body(world: World, method: str, answer: bytes) -> None:
    client = world.client()
    upstream = await world.exchange(client, request(f"{method} / HTTP/1.1"))

    upstream.sends(answer)

    assert client.got == answer
    assert world.app.outcomes == [Outcome.COMPLETED]
    assert not upstream.gone


async def test_a_head_request_learns_of_no_chunks(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, request("HEAD / HTTP/1.1"))

    upstream.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n")

    assert client.got == b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"
    assert not client.gone


async def test_a_body_where_there_must_be_none_is_dropped_with_its_connection(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, request("HEAD / HTTP/1.1"))

    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")

    assert client.got == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    assert upstream.gone


async def test_bytes_after_a_response_cost_the_connection(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(OK + b"HTTP/1.1 200 OK\r\n")

    assert upstream.gone
    assert client.gone is False


async def test_bytes_that_nobody_asked_for_cost_the_connection(world: World) -> None:
    (upstream,) = await world.warm()

    upstream.sends(OK)
    await settle()

    assert upstream.gone
    assert world.upstream.idle_count == 0
    other = await world.exchange(world.client())
    assert other is not upstream


async def test_a_body_until_close_becomes_chunks(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(b"HTTP/1.1 200 OK\r\n\r\nsome")
    upstream.sends(b"more")
    upstream.ends()

    assert client.got == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n4\r\nmore\r\n0\r\n\r\n"
    assert not client.gone
    assert world.app.outcomes == [Outcome.COMPLETED]


async def test_a_body_until_close_that_is_reset_is_cut(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(b"HTTP/1.1 200 OK\r\n\r\nsome")
    upstream.resets()

    assert client.gone
    assert not client.got.endswith(b"0\r\n\r\n")
    assert world.app.outcomes == [Outcome.UPSTREAM_ABORTED]


@pytest.mark.parametrize("answer", [CHUNKED, b"HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nhello world"])
async def test_an_old_client_gets_no_chunks_and_a_closed_connection(world: World, answer: bytes) -> None:
    client = world.client()
    upstream = await world.exchange(client, request("GET / HTTP/1.0", "Connection: keep-alive"))

    upstream.sends(answer)
    upstream.ends()

    assert client.got == b"HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close\r\n\r\nhello world"
    assert client.closed
    assert not client.aborted


async def test_an_old_clients_cut_response_ends_in_a_reset(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, request("GET / HTTP/1.0"))

    upstream.sends(CHUNKED[:70])
    upstream.ends()

    assert client.aborted
    assert client.socket.options
    assert world.app.outcomes == [Outcome.UPSTREAM_ABORTED]


@pytest.mark.parametrize("status", [b"102 Processing", b"103 Early Hints"])
async def test_informational_answers_are_passed_on_and_change_nothing(world: World, status: bytes) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(b"HTTP/1.1 " + status + b"\r\nLink: </s.css>\r\n\r\n")
    assert client.take() == b"HTTP/1.1 " + status + b"\r\nLink: </s.css>\r\n\r\n"
    assert world.app.exchanges[0].status == 0
    upstream.sends(b"HTTP/1.1 " + status + b"\r\n\r\n" + b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    assert client.got.endswith(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    assert world.app.ended[0].status == 404


async def test_an_old_client_gets_no_informational_answers(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, request("GET / HTTP/1.0"))

    upstream.sends(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)

    assert client.got.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"this is not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
    ],
    ids=["garbage", "two lengths", "bad chunk", "unasked 101", "endless head", "huge head"],
)
async def test_an_answer_that_is_none_is_a_failure(world: World, answer: bytes) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(answer)

    assert [failure.kind for failure in world.app.failures] == [FailureKind.BAD_RESPONSE]
    assert client.got.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert upstream.aborted
    world.quiet()


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nsome data\r\n", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nnot enough", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"zz\r\n"),
    ],
)
async def test_a_broken_response_never_looks_whole(world: World, begin: bytes, rest: bytes | None) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(begin)
    if rest is None:
        upstream.ends()
    else:
        upstream.sends(rest)

    assert client.gone
    assert client.got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not client.got.endswith(b"0\r\n\r\n")
    assert world.app.outcomes == [Outcome.UPSTREAM_ABORTED]
    world.quiet()


async def test_what_had_arrived_of_a_broken_response_is_still_delivered(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    upstream.ends()

    assert client.got.endswith(b"only this")
    assert (client.closed, client.aborted) == (True, False)


@pytest.mark.parametrize("fields", ["Connection: close\r\n", ""])
async def test_an_upstream_that_wants_no_more_gets_no_more(world: World, fields: str) -> None:
    client = world.client()
    upstream = await world.exchange(client)
    version = "1.1" if fields else "1.0"

    upstream.sends(f"HTTP/{version} 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok".encode())

    assert upstream.gone
    assert client.got == OK
    assert not client.gone


async def test_a_slow_client_stops_the_upstream_and_starts_it_again(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)
    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")

    client.is_full()
    assert upstream.paused
    client.has_room()
    assert not upstream.paused


async def test_a_slow_upstream_stops_the_client_and_starts_it_again(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, request("POST / HTTP/1.1", "Content-Length: 1000"))

    upstream.is_full()
    assert client.paused
    upstream.has_room()
    assert not client.paused


async def test_a_connection_goes_back_to_its_pool_able_to_be_read(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)
    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    client.is_full()

    upstream.had_sent(b"cd")

    assert not upstream.paused
    assert world.upstream.idle_count == 1


async def test_a_request_that_is_sent_while_the_client_is_full_is_not_read(world: World) -> None:
    def full(exchange: Exchange) -> None:
        client.is_full()
        world.app.forward(exchange)

    world.app.on_request = full
    client = world.client()

    upstream = await world.exchange(client)

    assert upstream.paused


async def test_an_early_response_reaches_the_client_while_it_uploads(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, request("POST / HTTP/1.1", "Content-Length: 1000000", body=b"begin"))

    upstream.sends(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")

    assert client.got.endswith(b"\r\n\r\nno")
    assert b"\r\nConnection: close\r\n" in client.got
    assert upstream.gone
    assert client.ended
    assert not client.gone
    assert world.app.outcomes == [Outcome.COMPLETED]
    world.quiet()


@pytest.mark.parametrize(
    "begin", [b"", b"HTTP/1.1 413 Content", b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nn"]
)
async def test_an_answer_that_was_not_read_when_writing_failed_still_counts(
    world: World, engine_patch: pytest.MonkeyPatch, begin: bytes
) -> None:
    client = world.client()
    upstream = await world.exchange(client, request("POST / HTTP/1.1", "Content-Length: 1000000", body=b"begin"))
    answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
    if begin:
        upstream.sends(begin)
    engine_patch.setattr("upwell.http.upstream.unread_bytes", lambda transport, limit: answer[len(begin) :])

    upstream.resets()

    assert client.got.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert client.got.endswith(b"no")
    assert world.app.failures == []
    assert world.upstream.idle_count == 0
    world.quiet()


async def test_an_early_response_with_little_left_to_upload_keeps_the_client(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, request("POST / HTTP/1.1", "Content-Length: 10", body=b"begin"))

    upstream.sends(OK)
    assert upstream.gone
    client.sends(b"12345")
    other = await world.exchange(client)

    assert other is not upstream
    assert client.got == OK


async def test_both_bodies_may_flow_at_once(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, request("POST / HTTP/1.1", "Transfer-Encoding: chunked") + b"1\r\na\r\n")
    upstream.take()

    upstream.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n")
    client.sends(b"1\r\nb\r\n")
    assert upstream.take() == b"1\r\nb\r\n"
    upstream.sends(b"1\r\nB\r\n")
    client.sends(b"0\r\n\r\n")
    assert upstream.take() == b"0\r\n\r\n"
    upstream.sends(b"0\r\n\r\n")

    assert client.got.endswith(b"1\r\nA\r\n1\r\nB\r\n0\r\n\r\n")
    assert not upstream.gone
    assert world.upstream.idle_count == 1


async def test_the_request_before_last_does_not_hold_up_the_next(world: World) -> None:
    """The connection of an exchange that has just ended is free for the one that its end sets off."""
    world.app.on_request = world.app.park
    first, second = world.client(), world.client()
    first.sends(GET)
    second.sends(GET)
    one, two = world.app.exchanges
    world.app.forward(one)
    await settle()
    world.app.on_end = lambda exchange: world.app.forward(two) if exchange is one else None

    world.upstreams[0].sends(OK)

    assert world.upstreams[0].writes == 2
    assert len(world.upstreams) == 1


async def test_a_refused_upgrade_is_an_ordinary_answer(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client, UPGRADE)

    upstream.sends(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")

    assert client.got == b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    (await world.exchange(client)).sends(OK)
    assert client.got.endswith(OK)
