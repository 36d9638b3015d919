from typing import Any

import pytest

from tests.compiled import needs_plain_python
from tests.unit.http.h2.world import Http2World
from upwell.http.h2.codes import ErrorCode
from upwell.http.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PRIORITY_FLAG,
    SETTINGS,
    encode_frame,
)
from upwell.http.h2.reader import FrameReader

pytestmark = needs_plain_python


class Reader(FrameReader):
    """Notes what it is given."""

    def __init__(self, world: Http2World) -> None:
        super().__init__(world.engine)
        self.got: list[tuple[Any, ...]] = []
        self.reads = 0
        self.failed: ErrorCode | None = None

    def headers_received(self, number: int, block: bytes, ended: bool) -> None:
        self.got.append(("headers", number, block, ended))

    def body_received(self, number: int, data: bytes, counted: int, ended: bool) -> None:
        self.got.append(("data", number, data, counted, ended))

    def control_received(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        self.got.append((kind, flags, number, payload))
        if kind == SETTINGS:
            self.started()

    def frames_read(self) -> None:
        self.reads += 1

    def fail(self, code: ErrorCode, text: str) -> None:
        self.failed = code
        self.closed = True


@pytest.fixture
async def reader(world: Http2World) -> Reader:
    reader = Reader(world)
    reader.data_received(encode_frame(SETTINGS, 0, 0))
    reader.got.clear()
    return reader


async def test_frames_mean_the_same_wherever_the_reads_cut_them(world: Http2World) -> None:
    data = (
        encode_frame(SETTINGS, 0, 0)
        + encode_frame(HEADERS, END_HEADERS, 1, b"block")
        + encode_frame(DATA, 0, 1, b"some")
        + encode_frame(DATA, END_STREAM, 1)
        + encode_frame(HEADERS, END_HEADERS, 3, b"block")
        + encode_frame(DATA, END_STREAM, 3, b"all of it")
        + encode_frame(HEADERS, END_HEADERS, 5, b"block")
        + encode_frame(DATA, END_STREAM | PADDED, 5, b"\x02all\0\0")
        + encode_frame(HEADERS, END_HEADERS, 7, b"block")
        + encode_frame(DATA, END_STREAM, 9, b"another's")
        + encode_frame(PING, 0, 0, b"12345678")
    )
    whole = Reader(world)
    whole.data_received(data)
    assert whole.got[1:] == [
        ("headers", 1, b"block", False),
        ("data", 1, b"some", 4, False),
        ("data", 1, b"", 0, True),
        ("headers", 3, b"block", False),
        ("data", 3, b"all of it", 9, True),
        ("headers", 5, b"block", False),
        ("data", 5, b"all", 6, True),
        ("headers", 7, b"block", False),
        ("data", 9, b"another's", 9, True),
        (PING, 0, 0, b"12345678"),
    ]
    for size in range(1, 40):
        cut = Reader(world)
        for start in range(0, len(data), size):
            cut.data_received(data[start : start + size])
        assert cut.got == whole.got


async def test_the_reserved_bit_of_a_stream_number_means_nothing(reader: Reader) -> None:
    reader.data_received(encode_frame(DATA, 0, 0x8000_0007, b"x"))
    assert reader.got == [("data", 7, b"x", 1, False)]


async def test_a_frame_larger_than_we_allow_ends_the_connection_before_it_has_come(reader: Reader) -> None:
    reader.data_received(encode_frame(DATA, 0, 1, b"x" * 16385)[:9])
    assert reader.failed is ErrorCode.FRAME_SIZE_ERROR
    assert reader.got == []


async def test_padding_is_taken_off_and_counts(reader: Reader) -> None:
    reader.data_received(encode_frame(DATA, PADDED, 1, b"\x03body\0\0\0"))
    reader.data_received(encode_frame(HEADERS, PADDED | END_HEADERS | PRIORITY_FLAG, 3, b"\x01\0\0\0\0\x10block\0"))
    assert reader.got == [("data", 1, b"body", 8, False), ("headers", 3, b"block", False)]


async def test_a_block_in_pieces_is_one_and_its_end_of_stream_is_said_first(reader: Reader) -> None:
    reader.data_received(encode_frame(HEADERS, END_STREAM, 1, b"one,") + encode_frame(CONTINUATION, 0, 1, b"two,"))
    assert reader.got == []
    reader.data_received(encode_frame(CONTINUATION, END_HEADERS, 1, b"three") + encode_frame(DATA, 0, 3, b"x"))
    assert reader.got == [("headers", 1, b"one,two,three", True), ("data", 3, b"x", 1, False)]


@pytest.mark.parametrize(
    "intruder",
    [
        encode_frame(DATA, 0, 1, b"x"),
        encode_frame(HEADERS, END_HEADERS, 1, b"x"),
        encode_frame(PING, 0, 0, b"12345678"),
        encode_frame(CONTINUATION, END_HEADERS, 3, b"x"),
        encode_frame(99, 0, 0),
    ],
)
async def test_nothing_comes_between_the_pieces_of_a_block(reader: Reader, intruder: bytes) -> None:
    reader.data_received(encode_frame(HEADERS, 0, 1, b"one") + intruder)
    assert reader.failed is ErrorCode.PROTOCOL_ERROR
    assert reader.got == []


@pytest.mark.parametrize("kind", [DATA, HEADERS, PING, CONTINUATION, 99])
async def test_settings_come_first(world: Http2World, kind: int) -> None:
    reader = Reader(world)
    reader.data_received(encode_frame(kind, END_HEADERS, 1, b"12345678"))
    assert reader.failed is ErrorCode.PROTOCOL_ERROR
    assert reader.got == []


async def test_nothing_is_read_after_the_end(reader: Reader) -> None:
    reads = reader.reads
    reader.data_received(encode_frame(HEADERS, 0, 1) + encode_frame(PING, 0, 0) + encode_frame(DATA, 0, 1, b"late"))
    assert reader.got == []
    assert reader.reads == reads
