import pytest

from tests.unit.http.h2.world import split
from upwell.http.h2.codes import ConnectionViolation
from upwell.http.h2.frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    encode_headers,
    read_goaway,
    read_settings,
    read_uint31,
    without_padding,
    without_priority,
)


def test_padding_is_taken_off_and_must_fit() -> None:
    assert without_padding(b"\x02hi\0\0") == b"hi"
    assert without_padding(b"\x00") == b""
    for broken in (b"", b"\x01", b"\x05abc"):
        with pytest.raises(ConnectionViolation):
            without_padding(broken)


def test_priority_is_skipped_but_not_on_oneself() -> None:
    assert without_priority(b"\0\0\0\x01\x10rest", 3) == b"rest"
    with pytest.raises(ConnectionViolation):
        without_priority(b"\0\0\0\x03\x10", 3)
    with pytest.raises(ConnectionViolation):
        without_priority(b"\0\0\0", 3)


def test_frames_of_fixed_layout_must_have_their_size() -> None:
    assert read_settings(b"\0\x03\0\0\0\x64") == [(3, 100)]
    assert read_goaway(b"\x80\0\0\x05\0\0\0\x0bbye") == (5, 11)
    assert read_uint31(b"\x80\0\0\x01", "WINDOW_UPDATE") == 1
    assert read_uint31(b"\xff\xff\xff\xff", "RST_STREAM") == 0xFFFF_FFFF
    for broken in (lambda: read_settings(b"\0" * 5), lambda: read_goaway(b"\0" * 7), lambda: read_uint31(b"", "PING")):
        with pytest.raises(ConnectionViolation):
            broken()


def test_a_long_header_block_goes_out_in_pieces() -> None:
    frames = split(encode_headers(1, b"a" * 25, True, 10))
    assert [(kind, flags) for kind, flags, _, _ in frames] == [
        (HEADERS, END_STREAM),
        (CONTINUATION, 0),
        (CONTINUATION, END_HEADERS),
    ]
    assert b"".join(payload for *_, payload in frames) == b"a" * 25
