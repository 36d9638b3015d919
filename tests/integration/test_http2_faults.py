"""Faults at every byte over HTTP/2: the app or the client closes, resets or stalls there.

After each case the sidecar, whose limit is one, serves the next request over the client's same connection: a fault of
the app costs the stream that met it and nothing else. At the end of each test nothing is in flight and nobody waits.
"""

import operator
from functools import partial

import h2.errors
import pytest

from tests.integration.http2_peers import AppConnection, Result, http2_served
from tests.integration.sidecar import MAIN
from tests.waiting import eventually
from upwell.http.h2.codes import ErrorCode
from upwell.http.h2.fields import encode_fields
from upwell.http.h2.frames import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, encode_frame

HEAD = encode_fields([(b":status", b"200"), (b"x-a", b"b")])
TRAILERS = encode_fields([(b"x-sum", b"5")])
REQUEST = encode_fields(
    [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/fault"), (b"x", b"y" * 20)]
)


def answer(number: int) -> list[bytes]:
    """The frames of an answer in three parts."""
    return [
        encode_frame(HEADERS, END_HEADERS, number, HEAD),
        encode_frame(DATA, 0, number, b"hello"),
        encode_frame(HEADERS, END_HEADERS | END_STREAM, number, TRAILERS),
    ]


SIZES = [len(frame) for frame in answer(1)]
WHOLE = sum(SIZES)


class Faulty:
    """Says so many bytes of an answer and then fails in one way."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.length = 0

    def __call__(self, connection: AppConnection, number: int, path: str) -> None:
        # What the library has to say goes out first, or it would come in the middle of a frame.
        connection.writer.write(connection.h2.data_to_send())
        connection.writer.write(b"".join(answer(number))[: self.length])
        if self.how == "close":
            connection.close()
        elif self.how == "reset":
            connection.abort()


def check(result: Result, length: int, reason: str) -> None:
    """What the design's failure table says, for an answer of which so many bytes have come."""
    if length < SIZES[0]:
        assert (result.status, result.ended) == (504 if reason == "timeout" else 502, True), length
        assert result.fields["upwell-error"] == f"queueproxy; reason={reason}"
    elif length < WHOLE:
        assert result.status == 200
        assert result.body == (b"hello" if length >= SIZES[0] + SIZES[1] else b"")
        assert not result.ended, "a part never looks whole"
        assert result.reset == ErrorCode.INTERNAL_ERROR
    else:
        assert (result.status, result.body, result.ended) == (200, b"hello", True)
        assert result.trailers == {"x-sum": "5"}


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_an_app_that_breaks_off_is_502_before_its_answer_and_a_reset_within(how: str) -> None:
    faulty = Faulty(how)
    async with http2_served(faulty) as served:
        for faulty.length in range(WHOLE + 1):
            result = await served.client.get("/fault", "POST")
            check(result, faulty.length, "reset")
            assert (await served.client.get("/after", "POST")).status == 200
        assert served.app.requests.count("/fault") == WHOLE + 1, "none is sent twice"
        assert not served.client.closed


@pytest.mark.parametrize("length", [0, 12, SIZES[0], SIZES[0] + 12, WHOLE - 1])
async def test_an_app_that_stalls_is_504_before_its_answer_and_a_reset_within(length: int) -> None:
    faulty = Faulty("stall")
    faulty.length = length
    async with http2_served(faulty, REVISION_TIMEOUT_SECONDS="1") as served:
        result = await served.client.get("/fault", "POST")
        check(result, length, "timeout")
        if length in (0, SIZES[0]):
            # Between frames the connection is sound: the request is cancelled, and the next one goes over it.
            (connection,) = served.app.connections
            assert await eventually(lambda: connection.resets()) == {1: ErrorCode.CANCEL}
            assert (await served.client.get("/after")).status == 200
            assert len(served.app.connections) == 1


@pytest.mark.parametrize("how", ["close", "reset", "abort within a frame"])
async def test_a_connection_that_died_between_streams_costs_no_request(how: str) -> None:
    async with http2_served(lambda *_: None) as served:
        for _ in range(5):
            assert (await served.client.get("/first", "POST")).ended
            connection = served.app.connections[-1]
            if how == "close":
                connection.close()
            elif how == "reset":
                connection.abort()
            else:
                connection.writer.write(encode_frame(HEADERS, END_HEADERS, 3, HEAD)[:7])
                connection.close()
            await connection.gone()
            result = await served.client.get("/next", "POST")
            assert (result.status, result.ended) == (200, True)
        assert served.app.requests.count("/next") == 5


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_request_that_may_be_repeated_is_when_the_app_dies_before_its_answer(how: str) -> None:
    def fail_once(connection: AppConnection, number: int, path: str) -> None:
        if len(served.app.connections) > 1:
            connection.answer(number)
        elif how == "close":
            connection.close()
        else:
            connection.abort()

    async with http2_served(fail_once) as served:
        result = await served.client.get("/fault", "GET")
        assert (result.status, result.body) == (200, b"ok")
        assert served.app.requests == ["/fault", "/fault"]


async def test_streams_on_a_connection_that_dies_end_together_and_their_slots_are_free() -> None:
    async with http2_served(lambda *_: None, CONTAINER_CONCURRENCY="8") as served:
        begun = [served.client.start("/fault", "POST") for _ in range(8)]
        waiting = [served.client.start(f"/{number}", "POST") for number in range(8)]
        await eventually(lambda: served.app.requests.count("/fault") == 8)
        served.app.connections[0].abort()
        assert [(await served.client.result(number)).status for number in begun] == [502] * 8
        assert [(await served.client.result(number)).status for number in waiting] == [200] * 8


async def test_an_app_that_refuses_a_stream_or_leaves_with_goaway_costs_no_request() -> None:
    def refuse(connection: AppConnection, number: int, path: str) -> None:
        if served.app.requests.count(path) > 1:
            connection.answer(number)
        elif path == "/fault/refused":
            connection.h2.reset_stream(number, h2.errors.ErrorCodes.REFUSED_STREAM)
        else:
            connection.h2.close_connection(last_stream_id=number - 2)

    async with http2_served(refuse) as served:
        for path in ("/fault/refused", "/fault/goaway"):
            result = await served.client.get(path, "POST")
            assert (result.status, result.body) == (200, b"ok")
        assert served.app.requests == ["/fault/refused"] * 2 + ["/fault/goaway"] * 2


@pytest.mark.parametrize(
    "code", [h2.errors.ErrorCodes.CANCEL, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, h2.errors.ErrorCodes.INTERNAL_ERROR]
)
async def test_an_app_s_reset_within_its_answer_reaches_the_client_with_its_code(code: h2.errors.ErrorCodes) -> None:
    def reset(connection: AppConnection, number: int, path: str) -> None:
        connection.h2.send_headers(number, [(":status", "200")])
        connection.h2.send_data(number, b"hello")
        connection.h2.reset_stream(number, code)

    async with http2_served(reset) as served:
        result = await served.client.get("/fault", "POST")
        assert (result.status, result.body, result.ended, result.reset) == (200, b"hello", False, code)
        assert len(served.app.connections) == 1
        assert (await served.client.get("/after")).status == 200


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_leaves_at_any_byte_leaves_nothing_behind(how: str) -> None:
    sent = (
        PREFACE
        + encode_frame(SETTINGS, 0, 0)
        + encode_frame(HEADERS, END_HEADERS, 1, REQUEST)
        + encode_frame(DATA, 0, 1, b"hel")
        + encode_frame(DATA, END_STREAM, 1, b"lo")
    )
    async with http2_served(lambda *_: None) as served:
        for length in range(len(sent) + 1):
            before = served.app.requests.count("/fault")
            client = await served.proxy.connect(MAIN)
            client.send(sent[:length])
            await client.writer.drain()
            if length == len(sent):
                await eventually(partial(served.app.requests.count, "/fault"), partial(operator.lt, before))
            if how == "reset":
                client.reset()
            else:
                client.close()
            assert (await served.client.get("/after", "POST")).status == 200
        (connection,) = served.app.connections
        assert set(connection.resets().values()) == {ErrorCode.CANCEL}


async def test_a_client_s_cancel_reaches_the_app_as_cancel_whatever_its_code() -> None:
    async with http2_served(lambda *_: None) as served:
        for code in (ErrorCode.CANCEL, ErrorCode.NO_ERROR, ErrorCode.INTERNAL_ERROR):
            count = served.app.requests.count("/fault")
            number = served.client.start("/fault", "POST", ended=False)
            await eventually(partial(served.app.requests.count, "/fault"), partial(operator.lt, count))
            served.client.h2.reset_stream(number, code)
            served.client.flush()
            assert (await served.client.get("/after")).status == 200
        (connection,) = served.app.connections
        assert list(connection.resets().values()) == [ErrorCode.CANCEL] * 3


async def test_a_client_that_stalls_within_its_upload_gets_504_in_time() -> None:
    async with http2_served(lambda *_: None, REVISION_TIMEOUT_SECONDS="1") as served:
        number = served.client.start("/fault", "POST", ended=False)
        served.client.h2.send_data(number, b"hel")
        served.client.flush()
        result = await served.client.result(number)
        assert result.status == 504
        assert result.fields["upwell-error"] == "queueproxy; reason=timeout"
        assert (await served.client.get("/after")).status == 200


async def test_a_client_that_stalls_within_a_head_is_let_go_of() -> None:
    async with http2_served(lambda *_: None, UPWELL_HEAD_TIMEOUT_SECONDS="0.3") as served:
        for begun in (PREFACE[:10], PREFACE + encode_frame(SETTINGS, 0, 0) + encode_frame(HEADERS, 0, 1, REQUEST)):
            client = await served.proxy.connect(MAIN)
            client.send(begun)
            await client.rest(5)
        assert served.app.requests == []


async def test_drain_tells_the_client_and_lets_its_streams_finish() -> None:
    held: list[tuple[AppConnection, int]] = []
    async with http2_served(lambda connection, number, _: held.append((connection, number))) as served:
        idle = await served.connect()
        assert (await idle.get("/")).status == 200
        number = served.client.start("/fault", "POST")
        await eventually(lambda: held)
        served.proxy.terminate()
        await eventually(lambda: served.client.goaway is not None)
        assert served.client.goaway == ErrorCode.NO_ERROR
        assert not served.client.results[number].over
        connection, stream = held[0]
        connection.answer(stream)
        connection.writer.write(connection.h2.data_to_send())
        result = await served.client.result(number)
        assert (result.status, result.ended) == (200, True)
        await eventually(lambda: served.client.closed and idle.closed)
        assert await served.proxy.exit_status() == 0
        await idle.close()
