"""One request over HTTP/2 by prior knowledge, on a connection of its own: for probes that ask for it.

A probe is to find out whether the app accepts a connection, so it does not share the data path's. It is a handful of
frames out and in, and its answer is bounded; what the app may send in between (SETTINGS, PING, other frames) is
answered or passed over. Header blocks are `hpack`'s.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hpack import Decoder, Encoder, HPACKError

__all__ = ["Http2Answer", "ask"]

Fields = Iterable[tuple[str, str]]

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 6, 7, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 1, 1, 4, 8, 32
_FRAME_MAX: Final = 16_384
_BLOCK_MAX: Final = 65_536
_STREAM: Final = 1


@dataclass(frozen=True, slots=True)
class Http2Answer:
    """What came back on the stream."""

    status: int
    headers: dict[str, str]
    """By lower-case names; of several values the last."""
    body: bytes


async def ask(host: str, port: int, fields: Fields, body: bytes = b"", *, whole: bool = False) -> Http2Answer:
    """Send one request; raise OSError, EOFError or ValueError when there is no answer.

    Returns with the final head, or with `whole` at the stream's end. `fields` have the pseudo-header fields first.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_request(fields, body))
        return await _Answering(reader, writer, whole).run()
    except HPACKError as error:
        raise ValueError(f"the answer's header block cannot be read: {error}") from error
    finally:
        writer.close()


def _request(fields: Fields, body: bytes) -> bytes:
    block = Encoder().encode(list(fields), huffman=False)
    pieces = [block[start : start + _FRAME_MAX] for start in range(0, len(block), _FRAME_MAX)]
    sent = _PREFACE + _frame(_SETTINGS, 0, 0, b"")
    for number, piece in enumerate(pieces):
        flags = (_END_HEADERS if piece is pieces[-1] else 0) | (_END_STREAM if not (number or body) else 0)
        sent += _frame(_CONTINUATION if number else _HEADERS, flags, _STREAM, piece)
    return sent + (_frame(_DATA, _END_STREAM, _STREAM, body) if body else b"")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


class _Answering:
    """Reads frames until there is an answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whole: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._whole = whole
        self._decoder = Decoder(max_header_list_size=_BLOCK_MAX)
        self._block = b""
        self._headers: dict[str, str] = {}
        self._body = b""
        self._ended = False

    async def run(self) -> Http2Answer:
        while not (self._ended and not self._block) and not (self._status and not self._whole):
            await self._read_frame()
        if not self._status:
            raise ValueError("the answer has no status")
        return Http2Answer(self._status, self._headers, self._body)

    @property
    def _status(self) -> int:
        """Of the final head; 0 before."""
        text = self._headers.get(":status", "")
        status = int(text) if len(text) == 3 and text.isdigit() else 0
        return status if status >= 200 else 0

    async def _read_frame(self) -> None:
        head = await self._reader.readexactly(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        if size > _FRAME_MAX:
            raise ValueError("the answer is not HTTP/2")
        payload = await self._reader.readexactly(size)
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._writer.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _RST_STREAM or (kind == _GOAWAY and payload[:4] < _STREAM.to_bytes(4, "big")):
            raise ValueError("the app broke off the HTTP/2 probe")
        elif kind in (_HEADERS, _CONTINUATION):
            self._block += _unpadded(payload, flags, kind == _HEADERS)
            if flags & _END_HEADERS:
                self._take_block()
        elif kind == _DATA:
            self._body += _unpadded(payload, flags, False)
        if len(self._block) > _BLOCK_MAX or len(self._body) > _BLOCK_MAX:
            raise ValueError("the answer is too large")
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            self._ended = True

    def _take_block(self) -> None:
        decoded = self._decoder.decode(self._block, raw=True)
        self._block = b""
        for name, value in decoded:
            self._headers[bytes(name).decode("latin-1").lower()] = bytes(value).decode("latin-1")


def _unpadded(payload: bytes, flags: int, has_priority: bool) -> bytes:
    if flags & _PADDED and payload:
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if has_priority and flags & _PRIORITY else payload
