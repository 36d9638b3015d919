"""One HTTP/2 connection, as far as both sides are alike: settings, windows, pings, and how it ends.

It is made of three layers below this one: `writer` (bytes out), `reader` (bytes to frames), `open_streams` (DATA, and
streams that end). Here are the frames that carry no message. What requests and responses are is known to the two
sides, `upwell.http.h2.downstream` and `upwell.http.h2.upstream`.

A connection ends in one of three ways: `fail` (the peer broke a rule: GOAWAY with a code), `finish` (nothing is left
to do: GOAWAY without), `abort` (there is nobody to talk to any more).
"""

import asyncio
import logging
from abc import abstractmethod
from typing import Final, cast

from upwell.http.h2.codes import ConnectionViolation, ErrorCode, StreamViolation
from upwell.http.h2.frames import (
    ACK,
    FRAME_SIZE_DEFAULT,
    GOAWAY,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_MAX,
    WINDOW_UPDATE,
    encode_frame,
    encode_goaway,
    encode_window_update,
    read_goaway,
    read_settings,
    read_uint31,
)
from upwell.http.h2.open_streams import OpenStreams, S
from upwell.http.h2.writer import WINDOW_DEFAULT

__all__ = ["Http2Connection", "Setting"]

_log = logging.getLogger("upwell.http")

_SETTINGS_MAX: Final = 64
"""Settings in one frame; there are six, and a few of extensions."""


class Setting:
    """Identifiers of settings (RFC 9113, 6.5.2)."""

    HEADER_TABLE_SIZE: Final = 1
    ENABLE_PUSH: Final = 2
    MAX_CONCURRENT_STREAMS: Final = 3
    INITIAL_WINDOW_SIZE: Final = 4
    MAX_FRAME_SIZE: Final = 5
    MAX_HEADER_LIST_SIZE: Final = 6


class Http2Connection(OpenStreams[S]):
    """What both sides' connections have in common."""

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(self.limits.write_high_water, self.limits.write_low_water)
        self.send(self.greeting())
        if self.bounds.connection_window > WINDOW_DEFAULT:
            self.send(encode_window_update(0, self.bounds.connection_window - WINDOW_DEFAULT))
        self.http2.unacknowledged.add(self, self.engine.now())

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.forget_input()
        self.forget_output()
        http2 = self.http2
        for queue in (http2.unacknowledged, http2.incomplete, http2.unread, http2.lingers):
            queue.discard(self)
        self.lost(exc)

    # Frames that carry no message.

    def control_received(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            self._window_update(number, payload)
        elif kind == RST_STREAM:
            self._reset_received(number, payload)
        elif kind == SETTINGS:
            self._settings(flags, number, payload)
        elif kind == PING:
            self._ping(flags, number, payload)
        elif kind == GOAWAY:
            self._goaway(number, payload)
        elif kind == PRIORITY:
            self._priority(number, payload)
        elif kind == PUSH_PROMISE:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "a push that nobody allowed")
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
            if self._ready and not self._flush_due:
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
        if len(settings) > _SETTINGS_MAX:
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
        if not self.greeted:
            self.started()
        self.settings_received()

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

    def _goaway(self, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        last, code = read_goaway(payload)
        self.goaway_received(last, code)

    def _priority(self, number: int, payload: bytes) -> None:
        """It means nothing any more (RFC 9113, 5.3.2)."""
        self.chore()
        if not number:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "PRIORITY without a stream")
        if len(payload) != 5:
            raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong size")

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

    # What each side makes of it.

    @abstractmethod
    def greeting(self) -> bytes:
        """What to say first."""

    @abstractmethod
    def settings_received(self) -> None:
        """The peer has said, or changed, what it takes."""

    @abstractmethod
    def stream_reset(self, stream: S, code: int) -> None:
        """The peer has given a stream up; it is removed already."""

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
