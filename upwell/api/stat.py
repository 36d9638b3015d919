"""The load figures that travel between queue-proxy, activator and autoscaler, and their protobuf form.

A queue-proxy answers a scrape with one `Stat`; an activator sends lists of `WireStatMessage` over a websocket. The
messages are proto3 and have ten fields in all, so they are written and read here by hand: a sidecar then need not
load a protobuf library (contract: autoscaler.md 4).

Encoding leaves out zero values, as proto3 does. Decoding skips fields it does not know, takes the last of repeated
ones, and raises StatError for anything that is not protobuf or has a known field of another type.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Stat", "StatError", "WireStatMessage", "decode_messages", "decode_stat", "encode_messages", "encode_stat"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DOUBLE: Final = struct.Struct("<d")
_unpack: Final[Callable[[bytes, int], tuple[float]]] = _DOUBLE.unpack_from
_FLOAT_FIELDS: Final = (
    (2, "average_concurrent_requests"),
    (3, "average_proxied_concurrent_requests"),
    (4, "request_count"),
    (5, "proxied_request_count"),
    (6, "process_uptime"),
)

_PLACES: Final = {number << 3 | _FIXED64: place for place, (number, _) in enumerate(_FLOAT_FIELDS)}
"""By tag, which of the numbers in a stat it is."""


class StatError(ValueError):
    """Bytes that are no message of this kind."""


# Not frozen, as values otherwise are: an autoscaler makes ten thousand of each in a second, at a third of the cost.
@dataclass(slots=True)
class Stat:
    """What one pod, or one activator for a revision, saw in the last period; not to be changed."""

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


@dataclass(slots=True)
class WireStatMessage:
    """A stat and the revision it is about; not to be changed."""

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
    try:
        return _usual_stat(data, 0, len(data))
    except (_Unusual, UnicodeDecodeError):
        return _decode_stat(data)


def _decode_stat(data: bytes) -> Stat:
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
    try:
        return list(_usual_messages(data))
    except _Unusual:
        return _decode_messages(data)


def _decode_messages(data: bytes) -> list[WireStatMessage]:
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
            stat = _decode_stat(_payload(number, kind, value))
    return WireStatMessage(namespace, name, stat)


# The usual way to write messages, which every encoder we know of uses: known fields only, in order, names below 128
# bytes. Read in a quarter of the time; whatever else is found is left to the general way.


class _Unusual(Exception):  # noqa: N818  # not an error
    """Written otherwise; it may still be right."""


def _usual_messages(data: bytes) -> Iterator[WireStatMessage]:
    """Raise _Unusual."""
    at, length = 0, len(data)
    while at < length:
        if data[at] != 0x0A:
            raise _Unusual
        if at + 2 > length or data[at + 1] > 0x7F:
            if at + 3 > length or data[at + 2] > 0x7F:
                raise _Unusual
            begin = at + 3
            at = begin + (data[at + 1] & 0x7F | data[at + 2] << 7)
        else:
            begin = at + 2
            at = begin + data[at + 1]
        if at > length:
            raise _Unusual
        yield _usual_message(data, begin, at)


def _usual_message(data: bytes, at: int, end: int) -> WireStatMessage:
    if end - at < 6 or data[at] != 0x0A:
        raise _Unusual
    name_at = at + 2 + data[at + 1]
    if name_at + 2 > end or data[at + 1] > 0x7F or data[name_at] != 0x12 or data[name_at + 1] > 0x7F:
        raise _Unusual
    stat_at = name_at + 2 + data[name_at + 1]
    if stat_at + 2 > end or data[stat_at] != 0x1A or stat_at + 2 + data[stat_at + 1] != end:
        raise _Unusual
    try:
        return WireStatMessage(
            data[at + 2 : name_at].decode(), data[name_at + 2 : stat_at].decode(), _usual_stat(data, stat_at + 2, end)
        )
    except UnicodeDecodeError:
        raise _Unusual from None


def _usual_stat(data: bytes, at: int, end: int) -> Stat:
    pod = ""
    if at + 2 <= end and data[at] == 0x0A:
        begin = at + 2
        at = begin + data[at + 1]
        if data[begin - 1] > 0x7F or at > end:
            raise _Unusual
        pod = data[begin:at].decode()
    values = [0.0, 0.0, 0.0, 0.0, 0.0]
    while at + 9 <= end:
        place = _PLACES.get(data[at])
        if place is None:
            break
        (values[place],) = _unpack(data, at + 1)
        at += 9
    timestamp = 0
    if at < end:
        timestamp = _usual_timestamp(data, at, end)
    concurrent, proxied_concurrent, requests, proxied, uptime = values
    return Stat(pod, concurrent, proxied_concurrent, requests, proxied, uptime, timestamp)


def _usual_timestamp(data: bytes, at: int, end: int) -> int:
    """The number that the rest of a stat has to be."""
    if data[at] != 0x38:
        raise _Unusual
    text = data[at:end]
    value, read = _read_varint(text, 1)
    if read != len(text):
        raise _Unusual
    return value - (1 << 64) if value >> 63 else value


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
