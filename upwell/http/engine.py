"""The engine: what all connections of a process share, and the verbs to run it.

It owns the loop's listeners, the pools (one `Upstream` per address), the deadline queues and the count of what is under
way. `serve` listens for one application, `upstream` names where requests can be forwarded to, `fetch` asks something
on our own account over the same pools, `drain` ends it all in good order.
"""

import asyncio
import socket
from collections.abc import Coroutine, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from upwell.clock import Clock, SystemClock
from upwell.http.deadlines import Deadlines
from upwell.http.dial import SecureDialer
from upwell.http.downstream import DownstreamConnection
from upwell.http.exchange import Exchange
from upwell.http.fetch import FetchResult, FetchSide
from upwell.http.limits import Limits
from upwell.http.pool import Upstream
from upwell.http.request_reader import HeadMemory
from upwell.http.sides import Application
from upwell.http.timeouts import Timeouts
from upwell.http.tunnel import Tunnel
from upwell.http.upstream import UpstreamConnection

if TYPE_CHECKING:
    from ssl import SSLContext

    from upwell.http.h2.downstream import Http2Downstream
    from upwell.http.h2.shared import Http2

__all__ = ["Engine", "Listener"]

_TIMEOUTS_MAX: Final = 256


class Listener:
    """A port that is being listened on."""

    __slots__ = ("_server", "port")

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        # uvloop has a list where asyncio has a tuple, and compiled code looks whether it is one.
        self.port: int = cast("Any", server).sockets[0].getsockname()[1]

    def close(self) -> None:
        """Accept no more connections; those that exist go on."""
        self._server.close()


class Engine:
    """One per process and loop. To be made where the loop is running."""

    def __init__(
        self, *, limits: Limits | None = None, clock: Clock | None = None, component: bytes = b"upwell"
    ) -> None:
        """`component` is the name that error answers carry in their `Upwell-Error` field."""
        self.limits = limits or Limits()
        self.loop = asyncio.get_running_loop()
        self.component = component
        self.draining = False
        self.in_flight = 0
        """Exchanges that have begun and not ended, whoever's."""
        self.refused: dict[str, int] = {}
        """Requests that the engine itself refused, by reason."""
        self.connections: dict[DownstreamConnection | Http2Downstream, None] = {}
        self.head_memory = HeadMemory()
        self.upstream_connections: dict[UpstreamConnection, None] = {}
        self.clock = clock or SystemClock()
        self.deadlines = Deadlines(self.clock, self.loop)
        self.now = self.deadlines.now
        self._upstreams: dict[tuple[str, int, SecureDialer | None], Upstream] = {}
        self._timeouts: dict[tuple[float, float, float, bytes], Timeouts] = {}
        self._listeners: list[Listener] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._drained: asyncio.Future[None] | None = None

        queue = self.deadlines.queue
        bounds = self.limits
        self.heads = queue("head", bounds.head_timeout, DownstreamConnection.timed_out)
        self.body_idles = queue("body idle", bounds.body_idle_timeout, DownstreamConnection.body_stalled)
        self.keep_alives = queue("keep-alive", bounds.keep_alive_timeout, DownstreamConnection.timed_out)
        self.lingers = queue("linger", bounds.linger_timeout, DownstreamConnection.timed_out)
        self.unread = queue("unread client", 1.0, DownstreamConnection.look_whether_gone)
        self.continues = queue("continue", bounds.continue_timeout, Exchange.continue_timed_out)
        self.half_closed = queue("half-closed tunnel", bounds.half_closed_timeout, Tunnel.closed)
        self.idle_connections = queue("idle upstream", bounds.idle_connection_timeout, UpstreamConnection.idle_too_long)

    async def serve(
        self,
        app: Application,
        host: str,
        port: int | None = None,
        sock: socket.socket | None = None,
        tls: "SSLContext | None" = None,
    ) -> Listener:
        """Accept connections for `app` on `host` and `port` (0: any free one), or on `sock`; raise OSError."""

        def connection() -> DownstreamConnection:
            return DownstreamConnection(self, app)

        backlog = self.limits.listen_backlog
        if sock is not None:
            server = await self.loop.create_server(connection, sock=sock, backlog=backlog, ssl=tls)
        else:
            server = await self.loop.create_server(connection, host, port or 0, backlog=backlog, ssl=tls)
        listener = Listener(server)
        self._listeners.append(listener)
        return listener

    def upstream(
        self, host: str, port: int, idle_limit: int | None = None, secure: SecureDialer | None = None
    ) -> Upstream:
        """The endpoint at this address, with its pool; the same object as long as it is not discarded.

        With `secure` its connections have TLS.
        """
        key = (host, port, secure)
        found = self._upstreams.get(key)
        if found is None:
            limit = self.limits.idle_connections if idle_limit is None else idle_limit
            found = self._upstreams[key] = Upstream(self, host, port, limit, secure)
        return found

    def discard(self, upstream: Upstream) -> None:
        """Forget an endpoint that is no more: idle connections close, exchanges under way finish."""
        key = (upstream.host, upstream.port, upstream.secure)
        if self._upstreams.get(key) is upstream:
            del self._upstreams[key]
        upstream.close()

    async def fetch(
        self,
        method: bytes,
        host: str,
        port: int,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        timeout: float,
        max_body: int = 64 * 1024,
    ) -> FetchResult:
        """Ask something on our own account; raise FetchError. `timeout` (seconds) bounds the whole."""
        side = FetchSide(self, max_body)
        return await side.run(method, self.upstream(host, port), target, headers, timeout)

    async def drain(self, timeout: float | None) -> bool:
        """Close listeners and idle connections, let exchanges finish; False when `timeout` seconds did not suffice.

        Whatever is left then is cut. Afterwards the engine has no connection and no timer.
        """
        self.draining = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.drain()
        finished = True
        if self.connections or self.in_flight:
            self._drained = self.loop.create_future()
            try:
                await asyncio.wait_for(self._drained, timeout)
            except TimeoutError:
                finished = False
        for connection in list(self.connections):
            connection.give_up()
        for upstream in list(self._upstreams.values()):
            self.discard(upstream)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.deadlines.close()
        return finished

    def timeouts(self, total: float, response_start: float, idle: float, body: bytes) -> Timeouts:
        """This set of bounds on an exchange, as an object that all with the same bounds share."""
        key = (total, response_start, idle, body)
        found = self._timeouts.get(key)
        if found is None:
            if len(self._timeouts) >= _TIMEOUTS_MAX:
                self._timeouts.clear()
            found = self._timeouts[key] = Timeouts(self.deadlines, total, response_start, idle, body)
        return found

    @cached_property
    def http2(self) -> "Http2":
        """What HTTP/2 connections share; HTTP/2 is loaded when somebody speaks it first."""
        from upwell.http.h2.shared import Http2

        return Http2(self)

    def expect_http2(self) -> None:
        """HTTP/2 is what will be spoken: load it now, or the first request waits for that, 7 ms and more."""
        import upwell.http.h2.downstream
        import upwell.http.h2.pool
        import upwell.http.h2.shared
        import upwell.http.h2.upgrade  # noqa: F401

    # What the engine's parts report.

    def start(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something that has to wait; the engine owns it until it is done. The caller may cancel it."""
        task = self.loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def bound_idle_connections(self) -> None:
        """A connection to an upstream has become idle: if there are too many in all, the one unused longest goes."""
        idle = self.idle_connections
        if len(idle) > self.limits.idle_connections_total:
            oldest = idle.first()
            idle.discard(oldest)
            oldest.idle_too_long()

    def exchange_ended(self) -> None:
        self.in_flight -= 1
        if self._drained is not None:
            self._look_whether_drained()

    def connection_lost(self, connection: "DownstreamConnection | Http2Downstream") -> None:
        self.connections.pop(connection, None)
        if self._drained is not None:
            self._look_whether_drained()

    def _look_whether_drained(self) -> None:
        drained = self._drained
        if drained is not None and not drained.done() and not self.in_flight and not self.connections:
            drained.set_result(None)
