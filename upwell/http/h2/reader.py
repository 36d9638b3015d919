"""The reading half of an HTTP/2 connection: bytes to frames, and frames of header blocks to whole blocks.

A frame is dispatched as soon as it is seen, without an object of its own. The two usual ones, HEADERS that hold a
whole block and DATA without padding, go straight to what they are for; everything else takes the long way, where the
rules are that a usual frame cannot break: SETTINGS come first, and nothing comes between the frames of one block.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from upwell.http.h2.codes import ConnectionViolation, ErrorCode
from upwell.http.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_DEFAULT,
    HEAD_SIZE,
    HEADERS,
    PADDED,
    PRIORITY_FLAG,
    SETTINGS,
    STREAM_BITS,
    unpack_head,
    without_padding,
    without_priority,
)
from upwell.http.h2.writer import FrameWriter

if TYPE_CHECKING:
    from upwell.http.engine import Engine

__all__ = ["FrameReader"]

_UNUSUAL_HEADERS: Final = PADDED | PRIORITY_FLAG | END_HEADERS
"""Of these flags a usual HEADERS frame has the last one only."""

_BLOCK_FACTOR: Final = 2
"""A block this many times too large is not read to its end; a smaller one is, so that it can be answered."""


class _OpenBlock:
    """A header block that continues in the next frame."""

    __slots__ = ("ended", "frames", "number", "pieces", "size")

    def __init__(self, number: int, ended: bool, first: bytes) -> None:
        self.number = number
        self.ended = ended
        self.pieces = [first]
        self.size = len(first)
        self.frames = 0


class FrameReader(FrameWriter):
    """Takes frames apart and gives them to the methods that its heirs have for them."""

    def __init__(self, engine: "Engine") -> None:
        super().__init__(engine)
        self.greeted = False
        """Whether the peer's SETTINGS have come, which must be its first frame."""
        self.head_bytes = self.limits.head_bytes
        """Of the peer's heads."""
        self._rest = b""
        """The begin of a frame."""
        self._block: _OpenBlock | None = None
        self._any_frame = False
        """Whether every kind of frame may come now: greeted, and not within a header block."""

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        position, end = 0, len(data)
        try:
            while end - position >= HEAD_SIZE:
                word, flags, number = unpack_head(data, position)
                size = word >> 8
                if size > FRAME_SIZE_DEFAULT:
                    raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
                start = position + HEAD_SIZE
                if start + size > end:
                    break
                position = start + size
                payload = data[start:position]
                kind = word & 0xFF
                if number > STREAM_BITS:
                    number &= STREAM_BITS
                if kind == HEADERS and flags & _UNUSUAL_HEADERS == END_HEADERS and self._any_frame:
                    if flags & END_STREAM:
                        self.headers_received(number, payload, True)
                    else:
                        size = _last_data(data, position, end, number)
                        if size < 0:
                            self.headers_received(number, payload, False)
                        else:
                            start = position + HEAD_SIZE
                            position = start + size
                            self.message_received(number, payload, data[start:position])
                elif kind == DATA and not flags & PADDED and self._any_frame:
                    self.body_received(number, payload, size, flags & END_STREAM != 0)
                else:
                    self._frame_received(kind, flags, number, payload)
                if self.closed:
                    return
            self._rest = data[position:] if position < end else b""
            self.frames_read()
        except ConnectionViolation as violation:
            self.fail(violation.code, str(violation))

    def started(self) -> None:
        """The peer has said its first SETTINGS."""
        self.greeted = True
        self._any_frame = True

    def forget_input(self) -> None:
        """Nothing that was begun will be finished."""
        self._rest = b""
        self._block = None

    def head_timed_out(self) -> None:
        """A header block was begun and does not end."""
        self.fail(ErrorCode.ENHANCE_YOUR_CALM, "a header block without end")

    def _frame_received(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None:
            self._continue_block(self._block, kind, flags, number, payload)
        elif not self.greeted and kind != SETTINGS:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "SETTINGS must come first")
        elif kind == HEADERS:
            self._unusual_headers(flags, number, payload)
        elif kind == DATA:
            self.body_received(number, without_padding(payload), len(payload), flags & END_STREAM != 0)
        elif kind == CONTINUATION:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "a continuation of nothing")
        else:
            self.control_received(kind, flags, number, payload)

    def _unusual_headers(self, flags: int, number: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = without_padding(payload)
        if flags & PRIORITY_FLAG:
            payload = without_priority(payload, number)
        ended = flags & END_STREAM != 0
        if flags & END_HEADERS:
            self.headers_received(number, payload, ended)
        else:
            self._block = _OpenBlock(number, ended, payload)
            self._any_frame = False
            self.http2.incomplete.add(self, self.engine.now())

    def _continue_block(self, block: _OpenBlock, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind != CONTINUATION or number != block.number:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        block.pieces.append(payload)
        block.size += len(payload)
        block.frames += 1
        if block.frames > self.bounds.header_frames or block.size > self.head_bytes * _BLOCK_FACTOR:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "a header block without end")
        if flags & END_HEADERS:
            self._block = None
            self._any_frame = True
            self.http2.incomplete.discard(self)
            self.headers_received(block.number, b"".join(block.pieces), block.ended)

    def message_received(self, number: int, block: bytes, data: bytes) -> None:
        """A header block and a body that is complete, in one read; `data` may be empty."""
        self.headers_received(number, block, False)
        if not self.closed:
            self.body_received(number, data, len(data), True)

    # What frames are for; each may raise ConnectionViolation.

    @abstractmethod
    def headers_received(self, number: int, block: bytes, ended: bool) -> None:
        """A header block is complete."""

    @abstractmethod
    def body_received(self, number: int, data: bytes, counted: int, ended: bool) -> None:
        """DATA, which may be empty; `counted` bytes of window were taken by it."""

    @abstractmethod
    def control_received(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Any other frame."""

    @abstractmethod
    def frames_read(self) -> None:
        """All frames of one read have been looked at."""


def _last_data(data: bytes, position: int, end: int, number: int) -> int:
    """The size of the frame at `position`, if it is all here and the last of this stream's body; else -1."""
    if end - position < HEAD_SIZE:
        return -1
    word, flags, following = unpack_head(data, position)
    size = word >> 8
    if word & 0xFF != DATA or flags != END_STREAM or following != number or size > FRAME_SIZE_DEFAULT:
        return -1
    return size if position + HEAD_SIZE + size <= end else -1
