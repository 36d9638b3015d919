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
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from upwell.http.exchange import Exchange
from upwell.http.h2.codes import ErrorCode, StreamViolation
from upwell.http.h2.frames import END_STREAM, FRAME_SIZE_DEFAULT, data_head, encode_window_update
from upwell.http.message import Fields

if TYPE_CHECKING:
    from upwell.http.h2.connection import Http2Connection

__all__ = [
    "CLOSED",
    "HALF_CLOSED_LOCAL",
    "HALF_CLOSED_REMOTE",
    "OPEN",
    "SEND_END",
    "TRANSITIONS",
    "Backlog",
    "Event",
    "Stream",
    "StreamState",
    "next_state",
]


C = TypeVar("C", bound="Http2Connection[Any]")


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

TRANSITIONS: Final[tuple[tuple[StreamState | None, ...], ...]] = (
    # RECEIVE_HEADERS, RECEIVE_DATA, RECEIVE_END, SEND_END; None is an error of the peer's, or for the last of ours.
    (OPEN, OPEN, HALF_CLOSED_REMOTE, HALF_CLOSED_LOCAL),
    (HALF_CLOSED_LOCAL, HALF_CLOSED_LOCAL, CLOSED, None),
    (None, None, None, CLOSED),
    (None, None, None, None),
)

_RECEIVE_DATA: Final = int(Event.RECEIVE_DATA)
_RECEIVE_END: Final = int(Event.RECEIVE_END)
SEND_END: Final = int(Event.SEND_END)

# Why a stream grants no window: its request waits, or whoever gets its bytes is full.
_HELD_BY_REQUEST: Final = 1
_HELD_BY_PEER: Final = 2

_CRUMB: Final = 64
"""Bytes in a DATA frame below which a peer's window makes more work than it moves."""


def next_state(state: StreamState, event: Event) -> StreamState:
    """Where `event` leads; raise StreamViolation where it must not happen."""
    following = TRANSITIONS[state][event]
    if following is None:
        raise _wrong_event(state, event)
    return following


def _wrong_event(state: StreamState, event: int) -> StreamViolation:
    return StreamViolation(ErrorCode.STREAM_CLOSED, f"{Event(event).name} on a stream that is {state.name}")


class Backlog:
    """What waits to be sent on a stream, because of its window or of the socket. Few streams ever have one."""

    __slots__ = ("ending", "pieces", "size", "trailers")

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.size = 0
        self.ending = False
        """Whether the end follows."""
        self.trailers: Fields = []


class Stream(ABC, Generic[C]):
    """What both sides' streams have in common. One is made for every request, so it has no more than it needs."""

    __slots__ = (
        "_held",
        "backlog",
        "connection",
        "exchange",
        "expected",
        "number",
        "receive_window",
        "receive_window_full",
        "send_window",
        "state",
        "write_paused",
    )

    def __init__(self, connection: C, number: int, window: int, state: StreamState) -> None:
        """`window` is what the peer may send before any of it is given back."""
        self.connection = connection
        self.number = number
        self.exchange: Exchange | None = None
        self.state = state
        self.send_window = connection.peer_stream_window
        self.receive_window = self.receive_window_full = window
        self.expected: int | None = None
        """Body bytes that are still to come, where a Content-Length promised them."""
        self.backlog: Backlog | None = None
        self.write_paused = False
        """Whether more waits than should: it cannot take more for now."""
        self._held = 0

    # Receiving.

    def received(self, size: int, counted: int, ended: bool) -> None:
        """DATA with so many bytes of body, which took so many of the window; raise StreamViolation."""
        event = _RECEIVE_END if ended else _RECEIVE_DATA
        following = TRANSITIONS[self.state][event]
        if following is None:
            raise _wrong_event(self.state, event)
        self.state = following
        window = self.receive_window = self.receive_window - counted
        if window < 0:
            raise StreamViolation(ErrorCode.FLOW_CONTROL_ERROR, "more data than the window allows")
        expected = self.expected
        if expected is not None:
            expected = self.expected = expected - size
            if expected < 0:
                raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "more data than its length")
            if expected and ended:
                raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "less data than its length")

    def received_end(self) -> None:
        """A header block that ended the stream, trailers for example; raise StreamViolation."""
        self.state = next_state(self.state, Event.RECEIVE_END)
        if self.expected:
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "less data than its length")

    def grant(self) -> None:
        """Give window back for what has gone on its way, half a window at a time, unless the way is full."""
        taken = self.receive_window_full - self.receive_window
        if self._held or self.state > HALF_CLOSED_LOCAL or taken < self.receive_window:
            return
        self.receive_window = self.receive_window_full
        self.connection.send(encode_window_update(self.number, taken))

    def hold_body(self, hold: bool) -> None:
        """Whether what this stream brings has to wait because the request does."""
        if not hold:
            self.receive_window_full = max(self.receive_window_full, self.connection.bounds.stream_window_flowing)
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

    def send_message(self, block: bytes, body: bytes) -> None:
        """Send all there is: the block of a head, and a body that is complete."""
        connection = self.connection
        size = len(body)
        if not size:
            connection.send_block(self.number, block, True)
        elif (
            size > self.send_window
            or size > connection.send_window
            or size > FRAME_SIZE_DEFAULT
            or connection.write_paused
        ):
            connection.send_block(self.number, block, False)
            self.send_last(body)
            return
        else:
            self.send_window -= size
            connection.send_window -= size
            connection.send_whole(self.number, block, body)
        self.sent_end()

    def send_body(self, data: bytes) -> None:
        """More of the body: now, or as soon as there is window for it."""
        if self._must_wait(len(data)):
            self._wait(data)
        else:
            self.connection.send_data(data_head(len(data), 0, self.number), data)

    def send_last(self, data: bytes) -> None:
        """The last of the body, which is not empty, or all of it."""
        if self._must_wait(len(data)):
            self._wait(data).ending = True
        else:
            self.connection.send_data(data_head(len(data), END_STREAM, self.number), data)
            self.sent_end()

    def end_body(self, trailers: Fields) -> None:
        """The body is complete."""
        backlog = self.backlog
        if backlog is not None:
            backlog.ending = True
            backlog.trailers = trailers
            return
        if trailers:
            self.connection.send_trailers(self.number, trailers)
        else:
            self.connection.send(data_head(0, END_STREAM, self.number))
        self.sent_end()

    def _must_wait(self, size: int) -> bool:
        """Whether there is no window for so many bytes now; if there is, it is taken."""
        connection = self.connection
        if (
            self.backlog is not None
            or size > self.send_window
            or size > connection.send_window
            or size > FRAME_SIZE_DEFAULT
            or connection.write_paused
        ):
            return True
        self.send_window -= size
        connection.send_window -= size
        return False

    def _wait(self, data: bytes) -> Backlog:
        backlog = self.backlog
        if backlog is None:
            backlog = self.backlog = Backlog()
        backlog.pieces.append(data)
        backlog.size += len(data)
        connection = self.connection
        connection.http2.stalls.ensure(self, connection.engine.now())
        connection.stream_waits(self)
        if not self.write_paused and backlog.size > connection.limits.write_high_water:
            self.write_paused = True
            self.writable(False)
        return backlog

    def send_waiting(self) -> bool:
        """Send one frame of what waits; whether there is more that this stream's window lets out."""
        backlog, connection = self.backlog, self.connection
        assert backlog is not None
        data = self._take(backlog)
        size = len(data)
        self.send_window -= size
        connection.send_window -= size
        finished = not backlog.pieces
        last = finished and backlog.ending and not backlog.trailers
        connection.send_data(data_head(size, END_STREAM if last else 0, self.number), data)
        stalls = connection.http2.stalls
        if finished:
            self.backlog = None
            stalls.discard(self)
        else:
            stalls.restart(self, connection.engine.now())
        if finished and backlog.ending:
            if backlog.trailers:
                connection.send_trailers(self.number, backlog.trailers)
            self.sent_end()
        elif self.write_paused and backlog.size <= connection.limits.write_low_water:
            self.write_paused = False
            self.writable(True)
        return not finished and self.send_window > 0

    def _take(self, backlog: Backlog) -> bytes:
        """As much of the first piece as fits into one frame and into both windows."""
        connection = self.connection
        room = min(self.send_window, connection.send_window, FRAME_SIZE_DEFAULT)
        data = backlog.pieces.popleft()
        if len(data) > room:
            backlog.pieces.appendleft(data[room:])
            data = data[:room]
            if room < _CRUMB:
                connection.chore()
        backlog.size -= len(data)
        return data

    def drop_backlog(self) -> None:
        """What waits is not to be sent any more."""
        if self.backlog is not None:
            self.backlog = None
            self.connection.http2.stalls.discard(self)

    def window_opened(self, increment: int) -> None:
        """The peer takes more on this stream; or less, after a change of its settings."""
        self.send_window += increment
        if self.backlog is not None and self.send_window > 0:
            self.connection.stream_waits(self)

    def sent_end(self) -> None:
        """Everything that was to be sent is in the connection's hands, the end included."""
        following = TRANSITIONS[self.state][SEND_END]
        assert following is not None, "we have ended it before"
        self.state = following

    # What each side makes of it.

    @abstractmethod
    def writable(self, writable: bool) -> None:
        """Tell the exchange that this stream can take more, or cannot."""

    @abstractmethod
    def stalled(self) -> None:
        """What waits has waited too long for the peer's window."""
