"""Bytes in, requests out: however the bytes are cut, the same requests."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upwell.http.errors import BadRequestError
from upwell.http.limits import Limits
from upwell.http.request_reader import HeadMemory, RequestReader

GET = b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_HEAD = b"PUT /c HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = CHUNKED_HEAD + b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"
STREAM = GET + POST + CHUNKED + GET
READ = [
    (b"GET", b"/a", b"", []),
    (b"POST", b"/b", b"hello", []),
    (b"PUT", b"/c", b"abcde", [(b"X-Sum", b"1")]),
    (b"GET", b"/a", b"", []),
]


def reader(limits: Limits | None = None) -> RequestReader:
    return RequestReader(limits or Limits(), HeadMemory(), "192.0.2.7", 40000)


def read_all(pieces: list[bytes]) -> Iterator[tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]]]]:
    """Drive a reader the way a connection does."""
    reading = reader()
    request, body = None, b""
    for piece in pieces:
        data = piece
        while data or reading.pending:
            before = (reading.pending, reading.body)
            if reading.body is None:
                request, body = reading.read_head(data), b""
                if request is None:
                    break
            else:
                body += reading.read_body(data)
            if reading.body is None:
                assert request is not None
                yield request.method, request.target, body, reading.trailers if body else []
            data = b""
            if (reading.pending, reading.body) == before:
                break


@settings(max_examples=200, derandomize=True)
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_requests_are_the_same_however_their_bytes_are_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(edges) if a != b]

    assert list(read_all(pieces)) == READ


def test_what_comes_after_a_head_without_a_body_has_to_wait() -> None:
    reading = reader()

    assert reading.read_head(GET + POST) is not None

    assert reading.body is None
    assert reading.pending == POST


def test_what_comes_after_a_body_has_to_wait() -> None:
    reading = reader()
    reading.read_head(POST + GET)

    assert reading.read_body(b"") == b"hello"

    assert reading.body is None
    assert reading.pending == GET


def test_a_malformed_body_ends_the_reading() -> None:
    reading = reader()
    reading.read_head(CHUNKED_HEAD)

    with pytest.raises(BadRequestError):
        reading.read_body(b"x\r\n")

    assert reading.body is None


def test_a_bad_head_is_still_there_to_be_looked_at() -> None:
    reading = reader()

    with pytest.raises(BadRequestError):
        reading.read_head(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore")

    assert reading.speaks_http2()
    assert reading.drop() == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"
    assert reading.pending == b""


@pytest.mark.parametrize(("left", "worth"), [(8, True), (9, False)])
def test_a_short_rest_of_a_body_is_worth_reading(left: int, worth: bool) -> None:
    reading = reader(Limits(discarded_bytes=8))
    reading.read_head(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % left)

    assert reading.worth_reading() is worth


def test_a_rest_of_unknown_length_is_not_worth_reading() -> None:
    reading = reader()
    reading.read_head(CHUNKED_HEAD)

    assert not reading.worth_reading()
