"""Bodies: where one ends, and what of a read belongs to it.

Four kinds of framing, one reader each: none, a length, chunks, until the connection closes. A reader is fed what
arrived; it returns the body's bytes and keeps in `rest` what came after the end. Chunks are read here and not by
llhttp, because a proxy must know the exact byte at which a message ends (to leave the next request alone until its
turn), and because all body bytes of one read then leave as one piece. The grammar is RFC 9112's without its leniencies:
a size is 1 to 16 hex digits, an extension is a well-formed one or nothing, lines end in CR LF, trailers are fields.
"""

import re
from typing import Final, Protocol

from upwell.http.message import Fields, read_fields

__all__ = ["BodyReader", "ChunkedReader", "LengthReader", "MalformedBodyError", "UntilCloseReader"]

_CHUNK_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb"(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|\"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*\"))?)*"
)
_CHUNK_LINE_MAX: Final = 4096
_CHUNK_SIZE_MAX: Final = 2**62


class MalformedBodyError(Exception):
    """The bytes are not the body that the head announced."""


class BodyReader(Protocol):
    """Cuts one body out of a stream of reads."""

    ended: bool
    """Whether the body is complete."""
    rest: bytes
    """What came after its end."""
    trailers: Fields

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes in `data`; raise MalformedBodyError."""
        ...

    def remaining(self) -> int | None:
        """Body bytes still to come, where that is known."""
        ...


class LengthReader:
    """A body of a known length."""

    __slots__ = ("_left", "ended", "rest", "trailers")

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = length == 0
        self.rest = b""
        self.trailers: Fields = []

    def feed(self, data: bytes) -> bytes:
        size = len(data)
        if size < self._left:
            self._left -= size
            return data
        self.ended = True
        if size > self._left:
            self.rest = data[self._left :]
            data = data[: self._left]
        self._left = 0
        return data

    def remaining(self) -> int | None:
        return self._left


class UntilCloseReader:
    """A response body that lasts as long as the connection."""

    __slots__ = ("ended", "rest", "trailers")

    def __init__(self) -> None:
        self.ended = False
        self.rest = b""
        self.trailers: Fields = []

    def feed(self, data: bytes) -> bytes:
        return data

    def remaining(self) -> int | None:
        return None


class ChunkedReader:
    """A body in chunks, with its trailers."""

    __slots__ = ("_in_trailers", "_left", "_line", "_trailer_bytes_max", "ended", "rest", "trailers")

    def __init__(self, trailer_bytes_max: int) -> None:
        self._trailer_bytes_max = trailer_bytes_max
        self._left = 0
        """Bytes of the present chunk still to come, its closing CR LF included."""
        self._line = b""
        """The begin of a line whose end has not come yet."""
        self._in_trailers = False
        self.ended = False
        self.rest = b""
        self.trailers: Fields = []

    def feed(self, data: bytes) -> bytes:
        if self._line:
            data = self._line + data
            self._line = b""
        pieces: list[bytes] = []
        position = 0
        end = len(data)
        while position < end and not self._in_trailers:
            position = self._chunk_data(data, position, pieces) if self._left else self._chunk_line(data, position)
        if self._in_trailers:
            self._trailer_section(data[position:])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def remaining(self) -> int | None:
        return None

    def _chunk_line(self, data: bytes, position: int) -> int:
        line_end = data.find(b"\r\n", position)
        line = data[position:] if line_end < 0 else data[position:line_end]
        if len(line) > _CHUNK_LINE_MAX or b"\n" in line:
            raise MalformedBodyError("malformed chunk size")
        if line_end < 0:
            self._line = line
            return len(data)
        found = _CHUNK_LINE.fullmatch(line)
        size = int(found[1], 16) if found else _CHUNK_SIZE_MAX
        if size >= _CHUNK_SIZE_MAX:
            raise MalformedBodyError("malformed chunk size")
        if size:
            self._left = size + 2
        else:
            self._in_trailers = True
        return line_end + 2

    def _chunk_data(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        available = len(data) - position
        body = min(self._left - 2, available)
        if body > 0:
            pieces.append(data[position : position + body])
            self._left -= body
            position += body
        if self._left > 2 or position == len(data):
            return position
        closing = data[position : position + self._left]
        if closing != b"\r\n"[2 - self._left :][: len(closing)]:
            raise MalformedBodyError("malformed chunk: no line end after its data")
        self._left -= len(closing)
        return position + len(closing)

    def _trailer_section(self, data: bytes) -> None:
        if data[:2] == b"\r\n":
            self.rest = data[2:]
            self.ended = True
            return
        end = data.find(b"\r\n\r\n")
        size = len(data) if end < 0 else end
        if size > self._trailer_bytes_max:
            raise MalformedBodyError("trailer section too large")
        if end < 0:
            if data.count(b"\n") != data.count(b"\r\n"):
                raise MalformedBodyError("malformed trailer section")
            self._line = data
            return
        try:
            self.trailers = read_fields(data[: end + 4])
        except ValueError as error:
            raise MalformedBodyError(f"malformed trailer section: {error}") from error
        self.rest = data[end + 4 :]
        self.ended = True
