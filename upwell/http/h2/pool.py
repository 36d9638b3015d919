"""The HTTP/2 connections to one endpoint: one as long as it has room, more when the upstream's limit is reached.

An exchange that finds no room waits, for a new connection or for a stream to end, whichever comes first. There are
never more connections being opened than the waiting exchanges would fill.
"""

import asyncio
from typing import TYPE_CHECKING

from upwell.http.dial import DialError, dial
from upwell.http.errors import FailureKind
from upwell.http.h2.attempt import UpstreamStream
from upwell.http.h2.upstream import Http2Upstream

if TYPE_CHECKING:
    from upwell.http.exchange import Exchange
    from upwell.http.pool import Upstream

__all__ = ["Http2Pool"]


class Http2Pool:
    """What `Upstream` is for HTTP/1, for the requests that go over HTTP/2."""

    def __init__(self, upstream: "Upstream") -> None:
        self.engine = upstream.engine
        self.authority = upstream.authority
        self._upstream = upstream
        self._connections: list[Http2Upstream] = []
        """Those that take new streams."""
        self.waiting: dict[Exchange, None] = {}
        """Exchanges without a stream, in order."""
        self._opening = 0
        self._closed = False

    def __repr__(self) -> str:
        return (
            f"<Http2Pool {self.authority.decode()}: {len(self._connections)} open, "
            f"{len(self.waiting)} waiting, {self._opening} opening>"
        )

    # What exchanges ask for.

    def take(self, exchange: "Exchange") -> UpstreamStream | None:
        """A stream on a connection that has room, or None."""
        for connection in self._connections:
            streams = connection.streams
            if len(streams) < connection.streams_max:
                if streams or not connection.stale():
                    return connection.open_stream()
                # Its end has come, and with it that of no request.
                self.forget(connection)
                connection.abort()
                return self.take(exchange)
        return None

    def wait(self, exchange: "Exchange") -> None:
        """Give `exchange` a stream as soon as there is one, or tell it that there will be none."""
        self.waiting[exchange] = None
        if self._opening * self.engine.limits.http2.upstream_streams < len(self.waiting):
            self._opening += 1
            self.engine.start(self._connect(), f"connect h2 {self.authority.decode()}")

    def leave(self, exchange: "Exchange") -> None:
        """`exchange` does not wait any more."""
        self.waiting.pop(exchange, None)

    # What connections report.

    def has_room(self, connection: Http2Upstream) -> None:
        """A connection may take exchanges that wait."""
        waiting = self.waiting
        while waiting and connection.has_room:
            exchange = next(iter(waiting))
            del waiting[exchange]
            exchange.connected(connection.open_stream())

    def forget(self, connection: Http2Upstream) -> None:
        """This connection takes no new streams."""
        if connection in self._connections:
            self._connections.remove(connection)

    def connection_lost(self, connection: Http2Upstream) -> None:
        """A connection is gone; whoever waits for room on it needs another."""
        self.forget(connection)
        if self.waiting and not self._connections and not self._opening:
            self._opening += 1
            self.engine.start(self._connect(), f"connect h2 {self.authority.decode()}")

    def close(self) -> None:
        """Close what is idle, now and in future; exchanges under way finish."""
        self._closed = True
        for connection in list(self._connections):
            connection.leave()

    # Opening.

    async def _connect(self) -> None:
        upstream = self._upstream
        try:
            connection = await dial(
                self.engine, lambda: Http2Upstream(self), upstream.host, upstream.port, upstream.secure
            )
        except DialError as error:
            self._opening -= 1
            self._fail(error.kind, error.message)
        except asyncio.CancelledError:
            self._opening -= 1
            raise
        else:
            self._opening -= 1
            upstream.connections_opened += 1
            if not connection.closed:
                self._connections.append(connection)
                self.has_room(connection)
            if self._closed:
                connection.leave()

    def _fail(self, kind: FailureKind, message: str) -> None:
        """One connection would have served all that wait, unless others are still being opened."""
        if self._opening:
            return
        waiting, self.waiting = self.waiting, {}
        for exchange in waiting:
            exchange.attempt_failed(kind, message, sent=False)
