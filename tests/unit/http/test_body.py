"""Bodies: where they end, however they are cut into reads."""

import pytest

from upwell.http.body import BodyReader, ChunkedReader, LengthReader, MalformedBodyError, UntilCloseReader

CHUNKED = b'5\r\nhello\r\n1;a;b=c;d="e \\" f"\r\n \r\n0005\r\nworld\r\n0;last\r\nX-Sum: 42\r\nX-B: c\r\n\r\n'
BODY = b"hello world"
TRAILERS = [(b"X-Sum", b"42"), (b"X-B", b"c")]


def feed(reader: BodyReader, *pieces: bytes) -> bytes:
    body = b""
    for piece in pieces:
        assert not reader.ended
        body += reader.feed(piece)
    return body


def test_a_length_counts_bytes() -> None:
    reader = LengthReader(5)

    assert feed(reader, b"he", b"l") == b"hel"
    assert (reader.ended, reader.remaining()) == (False, 2)
    assert feed(reader, b"loGET /") == b"lo"
    assert (reader.ended, reader.rest, reader.remaining()) == (True, b"GET /", 0)


def test_a_body_until_close_never_ends_by_itself() -> None:
    reader = UntilCloseReader()

    assert feed(reader, b"a", b"b") == b"ab"
    assert (reader.ended, reader.remaining()) == (False, None)


def test_chunks_are_put_together_and_trailers_kept() -> None:
    reader = ChunkedReader(1000)

    assert feed(reader, CHUNKED + b"GET /") == BODY
    assert reader.ended
    assert reader.trailers == TRAILERS
    assert reader.rest == b"GET /"


@pytest.mark.parametrize("cut", range(1, len(CHUNKED)))
def test_chunks_may_be_cut_anywhere(cut: int) -> None:
    reader = ChunkedReader(1000)

    assert feed(reader, CHUNKED[:cut], CHUNKED[cut:] + b"rest") == BODY
    assert (reader.ended, reader.trailers, reader.rest) == (True, TRAILERS, b"rest")


def test_chunks_may_come_byte_by_byte() -> None:
    reader = ChunkedReader(1000)

    assert feed(reader, *(CHUNKED[index : index + 1] for index in range(len(CHUNKED)))) == BODY
    assert (reader.ended, reader.trailers) == (True, TRAILERS)


def test_an_unfinished_body_has_not_ended() -> None:
    for cut in range(len(CHUNKED)):
        reader = ChunkedReader(1000)
        reader.feed(CHUNKED[:cut])
        assert not reader.ended


@pytest.mark.parametrize(
    "data",
    [
        b"zz\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\t;a\r\nhello\r\n",
        b"\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\rX",
        b"5;\r\nhello\r\n",
        b"5;a=\r\nhello\r\n",
        b"5;a b\r\nhello\r\n",
        b"5;a\x00b\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b'5;a="b\r\nhello\r\n',
        b"11111111111111111\r\n",
        b"ffffffffffffffff\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nnonsense\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
    ],
)
@pytest.mark.parametrize("bytewise", [False, True])
def test_malformed_chunks_are_refused(data: bytes, bytewise: bool) -> None:
    reader = ChunkedReader(1000)
    pieces = [data[index : index + 1] for index in range(len(data))] if bytewise else [data]

    with pytest.raises(MalformedBodyError):
        feed(reader, *pieces)
    assert not reader.ended


def test_an_endless_chunk_line_is_refused() -> None:
    with pytest.raises(MalformedBodyError):
        feed(ChunkedReader(1000), *([b"5;" + b"a" * 1000] + [b"a" * 1000] * 4))


def test_endless_trailers_are_refused() -> None:
    with pytest.raises(MalformedBodyError):
        feed(ChunkedReader(1000), b"0\r\n", *[b"X: " + b"y" * 200 + b"\r\n"] * 10)
