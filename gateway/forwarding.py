"""The request path: host → routes → target → endpoint, and what happens when that endpoint does not answer.

    request_received ── no such host or path ──> 404
      │ route, target, endpoint                      ┌── changed endpoints, or a pause of 25 ms … 250 ms ──┐
      └──> forward ──failed, safe to repeat──> another endpoint ──none left──> wait (bounded, 10 s) ───────┴──> 502, 503
                   ──failed otherwise──> 502

What takes a request that waits so long is typically an activator or a sidecar that starts again, which takes about a
second; its client sees a slow answer instead of an error. Which failures are safe to repeat is the engine's to say
(`UpstreamFailure.retryable`). All of this runs on the loop without tasks; only a request that waits has a timer. What
routes, target and fields are for a head is found once (`gateway.planning`).
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from gateway.balancer import Pool
from gateway.entrance import Entrance, redirection
from gateway.metrics import GatewayMetrics
from gateway.planning import Passage, Plan, Planner, PoolFinder
from gateway.table import Table
from upwell.http import Exchange, FailureKind, RequestHead, Upstream, UpstreamFailure
from upwell.telemetry import log

__all__ = ["Forwarding", "PoolSource", "RouteSource"]

ACCESS: Final = log.get("access")
FIRST_PAUSE: Final = 0.025
LONGEST_PAUSE: Final = 0.25
ATTEMPTS_IN_A_ROW: Final = 3
"""Endpoints that one request tries before it pauses; where so many are dead, EndpointSlices are about to change."""
_NONE: Final[frozenset[Upstream]] = frozenset()
PLAIN_ENTRANCE: Final = Entrance()
PLAIN: Final = (b"Content-Type", b"text/plain; charset=utf-8")


class RouteSource(Protocol):
    """Who holds the current table."""

    table: Table


class PoolSource(PoolFinder, Protocol):
    """What the request path needs of the balancer."""

    def on_change(self, callback: Callable[[Pool], None]) -> None: ...


class _Visit:
    """What is known about an exchange that did not find its endpoint at once; others have their Passage alone."""

    __slots__ = ("add", "deadline", "failure", "host", "pause", "pool", "remove", "timer", "tried", "version")

    def __init__(self, passage: Passage, version: int) -> None:
        """`version` is the table's now."""
        self.version = version
        self.pool = passage.pool
        self.host = passage.host
        self.remove = passage.remove
        self.add = passage.add
        self.tried = _NONE
        self.failure = ""
        self.deadline = 0.0
        """When it stops waiting; 0 until it begins to."""
        self.pause = FIRST_PAUSE
        self.timer: asyncio.TimerHandle | None = None

    def continues(self, earlier: "_Visit") -> None:
        """Go on with the patience that an earlier one left, and where it leads to the same place with what is known."""
        self.deadline = earlier.deadline
        self.pause = earlier.pause
        if self.pool is earlier.pool:
            self.tried = earlier.tried
            self.failure = earlier.failure


class Forwarding:
    """The gateway's Application, one for each kind of listener."""

    def __init__(
        self,
        routes: RouteSource,
        pools: PoolSource,
        metrics: GatewayMetrics,
        *,
        entrance: Entrance = PLAIN_ENTRANCE,
        wait_seconds: float = 10.0,
        waiting_max: int = 10_000,
        access_log: bool = False,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """To be made where the loop is running."""
        self._routes = routes
        self._pools = pools
        self._metrics = metrics
        self._entrance = entrance
        self._wait_seconds = wait_seconds
        self._waiting_max = waiting_max
        self._access_log = access_log
        self._is_ready = is_ready
        self._planner = Planner(pools, entrance.scheme)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Pool, dict[Exchange, None]] = {}
        self.waiting = 0
        """Requests that wait for an endpoint."""
        pools.on_change(self._endpoints_changed)

    # What the engine reports.

    def request_received(self, exchange: Exchange) -> None:
        plan: Plan | None = exchange.request.note
        if plan is None or plan.version != self._routes.table.version:
            plan = self._planned(exchange)
            if plan is None:
                return
        passage = exchange.context = plan.choose()
        exchange.retry_unsent = True
        pool = passage.pool
        upstream = pool.choose()
        if upstream is None:
            self._attempt(exchange, self._visit(exchange))
        else:
            http2 = pool.http2 or _is_grpc(exchange.request)
            exchange.forward(upstream, host=passage.host, remove=passage.remove, add=passage.add, http2=http2)

    def upstream_failed(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        visit = self._visit(exchange)
        visit.failure = failure.message
        if not failure.retryable:
            self._give_up(exchange, visit, b"upstream-failed")
            return
        visit.pool.metrics.retries.inc()
        # A connection that broke at the first attempt was most likely a kept-alive one that had gone stale.
        stale = failure.kind is FailureKind.RESET and exchange.attempts == 1
        if exchange.upstream is not None and not stale:
            visit.pool.suspect(exchange.upstream)
            visit.tried |= {exchange.upstream}
        self._attempt(exchange, visit)

    def exchange_ended(self, exchange: Exchange) -> None:
        known: Passage | _Visit | None = exchange.context
        seconds = self._loop.time() - exchange.started
        if known is not None:
            if isinstance(known, _Visit) and known.timer is not None:
                self._leave(exchange, known)
            known.pool.metrics.ended(exchange.status, seconds)
        if self._access_log:
            self._log(exchange, known, seconds)

    # Where to.

    def _planned(self, exchange: Exchange) -> Plan | None:
        """The plan for its head, made anew; None where it has been answered."""
        request = exchange.request
        table = self._routes.table
        if b"k-network-hash" not in request.fields and (known := self._planner.known(table, request)) is not None:
            return known
        entry = table.find(request.host)
        if entry is None or (self._entrance.public_only and not entry.public):
            self._no_such_host(exchange)
            return None
        if request.get(b"k-network-hash") == b"override" and request.get(b"k-network-probe") == b"probe":
            # An ingress prober asks which version of the Ingress is served here.
            exchange.respond(200, ((b"K-Network-Hash", entry.hash),))
            return None
        route = entry.match(request.target, request)
        elsewhere = redirection(self._entrance, entry, route, request)
        if elsewhere is not None:
            exchange.respond(elsewhere[0], ((b"Location", elsewhere[1]),))
            return None
        if route is None:
            self._no_such_path(exchange)
            return None
        return self._planner.plan(table, entry, route, request)

    # Again, and waiting.

    def _visit(self, exchange: Exchange) -> _Visit:
        """What is known about an exchange that needs more than its passage from now on."""
        known: Passage | _Visit = exchange.context
        if isinstance(known, _Visit):
            return known
        visit = exchange.context = _Visit(known, self._routes.table.version)
        return visit

    def _attempt(self, exchange: Exchange, visit: _Visit) -> None:
        if visit.pool.dropped or visit.version != self._routes.table.version:
            # Its route may have changed meanwhile, perhaps to where it can be served.
            plan = self._planned(exchange)
            if plan is None:
                return
            changed = _Visit(plan.choose(), plan.version)
            changed.continues(visit)
            visit = exchange.context = changed
        upstream = visit.pool.choose(visit.tried) if len(visit.tried) < ATTEMPTS_IN_A_ROW else None
        if upstream is None:
            self._wait(exchange, visit)
        else:
            http2 = visit.pool.http2 or _is_grpc(exchange.request)
            exchange.forward(upstream, host=visit.host, remove=visit.remove, add=visit.add, http2=http2)

    def _wait(self, exchange: Exchange, visit: _Visit) -> None:
        now = self._loop.time()
        if not visit.deadline:
            visit.deadline = now + self._wait_seconds
        if now >= visit.deadline:
            self._give_up(exchange, visit, b"no-endpoint")
            return
        if self.waiting >= self._waiting_max:
            self._give_up(exchange, visit, b"too-many-waiting")
            return
        visit.timer = self._loop.call_later(min(visit.pause, visit.deadline - now), self._again, exchange, visit)
        visit.pause = min(LONGEST_PAUSE, visit.pause * 2)
        self._waiting.setdefault(visit.pool, {})[exchange] = None
        self.waiting += 1

    def _again(self, exchange: Exchange, visit: _Visit) -> None:
        self._leave(exchange, visit)
        visit.tried = _NONE
        self._attempt(exchange, visit)

    def _leave(self, exchange: Exchange, visit: _Visit) -> None:
        if visit.timer is not None:
            visit.timer.cancel()
            visit.timer = None
        waiting = self._waiting[visit.pool]
        del waiting[exchange]
        if not waiting:
            del self._waiting[visit.pool]
        self.waiting -= 1

    def _endpoints_changed(self, pool: Pool) -> None:
        if pool.upstreams or pool.dropped:
            for exchange in list(self._waiting.get(pool, ())):
                self._again(exchange, exchange.context)

    # Answers of our own.

    def _give_up(self, exchange: Exchange, visit: _Visit, reason: bytes) -> None:
        self._metrics.unanswered.inc()
        if visit.failure:
            self._answer(exchange, 502, reason, f"{visit.pool.backend} did not answer: {visit.failure}")
        else:
            text = f"{visit.pool.backend} has no ready endpoint"
            self._answer(exchange, 503, reason + b"; unsent", text, (b"Retry-After", b"1"))

    def _no_such_host(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.target == b"/healthz" and (request.get(b"user-agent") or b"").startswith(b"kube-probe/"):
            exchange.respond(200 if self._is_ready() else 503, (PLAIN,), b"ok" if self._is_ready() else b"draining")
            return
        self._metrics.unrouted.inc()
        host = request.host.decode("latin-1")
        hint = "See what is served with: kubectl get ksvc -A (here: upwell get services), and send that host."
        self._answer(exchange, 404, b"no-such-host", f'no service has the host "{host}". {hint}')

    def _no_such_path(self, exchange: Exchange) -> None:
        self._metrics.unrouted.inc()
        host = exchange.request.host.decode("latin-1")
        path = exchange.request.target.partition(b"?")[0].decode("latin-1")
        self._answer(exchange, 404, b"no-such-path", f'the service at "{host}" has no route for the path "{path}"')

    @staticmethod
    def _answer(exchange: Exchange, status: int, reason: bytes, text: str, *headers: tuple[bytes, bytes]) -> None:
        error = (b"Upwell-Error", b"gateway; reason=" + reason)
        exchange.respond(status, (PLAIN, error, *headers), text.encode("latin-1", "replace") + b"\n")

    def _log(self, exchange: Exchange, known: Passage | _Visit | None, seconds: float) -> None:
        # Never a query: it may hold secrets.
        request = exchange.request
        upstream = exchange.upstream
        ACCESS.info(
            "request",
            method=request.method.decode("latin-1"),
            host=request.host.decode("latin-1"),
            path=request.target.partition(b"?")[0].decode("latin-1"),
            status=exchange.status,
            outcome=exchange.outcome.value if exchange.outcome is not None else "",
            duration_ms=round(seconds * 1000, 3),
            request_bytes=exchange.request_bytes,
            response_bytes=exchange.response_bytes,
            backend=str(known.pool.backend) if known is not None else "",
            endpoint=upstream.authority.decode() if upstream is not None else "",
            attempts=exchange.attempts,
        )


def _is_grpc(request: RequestHead) -> bool:
    """Whether it is a call that nothing but HTTP/2 can carry, whatever the app's port is named."""
    return request.version[0] == 2 and request.fields.get(b"content-type", b"").startswith(b"application/grpc")
