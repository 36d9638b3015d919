"""One HTTP/2 connection, as far as both sides are alike: frames in, windows, settings, order, ends.

What was read is split into frames, and each goes to what it is for: DATA and HEADERS to the side that knows streams
(`upwell.http.h2.downstream`, `upwell.http.h2.upstream`), all others are dealt with here. What is to be sent is the
matter of `upwell.http.h2.writer`.

A connection ends in one of three ways: `fail` (the peer broke a rule: GOAWAY with a code), `finish` (nothing is left
to do: GOAWAY without), `abort` (there is nobody to talk to any more).
"""

import asyncio
import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Final, cast

from upwell.http.h2.codes import ConnectionViolation, ErrorCode, StreamViolation
from upwell.http.h2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_DEFAULT,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_MAX,
    WINDOW_UPDATE,
    encode_frame,
    encode_goaway,
    encode_reset,
    encode_window_update,
    read_goaway,
    read_settings,
    read_uint31,
    split_frames,
    without_padding,
    without_priority,
)
from upwell.http.h2.shared import Allowance
from upwell.http.h2.stream import CLOSED, Stream
from upwell.http.h2.writer import WINDOW_DEFAULT, FrameWriter

if TYPE_CHECKING:
    from upwell.http.engine import Engine

__all__ = ["Http2Connection", "Setting"]

_log = logging.getLogger("upwell.http")

_UNUSUAL_HEADERS: Final = PADDED | PRIORITY_FLAG | END_HEADERS
"""Of these flags a usual HEADERS frame has the last one only."""
_FORGOTTEN_MAX: Final = 256
"""Streams we have reset of which late frames are excused."""


class Setting:
    """Identifiers of settings (RFC 9113, 6.5.2)."""

    HEADER_TABLE_SIZE: Final = 1
    ENABLE_PUSH: Final = 2
    MAX_CONCURRENT_STREAMS: Final = 3
    INITIAL_WINDOW_SIZE: Final = 4
    MAX_FRAME_SIZE: Final = 5
    MAX_HEADER_LIST_SIZE: Final = 6


class _OpenBlock:
    """A header block that continues in the next frame."""

    __slots__ = ("ended", "frames", "number", "pieces", "size")

    def __init__(self, number: int, ended: bool, first: bytes) -> None:
        self.number = number
        self.ended = ended
        self.pieces = [first]
        self.size = len(first)
        self.frames = 0


class Http2Connection(FrameWriter):
    """Reads frames; knows which streams are open, and what the peer may send on them."""

    def __init__(self, engine: "Engine") -> None:
        super().__init__(engine)
        self.streams: dict[int, Stream] = {}
        self.peer_stream_window = WINDOW_DEFAULT
        """What the peer takes on a new stream."""
        self._rest = b""
        """The begin of a frame."""
        self._block: _OpenBlock | None = None
        self._greeted = False
        """Whether the peer's SETTINGS have come, which must be its first frame."""
        self._receive_window = self.bounds.connection_window
        self._unacknowledged = 0
        self._forgotten: dict[int, None] = {}
        self._chores = Allowance(self.bounds.chores_burst, self.bounds.chores_per_second, engine.now())

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(self.limits.write_high_water, self.limits.write_low_water)
        self.send(self.greeting())
        self.send(encode_window_update(0, self.bounds.connection_window - WINDOW_DEFAULT))
        self.http2.unacknowledged.add(self, self.engine.now())

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        try:
            frames, self._rest = split_frames(data, FRAME_SIZE_DEFAULT)
            for kind, flags, number, payload in frames:
                if self.closed:
                    return
                if self._block is not None:
                    self._continue_block(kind, flags, number, payload)
                elif kind == HEADERS:
                    if flags & _UNUSUAL_HEADERS == END_HEADERS and self._greeted:
                        self.headers_received(number, payload, flags & END_STREAM != 0)
                    else:
                        self._headers(flags, number, payload)
                elif kind == DATA:
                    self._data(flags, number, payload)
                else:
                    self._other_frame(kind, flags, number, payload)
            if not self.closed:
                self.frames_read()
        except ConnectionViolation as violation:
            self.fail(violation.code, str(violation))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._rest = b""
        self._block = None
        self._out.clear()
        self._ready.clear()
        http2 = self.http2
        for queue in (http2.unacknowledged, http2.incomplete, http2.unread, http2.lingers):
            queue.discard(self)
        self.lost(exc)

    # Frames that carry messages.

    def _headers(self, flags: int, number: int, payload: bytes) -> None:
        if not self._greeted:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "SETTINGS must come first")
        if flags & PADDED:
            payload = without_padding(payload)
        if flags & PRIORITY_FLAG:
            payload = without_priority(payload, number)
        ended = bool(flags & END_STREAM)
        if flags & END_HEADERS:
            self.headers_received(number, payload, ended)
        else:
            self._block = _OpenBlock(number, ended, payload)
            self.http2.incomplete.add(self, self.engine.now())

    def _continue_block(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        block = self._block
        assert block is not None
        if kind != CONTINUATION or number != block.number:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        block.pieces.append(payload)
        block.size += len(payload)
        block.frames += 1
        if block.frames > self.bounds.header_frames or block.size > self.limits.head_bytes:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "a header block without end")
        if flags & END_HEADERS:
            self._block = None
            self.http2.incomplete.discard(self)
            self.headers_received(block.number, b"".join(block.pieces), block.ended)

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._receive_window -= size
        if self._receive_window < 0:
            raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window allows")
        self._unacknowledged += size
        if self._unacknowledged > self._receive_window:
            self._receive_window += self._unacknowledged
            self.send(encode_window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        padding = 0
        if flags & PADDED:
            payload = without_padding(payload)
            padding = size - len(payload)
        ended = bool(flags & END_STREAM)
        if not payload and not ended:
            self.chore()
        stream = self.streams.get(number)
        if stream is None:
            self._frame_without_stream(number, "DATA")
            return
        try:
            stream.received(len(payload), padding)
            if ended:
                stream.received_end()
            self.data_received_on(stream, payload, ended)
        except StreamViolation as violation:
            self.violated(stream, violation)

    def _frame_without_stream(self, number: int, what: str) -> None:
        """A frame on a stream that is over, or never was."""
        if number == 0 or self.is_unopened(number):
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, f"{what} on a stream that is not open")
        self.chore()
        if number not in self._forgotten and not self.closed:
            self.send(encode_reset(number, ErrorCode.STREAM_CLOSED))

    # All other frames.

    def _other_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if not self._greeted and kind != SETTINGS:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "SETTINGS must come first")
        if kind == WINDOW_UPDATE:
            self._window_update(number, payload)
        elif kind == RST_STREAM:
            self._reset_received(number, payload)
        elif kind == SETTINGS:
            self._settings(flags, number, payload)
        elif kind == PING:
            self._ping(flags, number, payload)
        elif kind == GOAWAY:
            if number:
                raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
            last, code = read_goaway(payload)
            self.goaway_received(last, code)
        elif kind == PRIORITY:
            self.chore()
            if not number:
                raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "PRIORITY without a stream")
            if len(payload) != 5:
                raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
        elif kind in (PUSH_PROMISE, CONTINUATION):
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "a frame that nobody asked for")
        else:
            self.chore()

    def _window_update(self, number: int, payload: bytes) -> None:
        increment = read_uint31(payload, "WINDOW_UPDATE")
        if number == 0:
            if not increment:
                raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "a window is opened by nothing")
            self.send_window += increment
            if self.send_window > WINDOW_MAX:
                raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "a window is opened too far")
            if self._ready:
                self._flush_later()
            return
        stream = self.streams.get(number)
        if stream is None:
            if self.is_unopened(number):
                raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that is not open")
        elif not increment:
            self.violated(stream, StreamViolation(ErrorCode.PROTOCOL_ERROR, "a window is opened by nothing"))
        elif stream.send_window + increment > WINDOW_MAX:
            self.violated(stream, StreamViolation(ErrorCode.FLOW_CONTROL_ERROR, "a window is opened too far"))
        else:
            stream.window_opened(increment)

    def _reset_received(self, number: int, payload: bytes) -> None:
        code = read_uint31(payload, "RST_STREAM")
        stream = self.streams.get(number)
        if stream is not None:
            self.remove(stream)
            self.stream_reset(stream, code)
        elif number == 0 or self.is_unopened(number):
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on a stream that is not open")
        else:
            self.chore()

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement with settings")
            self.http2.unacknowledged.discard(self)
            return
        self.chore()
        settings = read_settings(payload)
        if len(settings) > _FORGOTTEN_MAX:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many settings")
        for key, value in settings:
            if key == Setting.INITIAL_WINDOW_SIZE:
                self._change_stream_windows(value)
            elif key == Setting.MAX_FRAME_SIZE:
                if not FRAME_SIZE_DEFAULT <= value < 1 << 24:
                    raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "an impossible MAX_FRAME_SIZE")
            elif key == Setting.ENABLE_PUSH:
                if value > 1:
                    raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "an impossible ENABLE_PUSH")
            elif key == Setting.MAX_CONCURRENT_STREAMS:
                self.peer_allows_streams(value)
        self.send(encode_frame(SETTINGS, ACK, 0))
        if not self._greeted:
            self._greeted = True
            self.greeted()

    def _change_stream_windows(self, value: int) -> None:
        if value > WINDOW_MAX:
            raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "an impossible INITIAL_WINDOW_SIZE")
        change = value - self.peer_stream_window
        self.peer_stream_window = value
        for stream in self.streams.values():
            if stream.send_window + change > WINDOW_MAX:
                raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "a window is opened too far")
            stream.window_opened(change)

    def _ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "PING of a wrong size")
        if flags & ACK:
            self.ping_answered()
        else:
            self.chore()
            self.send(encode_frame(PING, ACK, 0, payload))

    def chore(self) -> None:
        """The peer made us work for nothing; raise ConnectionViolation when it does so too often."""
        if self._chores.used_up(self.engine.now()):
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that move nothing")

    # Streams.

    def reset(self, stream: Stream, code: int) -> None:
        """Give a stream up and say so."""
        if self.streams.get(stream.number) is stream:
            self.forget(stream.number)
            self.send(encode_reset(stream.number, code))
            self.remove(stream)

    def forget(self, number: int) -> None:
        """Frames of this stream that are under way already are no offence."""
        forgotten = self._forgotten
        if len(forgotten) >= _FORGOTTEN_MAX:
            del forgotten[next(iter(forgotten))]
        forgotten[number] = None

    def remove(self, stream: Stream) -> None:
        """A stream is over."""
        stream.state = CLOSED
        if stream.waiting_size:
            stream.drop_waiting()
            self._ready.pop(stream, None)
        del self.streams[stream.number]
        if not self.streams and not self.closed:
            self.streams_over()

    def violated(self, stream: Stream, violation: StreamViolation) -> None:
        """The peer broke a rule that costs it one stream."""
        self.reset(stream, violation.code)
        self.stream_failed(stream, violation)

    # Ends.

    def fail(self, code: ErrorCode, text: str) -> None:
        """The peer broke a rule that costs it the connection."""
        if self.closed:
            return
        _log.debug("HTTP/2 connection given up: %s (%s)", code.name, text)
        self._say_goodbye(code, text)
        self.lost(ConnectionViolation(code, text))

    def finish(self) -> None:
        """Nothing is under way, and nothing is to come."""
        if not self.closed:
            self._say_goodbye(ErrorCode.NO_ERROR, "")

    def _say_goodbye(self, code: ErrorCode, text: str) -> None:
        self._out.append(encode_goaway(self.last_stream(), code, text))
        self._write()
        if self.closed:
            return
        self.closed = True
        self.http2.lingers.ensure(self, self.engine.now())
        self._transport.close()

    def settings_timed_out(self) -> None:
        """The peer has not acknowledged our settings."""
        self.fail(ErrorCode.SETTINGS_TIMEOUT, "SETTINGS were not acknowledged")

    def head_timed_out(self) -> None:
        """A header block was begun and does not end."""
        self.fail(ErrorCode.ENHANCE_YOUR_CALM, "a header block without end")

    # What each side makes of it.

    @abstractmethod
    def greeting(self) -> bytes:
        """What to say first."""

    @abstractmethod
    def greeted(self) -> None:
        """The peer has said its first SETTINGS."""

    @abstractmethod
    def headers_received(self, number: int, block: bytes, ended: bool) -> None:
        """A header block is complete; raise ConnectionViolation."""

    @abstractmethod
    def data_received_on(self, stream: Stream, data: bytes, ended: bool) -> None:
        """A piece of a body, which may be empty when it is the last."""

    @abstractmethod
    def frames_read(self) -> None:
        """All frames of one read have been looked at."""

    @abstractmethod
    def streams_over(self) -> None:
        """The last of the open streams is over."""

    @abstractmethod
    def stream_reset(self, stream: Stream, code: int) -> None:
        """The peer has given a stream up; it is removed already."""

    @abstractmethod
    def stream_failed(self, stream: Stream, violation: StreamViolation) -> None:
        """We have given a stream up for what the peer did; it is removed already."""

    @abstractmethod
    def is_unopened(self, number: int) -> bool:
        """Whether a stream with this number was never opened."""

    @abstractmethod
    def last_stream(self) -> int:
        """The last of the peer's streams that was looked at."""

    @abstractmethod
    def goaway_received(self, last: int, code: int) -> None:
        """The peer takes no more streams, and has not looked at those above `last`."""

    @abstractmethod
    def peer_allows_streams(self, count: int) -> None:
        """How many streams the peer takes at once."""

    @abstractmethod
    def ping_answered(self) -> None:
        """The peer is alive."""

    @abstractmethod
    def lost(self, error: Exception | None) -> None:
        """The connection is gone, or as good as gone: no stream goes on. May be told twice."""
