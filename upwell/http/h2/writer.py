"""What an HTTP/2 connection has to say: gathered, and written once per round of the loop.

Frames other than DATA go out in the order in which they were sent. DATA that has to wait for a window or for the
socket stays with its stream, and is taken from the streams in turn, a frame at a time, as soon as it may go.
"""

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from upwell.http.h2.codes import ConnectionViolation, ErrorCode
from upwell.http.h2.fields import TABLE_UNUSED
from upwell.http.h2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_DEFAULT,
    HEADERS,
    encode_headers,
    pack_head,
)
from upwell.http.h2.heads import encode_trailers
from upwell.http.message import Fields

if TYPE_CHECKING:
    from upwell.http.engine import Engine
    from upwell.http.h2.stream import Stream

__all__ = ["WINDOW_DEFAULT", "FrameWriter"]

WINDOW_DEFAULT: Final = 65_535
_WRITE_SIZE: Final = 64 * 1024


class FrameWriter(asyncio.Protocol, ABC):
    """The writing half of a connection."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.http2 = engine.http2
        self.limits = engine.limits
        self.bounds = engine.limits.http2
        self.closed = False
        self.write_paused = False
        """Whether more is waiting in the socket than should be."""
        self.send_window = WINDOW_DEFAULT
        """What the peer takes on all streams together."""
        self.opened = 0
        """The last stream that we have opened …"""
        self.written = 0
        """… and the last of them of which anything has been written."""
        self._transport: asyncio.Transport
        self._out: list[bytes] = []
        self._out_size = 0
        """Bytes of DATA in `_out`."""
        self._flush_due = False
        self._block_prefix = TABLE_UNUSED
        self._ready: dict[Stream[Any], None] = {}
        """Streams that wait only for the connection's window, or for the socket."""

    # What the transport reports.

    def pause_writing(self) -> None:
        self.write_paused = True
        self.http2.unread.ensure(self, self.engine.now())

    def resume_writing(self) -> None:
        self.write_paused = False
        self.http2.unread.discard(self)
        if self._ready and not self._flush_due:
            self._flush_later()

    # Sending.

    def send(self, frame: bytes) -> None:
        """Send this frame with what else there is to say in this round."""
        if not self._flush_due:
            self._flush_later()
        self._out.append(frame)

    def send_data(self, head: bytes, data: bytes) -> None:
        """Send a DATA frame, for which there was window."""
        if not self._flush_due:
            self._flush_later()
        self._out += (head, data)
        self._out_size += len(data)
        if self._out_size >= _WRITE_SIZE:
            self._write()

    def send_block(self, number: int, block: bytes, ended: bool) -> None:
        """Send a header block."""
        if self._block_prefix:
            block = self._block_prefix + block
            self._block_prefix = b""
        if not self._flush_due:
            self._flush_later()
        size = len(block)
        if size <= FRAME_SIZE_DEFAULT:
            flags = END_HEADERS | END_STREAM if ended else END_HEADERS
            self._out += (pack_head(size << 8 | HEADERS, flags, number), block)
        else:
            self._out.append(encode_headers(number, block, ended, FRAME_SIZE_DEFAULT))

    def send_whole(self, number: int, block: bytes, body: bytes) -> None:
        """Send a header block, and a body that fits into one frame and for which there was window."""
        head, size = len(block), len(body)
        if self._block_prefix or head > FRAME_SIZE_DEFAULT:
            self.send_block(number, block, False)
            self.send_data(pack_head(size << 8 | DATA, END_STREAM, number), body)
            return
        if not self._flush_due:
            self._flush_later()
        self._out += (
            pack_head(head << 8 | HEADERS, END_HEADERS, number),
            block,
            pack_head(size << 8 | DATA, END_STREAM, number),
            body,
        )
        self._out_size += size
        if self._out_size >= _WRITE_SIZE:
            self._write()

    def send_trailers(self, number: int, trailers: Fields) -> None:
        """Send the trailers that may be passed on, and with them the end of the stream."""
        self.send_block(number, encode_trailers(trailers), True)

    def stream_waits(self, stream: "Stream[Any]") -> None:
        """`stream` has bytes that may be sent as soon as the connection lets them."""
        if stream.send_window > 0:
            self._ready[stream] = None
            if not self._flush_due and self.send_window > 0 and not self.write_paused:
                self._flush_later()

    def flush(self) -> None:
        """Write what is to be sent, as far as windows and socket let it."""
        self._flush_due = False
        if self.closed:
            return
        ready = self._ready
        try:
            while ready and self.send_window > 0 and not self.write_paused:
                stream = next(iter(ready))
                del ready[stream]
                if stream.backlog is not None and stream.send_window > 0 and stream.send_waiting():
                    ready[stream] = None
        except ConnectionViolation as violation:
            self.fail(violation.code, str(violation))
            return
        self._write()

    def _flush_later(self) -> None:
        self._flush_due = True
        self.http2.flush_soon(self)

    def _write(self) -> None:
        out = self._out
        if not out:
            return
        self._out = []
        self._out_size = 0
        self.written = self.opened
        self._transport.write(b"".join(out))
        if self.write_paused and self._transport.get_write_buffer_size() > self.bounds.unsent_control:
            self.abort()

    # Ends.

    def forget_output(self) -> None:
        """Nothing can be written any more."""
        self._out.clear()
        self._ready.clear()

    def abort(self) -> None:
        """There is nobody to talk to."""
        self.closed = True
        self._transport.abort()

    @abstractmethod
    def fail(self, code: ErrorCode, text: str) -> None:
        """The peer broke a rule that costs it the connection."""
