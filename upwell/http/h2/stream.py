"""A stream, as either side has it: its state, its windows, and what waits to be sent on it.

                     HEADERS received (or sent, upstream)
                                  │
                                  ▼
          END_STREAM sent       OPEN       END_STREAM received
             ┌────────────────────┴────────────────────┐
             ▼                                         ▼
    HALF_CLOSED_LOCAL                         HALF_CLOSED_REMOTE
             └─ END_STREAM received ──▶ CLOSED ◀── END_STREAM sent ─┘      RST_STREAM, either way: CLOSED at once

The table below is that picture (RFC 9113, 5.1, without what only server push needs). Bytes that the peer's window or
a full socket does not let out wait here, and the exchange is told when they are too many: the other side then stops
granting window to whoever sends them, so back-pressure travels from window to window and nothing is held whole.
"""

from abc import ABC, abstractmethod
from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from upwell.http.exchange import Exchange
from upwell.http.h2.codes import ErrorCode, StreamViolation
from upwell.http.h2.frames import END_STREAM, FRAME_SIZE_DEFAULT, data_head, encode_window_update
from upwell.http.message import Fields

if TYPE_CHECKING:
    from upwell.http.h2.connection import Http2Connection

__all__ = ["CLOSED", "HALF_CLOSED_LOCAL", "HALF_CLOSED_REMOTE", "OPEN", "Event", "Stream", "StreamState", "next_state"]


class StreamState(IntEnum):
    """Where a stream stands; the picture is in the module's docstring."""

    OPEN = 0
    HALF_CLOSED_LOCAL = 1
    HALF_CLOSED_REMOTE = 2
    CLOSED = 3


class Event(IntEnum):
    """What moves a stream, or must not happen where it stands."""

    RECEIVE_HEADERS = 0
    RECEIVE_DATA = 1
    RECEIVE_END = 2
    SEND_END = 3


OPEN: Final = StreamState.OPEN
HALF_CLOSED_LOCAL: Final = StreamState.HALF_CLOSED_LOCAL
HALF_CLOSED_REMOTE: Final = StreamState.HALF_CLOSED_REMOTE
CLOSED: Final = StreamState.CLOSED

_TRANSITIONS: Final[tuple[tuple[StreamState | None, ...], ...]] = (
    # RECEIVE_HEADERS, RECEIVE_DATA, RECEIVE_END, SEND_END; None is an error of the peer's, or for the last of ours.
    (OPEN, OPEN, HALF_CLOSED_REMOTE, HALF_CLOSED_LOCAL),
    (HALF_CLOSED_LOCAL, HALF_CLOSED_LOCAL, CLOSED, None),
    (None, None, None, CLOSED),
    (None, None, None, None),
)

_RECEIVE_DATA: Final = int(Event.RECEIVE_DATA)
_RECEIVE_END: Final = int(Event.RECEIVE_END)
_SEND_END: Final = int(Event.SEND_END)

# Why a stream grants no window: its request waits, or whoever gets its bytes is full.
_HELD_BY_REQUEST: Final = 1
_HELD_BY_PEER: Final = 2

_CRUMB: Final = 64
"""Bytes in a DATA frame below which a peer's window makes more work than it moves."""


def next_state(state: StreamState, event: Event) -> StreamState:
    """Where `event` leads; raise StreamViolation where it must not happen."""
    following = _TRANSITIONS[state][event]
    if following is None:
        raise _wrong_event(state, event)
    return following


def _wrong_event(state: StreamState, event: Event) -> StreamViolation:
    return StreamViolation(ErrorCode.STREAM_CLOSED, f"{event.name} on a stream that is {state.name}")


class Stream(ABC):
    """What both sides' streams have in common."""

    __slots__ = (
        "_ending",
        "_full",
        "_grow",
        "_grow_later",
        "_held",
        "_trailers",
        "_unacknowledged",
        "_waiting",
        "connection",
        "exchange",
        "expected",
        "number",
        "receive_window",
        "send_window",
        "state",
        "waiting_size",
    )

    def __init__(self, connection: "Http2Connection", number: int, receive_window: int, grow: int) -> None:
        """`grow` is what the receive window is enlarged by once the body flows."""
        self.connection = connection
        self.number = number
        self.exchange: Exchange | None = None
        self.state = OPEN
        self.send_window = connection.peer_stream_window
        self.receive_window = receive_window
        self.expected: int | None = None
        """Body bytes that are still to come, where a Content-Length promised them."""
        self.waiting_size = 0
        """Body bytes that wait to be sent."""
        self._waiting: deque[bytes] | None = None
        self._ending = False
        """Whether the end follows what waits."""
        self._trailers: Fields = []
        self._full = False
        """Whether more waits than should."""
        self._held = 0
        self._unacknowledged = 0
        """Bytes received for which no window was given back yet."""
        self._grow = 0
        self._grow_later = grow

    @property
    def write_paused(self) -> bool:
        """Whether it cannot take more for now."""
        return self._full

    # Receiving.

    def received(self, size: int, padding: int) -> None:
        """DATA with so many bytes of body, and so many beside them; raise StreamViolation."""
        state = _TRANSITIONS[self.state][_RECEIVE_DATA]
        if state is None:
            raise _wrong_event(self.state, Event.RECEIVE_DATA)
        counted = size + padding
        self.receive_window -= counted
        if self.receive_window < 0:
            raise StreamViolation(ErrorCode.FLOW_CONTROL_ERROR, "more data than the window allows")
        if self.expected is not None:
            self.expected -= size
            if self.expected < 0:
                raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "more data than its length")
        self._unacknowledged += counted

    def received_end(self) -> None:
        """END_STREAM; raise StreamViolation."""
        state = _TRANSITIONS[self.state][_RECEIVE_END]
        if state is None:
            raise _wrong_event(self.state, Event.RECEIVE_END)
        self.state = state
        if self.expected:
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "less data than its length")

    def grant(self) -> None:
        """Give window back for what has gone on its way, unless the way is full."""
        unacknowledged = self._unacknowledged
        if self._held or self.state > HALF_CLOSED_LOCAL or unacknowledged < self.receive_window:
            return
        increment = unacknowledged + self._grow
        self._grow = 0
        self._unacknowledged = 0
        self.receive_window += increment
        self.connection.send(encode_window_update(self.number, increment))

    def hold_body(self, hold: bool) -> None:
        """Whether what this stream brings has to wait because the request does."""
        if not hold:
            self._grow += self._grow_later
            self._grow_later = 0
        self._hold(_HELD_BY_REQUEST, hold)

    def hold(self, hold: bool) -> None:
        """Whether what this stream brings has to wait because the other side is full."""
        self._hold(_HELD_BY_PEER, hold)

    def _hold(self, reason: int, hold: bool) -> None:
        if hold:
            self._held |= reason
        elif self._held & reason:
            self._held &= ~reason
            self.grant()

    # Sending.

    def send_body(self, data: bytes) -> None:
        """More of the body: now, or as soon as there is window for it."""
        connection = self.connection
        size = len(data)
        if (
            self._waiting
            or size > self.send_window
            or size > connection.send_window
            or size > FRAME_SIZE_DEFAULT
            or connection.write_paused
        ):
            self._wait(data)
            return
        self.send_window -= size
        connection.send_window -= size
        connection.send_data(data_head(size, 0, self.number), data)

    def send_last(self, data: bytes) -> None:
        """The last of the body, which is not empty, or all of it."""
        connection = self.connection
        size = len(data)
        if (
            self._waiting
            or size > self.send_window
            or size > connection.send_window
            or size > FRAME_SIZE_DEFAULT
            or connection.write_paused
        ):
            self._ending = True
            self._wait(data)
            return
        self.send_window -= size
        connection.send_window -= size
        connection.send_data(data_head(size, END_STREAM, self.number), data)
        self._sent_end()

    def end_body(self, trailers: Fields) -> None:
        """The body is complete."""
        if self._waiting:
            self._ending = True
            self._trailers = trailers
            return
        if trailers:
            self.connection.send_trailers(self.number, trailers)
        else:
            self.connection.send(data_head(0, END_STREAM, self.number))
        self._sent_end()

    def _wait(self, data: bytes) -> None:
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = deque()
        waiting.append(data)
        self.waiting_size += len(data)
        connection = self.connection
        connection.http2.stalls.ensure(self, connection.engine.now())
        connection.stream_waits(self)
        if not self._full and self.waiting_size > connection.limits.write_high_water:
            self._full = True
            self.writable(False)

    def send_waiting(self) -> bool:
        """Send one frame of what waits; whether there is more that this stream's window lets out."""
        waiting, connection = self._waiting, self.connection
        assert waiting
        room = min(self.send_window, connection.send_window, FRAME_SIZE_DEFAULT)
        data = waiting.popleft()
        size = len(data)
        if size > room:
            data, rest = data[:room], data[room:]
            size = room
            waiting.appendleft(rest)
            if size < _CRUMB:
                connection.chore()
        self.waiting_size -= size
        self.send_window -= size
        connection.send_window -= size
        last = self._ending and not waiting and not self._trailers
        connection.send_data(data_head(size, END_STREAM if last else 0, self.number), data)
        stalls = connection.http2.stalls
        if waiting:
            stalls.restart(self, connection.engine.now())
        else:
            stalls.discard(self)
        if not waiting and self._ending:
            if self._trailers:
                connection.send_trailers(self.number, self._trailers)
            self._sent_end()
        elif self._full and self.waiting_size <= connection.limits.write_low_water:
            self._full = False
            self.writable(True)
        return bool(waiting) and self.send_window > 0

    def drop_waiting(self) -> None:
        """What waits is not to be sent any more."""
        if self._waiting:
            self._waiting = None
            self.waiting_size = 0
            self.connection.http2.stalls.discard(self)

    def window_opened(self, increment: int) -> None:
        """The peer takes more on this stream; or less, after a change of its settings."""
        self.send_window += increment
        if self._waiting and self.send_window > 0:
            self.connection.stream_waits(self)

    def _sent_end(self) -> None:
        state = _TRANSITIONS[self.state][_SEND_END]
        assert state is not None, "we have ended it before"
        self.state = state
        self.sent_all()

    # What each side makes of it.

    @abstractmethod
    def writable(self, writable: bool) -> None:
        """Tell the exchange that this stream can take more, or cannot."""

    @abstractmethod
    def sent_all(self) -> None:
        """Everything that was to be sent is in the connection's hands."""

    @abstractmethod
    def stalled(self) -> None:
        """What waits has waited too long for the peer's window."""
