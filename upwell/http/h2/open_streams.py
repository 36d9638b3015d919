"""The open streams of one connection: DATA to the stream it is for, and what becomes of streams that are over.

Two windows are looked after here on every piece of a body: the connection's, which is given back at once, half of it
at a time, and the stream's, which the stream gives back as its bytes go on. A frame on a stream that is over is no
offence as long as the peer cannot know of the end; otherwise it is work for nothing, and such work is counted.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from upwell.http.h2.codes import ConnectionViolation, ErrorCode, StreamViolation
from upwell.http.h2.frames import encode_reset, encode_window_update
from upwell.http.h2.reader import FrameReader
from upwell.http.h2.shared import Allowance
from upwell.http.h2.stream import CLOSED, Stream
from upwell.http.h2.writer import WINDOW_DEFAULT

if TYPE_CHECKING:
    from upwell.http.engine import Engine

__all__ = ["OpenStreams"]

S = TypeVar("S", bound=Stream[Any])

_FORGOTTEN_MAX: Final = 256
"""Streams we have reset of which late frames are excused."""


class OpenStreams(FrameReader, Generic[S]):
    """Knows which streams are open, and what the peer may send on all of them together."""

    def __init__(self, engine: "Engine") -> None:
        super().__init__(engine)
        self.streams: dict[int, S] = {}
        self.peer_stream_window = WINDOW_DEFAULT
        """What the peer takes on a new stream."""
        self._receive_window = self.bounds.connection_window
        """What the peer may still send on all streams together."""
        self._refill_below = self.bounds.connection_window // 2
        self._forgotten: dict[int, None] = {}
        self._chores = Allowance(self.bounds.chores_burst, self.bounds.chores_per_second, engine.now())

    # Bodies.

    def body_received(self, number: int, data: bytes, counted: int, ended: bool) -> None:
        window = self._receive_window - counted
        if window < self._refill_below:
            if window < 0:
                raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window allows")
            self.send(encode_window_update(0, self.bounds.connection_window - window))
            window = self.bounds.connection_window
        self._receive_window = window
        if not data and not ended:
            self.chore()
        stream = self.streams.get(number)
        if stream is None:
            self.frame_without_stream(number, "DATA")
            return
        try:
            stream.received(len(data), counted, ended)
            self.body_received_on(stream, data, ended)
        except StreamViolation as violation:
            self.violated(stream, violation)

    def frame_without_stream(self, number: int, what: str) -> None:
        """A frame on a stream that is over, or never was."""
        if number == 0 or self.is_unopened(number):
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, f"{what} on a stream that is not open")
        self.chore()
        if number not in self._forgotten and not self.closed:
            self.send(encode_reset(number, ErrorCode.STREAM_CLOSED))

    def chore(self) -> None:
        """The peer made us work for nothing; raise ConnectionViolation when it does so too often."""
        if self._chores.used_up(self.engine.now()):
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that move nothing")

    # Ends of streams.

    def reset(self, stream: S, code: int) -> None:
        """Give a stream up and say so."""
        if self.streams.get(stream.number) is stream:
            self.forget(stream.number)
            self.send(encode_reset(stream.number, code))
            self.remove(stream)

    def violated(self, stream: S, violation: StreamViolation) -> None:
        """The peer broke a rule that costs it one stream."""
        self.reset(stream, violation.code)
        self.stream_failed(stream, violation)

    def forget(self, number: int) -> None:
        """Frames of this stream that are under way already are no offence."""
        forgotten = self._forgotten
        if len(forgotten) >= _FORGOTTEN_MAX:
            del forgotten[next(iter(forgotten))]
        forgotten[number] = None

    def is_forgotten(self, number: int) -> bool:
        """Whether late frames of this stream are excused."""
        return number in self._forgotten

    def remove(self, stream: S) -> None:
        """A stream is over."""
        stream.state = CLOSED
        if stream.backlog is not None:
            stream.drop_backlog()
            self._ready.pop(stream, None)
        del self.streams[stream.number]
        if not self.streams and not self.closed:
            self.streams_over()

    # What each side makes of it.

    @abstractmethod
    def body_received_on(self, stream: S, data: bytes, ended: bool) -> None:
        """A piece of a body, which may be empty; raise StreamViolation."""

    @abstractmethod
    def is_unopened(self, number: int) -> bool:
        """Whether a stream with this number was never opened."""

    @abstractmethod
    def streams_over(self) -> None:
        """The last of the open streams is over."""

    @abstractmethod
    def stream_failed(self, stream: S, violation: StreamViolation) -> None:
        """We have given a stream up for what the peer did; it is removed already."""
