"""The one gRPC call a sidecar makes: `grpc.health.v1.Health/Check`, written out in HTTP/2 frames.

A health check is five frames out and a handful in, so it needs no gRPC library, and no HPACK decoder either: the
answer's DATA frame alone says what is asked. An error of gRPC's own (an unknown service, say) comes without DATA.
"""

import asyncio
from typing import Final

__all__ = ["check"]

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 1, 1, 4, 8
_FRAME_MAX: Final = 16_384
_STATUSES: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


async def check(host: str, port: int, service: str, agent: str) -> str:
    """The health of `service` (empty: of the server); raise OSError, EOFError or ValueError when nothing is told."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_request(f"{host}:{port}", service, agent))
        message = await _read_message(reader, writer)
    finally:
        writer.close()
    return _status(message)


def _request(authority: str, service: str, agent: str) -> bytes:
    name = service.encode()
    if len(name) > 120:
        raise ValueError("the name of the gRPC health service is longer than 120 bytes")
    message = b"\x0a" + bytes((len(name),)) + name if name else b""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", agent),
        ("te", "trailers"),
    )
    block = b"".join(b"\x00" + _literal(name) + _literal(value) for name, value in fields)
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, block)
        + _frame(_DATA, _END_STREAM, 1, b"\x00" + len(message).to_bytes(4, "big") + message)
    )


def _literal(text: str) -> bytes:
    """An HPACK string without Huffman coding; ours are all shorter than 127 bytes."""
    data = text.encode()
    assert len(data) < 127, "a longer one needs a length of several bytes"
    return bytes((len(data),)) + data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


async def _read_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The bytes of the answer's DATA frames, up to the end of the stream."""
    message = b""
    while True:
        head = await reader.readexactly(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        if size > _FRAME_MAX:
            raise ValueError("the answer is not HTTP/2")
        payload = await reader.readexactly(size)
        if kind == _DATA:
            message += payload[1 : size - payload[0]] if flags & _PADDED and payload else payload
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            writer.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind in (_RST_STREAM, _GOAWAY):
            raise ValueError("the app broke off the gRPC health check")
        if kind in (_DATA, _HEADERS) and (flags & _END_STREAM or len(message) > _FRAME_MAX):
            return message


def _status(message: bytes) -> str:
    """Field 1 of a HealthCheckResponse; absent means 0."""
    if len(message) < 5:
        return "not served"
    body = message[5:]
    number = body[1] if len(body) >= 2 and body[0] == 0x08 else 0
    return _STATUSES[number] if number < len(_STATUSES) else str(number)
