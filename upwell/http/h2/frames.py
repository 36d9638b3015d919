"""Frames: their bytes. Knows sizes, padding and layout, and nothing of what frames mean.

    +-----------------------------------------------+
    | length (24) | type (8) | flags (8) | R | stream (31) | payload (length bytes)
    +-----------------------------------------------+

The reader (`upwell.http.h2.reader`) takes complete frames off what was read; what a frame of each type must look like
is checked here. Anything that cannot be a frame raises ConnectionViolation, for after it nobody knows where the next
one begins.
"""

from struct import Struct
from typing import Final

from upwell.http.h2.codes import ConnectionViolation, ErrorCode

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "FRAME_SIZE_DEFAULT",
    "GOAWAY",
    "HEADERS",
    "HEAD_SIZE",
    "PADDED",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PRIORITY_FLAG",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "STREAM_BITS",
    "WINDOW_MAX",
    "WINDOW_UPDATE",
    "data_head",
    "encode_frame",
    "encode_goaway",
    "encode_headers",
    "encode_reset",
    "encode_settings",
    "encode_window_update",
    "pack_head",
    "read_goaway",
    "read_settings",
    "read_uint31",
    "unpack_head",
    "without_padding",
    "without_priority",
]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client says first."""

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY_FLAG: Final = 0x20

FRAME_SIZE_DEFAULT: Final = 16_384
WINDOW_MAX: Final = 2**31 - 1

HEAD_SIZE: Final = 9
_HEAD: Final = Struct(">LBL")
"""Length and type are one number of 32 bits: two fields less to take apart, and to put together."""
_SETTING: Final = Struct(">HL")
STREAM_BITS: Final = 0x7FFF_FFFF
unpack_head: Final = _HEAD.unpack_from
"""(bytes, position) → length and type (`length << 8 | type`), flags, stream with the reserved bit."""
pack_head: Final = _HEAD.pack
"""The way back: (`length << 8 | type`, flags, stream) → the nine bytes before a payload."""


def without_padding(payload: bytes) -> bytes:
    """What is between the pad length and the padding."""
    if not payload:
        raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without a pad length")
    end = len(payload) - payload[0]
    if end < 1:
        raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "more padding than frame")
    return payload[1:end]


def without_priority(payload: bytes, stream: int) -> bytes:
    """What follows the priority fields, which mean nothing any more (RFC 9113, 5.3.2)."""
    if len(payload) < 5:
        raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "a frame too short for its priority")
    if int.from_bytes(payload[:4], "big") & STREAM_BITS == stream:
        raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")
    return payload[5:]


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Identifier and value of each setting."""
    if len(payload) % _SETTING.size:
        raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
    return list(_SETTING.iter_unpack(payload))


def read_uint31(payload: bytes, what: str) -> int:
    """The 31 bits of a frame that holds nothing else, an error code's 32."""
    if len(payload) != 4:
        raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, f"{what} of {len(payload)} bytes")
    return int.from_bytes(payload, "big") & (STREAM_BITS if what == "WINDOW_UPDATE" else 0xFFFF_FFFF)


def read_goaway(payload: bytes) -> tuple[int, int]:
    """The last stream that was looked at, and the error code."""
    if len(payload) < 8:
        raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
    return int.from_bytes(payload[:4], "big") & STREAM_BITS, int.from_bytes(payload[4:8], "big")


def encode_frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame; the payload must fit."""
    return pack_head(len(payload) << 8 | kind, flags, stream) + payload


def data_head(size: int, flags: int, stream: int) -> bytes:
    """The head of a DATA frame, for a payload that is not to be copied."""
    return pack_head(size << 8 | DATA, flags, stream)


def encode_headers(stream: int, block: bytes, ended: bool, size_max: int) -> bytes:
    """A header block, in as many frames as it needs."""
    flags = END_STREAM if ended else 0
    size = len(block)
    if size <= size_max:
        return pack_head(size << 8 | HEADERS, flags | END_HEADERS, stream) + block
    frames = [encode_frame(HEADERS, flags, stream, block[:size_max])]
    for start in range(size_max, size, size_max):
        last = start + size_max >= size
        frames.append(encode_frame(CONTINUATION, END_HEADERS if last else 0, stream, block[start : start + size_max]))
    return b"".join(frames)


def encode_reset(stream: int, code: int) -> bytes:
    """RST_STREAM."""
    return encode_frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def encode_window_update(stream: int, increment: int) -> bytes:
    """WINDOW_UPDATE; stream 0 is the connection."""
    return encode_frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def encode_settings(settings: dict[int, int]) -> bytes:
    """SETTINGS."""
    return encode_frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in settings.items()))


def encode_goaway(last_stream: int, code: int, text: str = "") -> bytes:
    """GOAWAY; the text is for whoever debugs the peer."""
    payload = last_stream.to_bytes(4, "big") + code.to_bytes(4, "big") + text.encode()
    return encode_frame(GOAWAY, 0, 0, payload)
