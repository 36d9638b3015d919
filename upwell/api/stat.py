"""The load figures that travel between queue-proxy, activator and autoscaler, and their protobuf form.

A queue-proxy answers a scrape with one `Stat`; an activator sends lists of `WireStatMessage` over a websocket. The
messages are proto3 and have ten fields in all, so they are written and read here by hand: a sidecar then need not
load a protobuf library (contract: autoscaler.md 4).

Encoding leaves out zero values, as proto3 does. Decoding skips fields it does not know, takes the last of repeated
ones, and raises StatError for anything that is not protobuf or has a known field of another type.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Stat", "StatError", "WireStatMessage", "decode_messages", "decode_stat", "encode_messages", "encode_stat"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DOUBLE: Final = struct.Struct("<d")
_FLOAT_FIELDS: Final = (
    (2, "average_concurrent_requests"),
    (3, "average_proxied_concurrent_requests"),
    (4, "request_count"),
    (5, "proxied_request_count"),
    (6, "process_uptime"),
)


class StatError(ValueError):
    """Bytes that are no message of this kind."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What one pod, or one activator for a revision, saw in the last period."""

    pod_name: str = ""
    average_concurrent_requests: float = 0.0
    average_proxied_concurrent_requests: float = 0.0
    """The part that came through an activator, which reports it too."""
    request_count: float = 0.0
    """Requests per second."""
    proxied_request_count: float = 0.0
    process_uptime: float = 0.0
    """Seconds."""
    timestamp: int = 0
    """Unix seconds; 0 where it is not set."""


@dataclass(frozen=True, slots=True)
class WireStatMessage:
    """A stat and the revision it is about."""

    namespace: str
    name: str
    stat: Stat | None


def encode_stat(stat: Stat) -> bytes:
    """The stat as protobuf."""
    parts = [_text_field(1, stat.pod_name)]
    for number, name in _FLOAT_FIELDS:
        value = getattr(stat, name)
        if value:
            parts.append(bytes((number << 3 | _FIXED64,)) + _DOUBLE.pack(value))
    if stat.timestamp:
        parts.append(b"\x38" + _varint(stat.timestamp & (1 << 64) - 1))
    return b"".join(parts)


def encode_messages(messages: Iterable[WireStatMessage]) -> bytes:
    """One `WireStatMessages` holding them all."""
    return b"".join(_bytes_field(1, _encode_message(message)) for message in messages)


def decode_stat(data: bytes) -> Stat:
    """Read a stat; raise StatError."""
    values: dict[str, str | float | int] = {}
    floats = dict(_FLOAT_FIELDS)
    for number, kind, value in _fields(data):
        if number == 1:
            values["pod_name"] = _text(number, kind, value)
        elif number in floats:
            values[floats[number]] = _double(number, kind, value)
        elif number == 7:
            values["timestamp"] = _int64(number, kind, value)
    return Stat(**values)  # type: ignore[arg-type]  # each name was given a value of its own type above


def decode_messages(data: bytes) -> list[WireStatMessage]:
    """Read a `WireStatMessages`; raise StatError."""
    return [_decode_message(_payload(number, kind, value)) for number, kind, value in _fields(data) if number == 1]


def _encode_message(message: WireStatMessage) -> bytes:
    head = _text_field(1, message.namespace) + _text_field(2, message.name)
    return head if message.stat is None else head + _bytes_field(3, encode_stat(message.stat))


def _decode_message(data: bytes) -> WireStatMessage:
    namespace, name, stat = "", "", None
    for number, kind, value in _fields(data):
        if number == 1:
            namespace = _text(number, kind, value)
        elif number == 2:
            name = _text(number, kind, value)
        elif number == 3:
            stat = decode_stat(_payload(number, kind, value))
    return WireStatMessage(namespace, name, stat)


# The wire format: a message is a row of (field number << 3 | kind, value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes_field(number: int, payload: bytes) -> bytes:
    return bytes((number << 3 | _BYTES,)) + _varint(len(payload)) + payload


def _text_field(number: int, text: str) -> bytes:
    return _bytes_field(number, text.encode()) if text else b""


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Every field as (number, kind, value): an int for a varint, bytes for all other kinds."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise StatError("field number 0")
        value: int | bytes
        if kind == _VARINT:
            value, at = _read_varint(data, at)
        else:
            if kind == _BYTES:
                size, at = _read_varint(data, at)
            elif kind in (_FIXED64, _FIXED32):
                size = 8 if kind == _FIXED64 else 4
            else:
                raise StatError(f"field {number} has wire type {kind}, which proto3 does not use")
            if size > len(data) - at:
                raise StatError(f"field {number} is cut short")
            value, at = data[at : at + size], at + size
        yield number, kind, value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise StatError("a number is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise StatError("a number has more than ten bytes")


def _payload(number: int, kind: int, value: int | bytes) -> bytes:
    if kind != _BYTES or not isinstance(value, bytes):
        raise StatError(f"field {number} has wire type {kind}, not {_BYTES}")
    return value


def _text(number: int, kind: int, value: int | bytes) -> str:
    try:
        return _payload(number, kind, value).decode()
    except UnicodeDecodeError as error:
        raise StatError(f"field {number} is not UTF-8") from error


def _double(number: int, kind: int, value: int | bytes) -> float:
    if kind != _FIXED64 or not isinstance(value, bytes):
        raise StatError(f"field {number} has wire type {kind}, not {_FIXED64}")
    result: float = _DOUBLE.unpack(value)[0]
    return result


def _int64(number: int, kind: int, value: int | bytes) -> int:
    if kind != _VARINT or not isinstance(value, int):
        raise StatError(f"field {number} has wire type {kind}, not {_VARINT}")
    return value - (1 << 64) if value >> 63 else value
