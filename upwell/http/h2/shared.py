"""What all HTTP/2 connections of an engine share: deadlines, and the one moment at which all of them write.

A connection that has something to say is written once in each round of the loop, when everything that was read in
that round has been looked at. So the answers to ten streams leave in one write, and so do the requests that came in
over ten connections.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upwell.http.deadlines import DeadlineQueue
    from upwell.http.engine import Engine
    from upwell.http.h2.connection import Http2Connection
    from upwell.http.h2.downstream import Http2Downstream
    from upwell.http.h2.reader import FrameReader
    from upwell.http.h2.stream import Stream
    from upwell.http.h2.upstream import Http2Upstream
    from upwell.http.h2.writer import FrameWriter

__all__ = ["Allowance", "Http2"]


class Http2:
    """One per engine, made when HTTP/2 is first spoken."""

    def __init__(self, engine: "Engine") -> None:
        bounds = self.bounds = engine.limits.http2
        queue = engine.deadlines.queue
        self.unacknowledged: DeadlineQueue[Http2Connection[Any]] = queue(
            "http2 settings", bounds.settings_timeout, lambda connection: connection.settings_timed_out()
        )
        self.incomplete: DeadlineQueue[FrameReader] = queue(
            "http2 head", engine.limits.head_timeout, lambda connection: connection.head_timed_out()
        )
        self.unread: DeadlineQueue[FrameWriter] = queue(
            "http2 unread", bounds.stall_timeout, lambda connection: connection.abort()
        )
        self.lingers: DeadlineQueue[Http2Connection[Any]] = queue(
            "http2 linger", engine.limits.linger_timeout, lambda connection: connection.abort()
        )
        self.stalls: DeadlineQueue[Stream[Any]] = queue(
            "http2 stall", bounds.stall_timeout, lambda stream: stream.stalled()
        )
        self.keep_alives: DeadlineQueue[Http2Downstream] = queue(
            "http2 keep-alive", engine.limits.keep_alive_timeout, lambda connection: connection.idle_too_long()
        )
        self.goaways: DeadlineQueue[Http2Downstream] = queue(
            "http2 drain", bounds.drain_ping_timeout, lambda connection: connection.finish_drain()
        )
        self.idle_upstreams: DeadlineQueue[Http2Upstream] = queue(
            "http2 idle upstream", engine.limits.idle_connection_timeout, lambda connection: connection.idle_too_long()
        )
        self.silences: DeadlineQueue[Http2Upstream] = queue(
            "http2 silence", bounds.ping_interval, lambda connection: connection.look_whether_silent()
        )
        self.pings: DeadlineQueue[Http2Upstream] = queue(
            "http2 ping", bounds.ping_timeout, lambda connection: connection.look_whether_dead()
        )
        self.silences_asked: DeadlineQueue[Http2Upstream] = queue(
            "http2 silence", bounds.ping_pause, lambda connection: connection.look_whether_silent()
        )
        self._loop = engine.loop
        self._to_flush: list[FrameWriter] = []

    def flush_soon(self, connection: "FrameWriter") -> None:
        """Write what `connection` has to say, in this round of the loop. To be called once until then."""
        if not self._to_flush:
            self._loop.call_soon(self._flush)
        self._to_flush.append(connection)

    def _flush(self) -> None:
        connections, self._to_flush = self._to_flush, []
        for connection in connections:
            connection.flush()


class Allowance:
    """So many at once, and so many more a second: the clock is asked only when the first are used up."""

    __slots__ = ("_burst", "_left", "_per_second", "_refilled")

    def __init__(self, burst: int, per_second: float, now: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left = float(burst)
        self._refilled = now

    def used_up(self, now: float) -> bool:
        """Take one; whether there was none left."""
        self._left -= 1
        if self._left >= 0:
            return False
        self._left = min(self._burst, self._left + 1 + (now - self._refilled) * self._per_second) - 1
        self._refilled = now
        return self._left < 0
