"""One endpoint and the connections to it: kept-alive ones, being opened ones, and who waits for them.

The connection used last is used first (LIFO), so that a pool shrinks to what the traffic needs. An exchange that finds
none idle waits while a new one is opened, and takes whichever comes first, the new one or one that another exchange
gives back; there are never more being opened than exchanges waiting when they were asked for, and never more than
`Limits.connections_opening`: of a crowd that comes at once, many find that a connection is given back before their
turn to open one has come.
"""

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

from upwell.http.dial import DialError, SecureDialer, dial
from upwell.http.errors import FailureKind
from upwell.http.message import IDEMPOTENT_METHODS
from upwell.http.sides import UpstreamSide
from upwell.http.upstream import UpstreamConnection

if TYPE_CHECKING:
    from upwell.http.engine import Engine
    from upwell.http.exchange import Exchange
    from upwell.http.h2.pool import Http2Pool

__all__ = ["Upstream"]


class Upstream:
    """An address that requests are forwarded to, and its pool of connections."""

    __slots__ = (
        "_closed",
        "_http2",
        "_idle",
        "_opening",
        "_waiting",
        "authority",
        "connections_opened",
        "engine",
        "host",
        "idle_limit",
        "in_flight",
        "port",
        "secure",
    )

    def __init__(
        self, engine: "Engine", host: str, port: int, idle_limit: int, secure: SecureDialer | None = None
    ) -> None:
        self.engine = engine
        self.host = host
        self.port = port
        self.authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
        """For a Host field where the client gave none."""
        self.secure = secure
        """Opens its connections where they have TLS."""
        self.in_flight = 0
        """Exchanges forwarded here and not yet over, those that wait for a connection included."""
        self.idle_limit = idle_limit
        self.connections_opened = 0
        self._idle: list[UpstreamConnection] = []
        self._waiting: dict[Exchange, None] = {}
        self._opening = 0
        self._closed = False
        self._http2: Http2Pool | None = None

    def __repr__(self) -> str:
        return (
            f"<Upstream {self.authority.decode()}: {self.in_flight} in flight, {len(self._idle)} idle, "
            f"{len(self._waiting)} waiting, {self._opening} opening>"
        )

    @property
    def idle_count(self) -> int:
        """Kept-alive connections that nobody uses."""
        return len(self._idle)

    @property
    def http2(self) -> "Http2Pool":
        """The connections over which requests go where HTTP/2 is spoken."""
        if self._http2 is None:
            from upwell.http.h2.pool import Http2Pool

            self._http2 = Http2Pool(self)
        return self._http2

    # What exchanges ask for.

    def take(self, exchange: "Exchange") -> UpstreamSide | None:
        """The idle connection that was used last, or a stream where HTTP/2 is spoken; or None."""
        if exchange.over_http2:
            return self.http2.take(exchange)
        idle = self._idle
        while idle:
            connection = idle.pop()
            self.engine.idle_connections.discard(connection)
            # A request that must not be sent twice goes over an old connection only after a look at it, and so does one
            # that has just failed on another: an upstream that died took all of them along.
            harmless = exchange.request.method in IDEMPOTENT_METHODS and not exchange.attempts
            if harmless or not connection.stale():
                return connection
            connection.close()
        return None

    def wait(self, exchange: "Exchange") -> None:
        """Give `exchange` a connection as soon as there is one, or tell it that there will be none."""
        if exchange.over_http2:
            self.http2.wait(exchange)
            return
        self._waiting[exchange] = None
        self._open_more()

    def leave(self, exchange: "Exchange") -> None:
        """`exchange` does not wait any more."""
        self._waiting.pop(exchange, None)
        if self._http2 is not None:
            self._http2.leave(exchange)

    # What connections report.

    def release(self, connection: UpstreamConnection) -> None:
        """A connection is free."""
        if self._waiting:
            exchange = next(iter(self._waiting))
            del self._waiting[exchange]
            exchange.connected(connection)
        elif self._closed or len(self._idle) >= self.idle_limit:
            connection.close()
        else:
            self._idle.append(connection)
            engine = self.engine
            engine.idle_connections.add(connection, engine.now())
            if len(engine.upstream_connections) > engine.limits.idle_connections_total:
                engine.bound_idle_connections()

    def connection_lost(self, connection: UpstreamConnection) -> None:
        """A connection is gone; if it was idle, nobody gets it any more."""
        self.engine.upstream_connections.pop(connection, None)
        self.forget(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """This connection is not to be used any more, if it was waiting for use."""
        self.engine.idle_connections.discard(connection)
        try:
            self._idle.remove(connection)
        except ValueError:
            pass

    def close(self) -> None:
        """Close what is idle, now and in future; exchanges under way finish."""
        self._closed = True
        if self._http2 is not None:
            self._http2.close()
        idle, self._idle = self._idle, []
        for connection in idle:
            self.engine.idle_connections.discard(connection)
            connection.close()

    # Opening.

    def _open_more(self) -> None:
        """Open one more connection, if somebody waits for whom none is being opened."""
        if self._opening < len(self._waiting) and self._opening < self.engine.limits.connections_opening:
            self._opening += 1
            self.engine.start(self._connect(), f"connect {self.host}:{self.port}")

    async def _connect(self) -> None:
        try:
            connection = await dial(self.engine, lambda: UpstreamConnection(self), self.host, self.port, self.secure)
        except DialError as error:
            self._opening -= 1
            self._fail_first(error.kind, error.message)
        except asyncio.CancelledError:
            self._opening -= 1
            raise
        else:
            self._opening -= 1
            self.connections_opened += 1
            self.engine.upstream_connections[connection] = None
            self.release(connection)
            self._open_more()

    def _fail_first(self, kind: FailureKind, message: str) -> None:
        """The connection that failed was for the one that waits longest; the last one to fail, for all the rest."""
        waiting, opening = len(self._waiting), self._opening
        for exchange in list(islice(self._waiting, waiting if not opening else waiting > opening)):
            if exchange in self._waiting:
                del self._waiting[exchange]
                exchange.attempt_failed(kind, message, sent=False)
