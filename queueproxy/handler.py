"""The path of a request through the sidecar, in the order in which things happen to it.

    probe? ── answered here: the app's health, or whether the path to the pod works
      │
    count it (statistics), arm its timeouts
      │
    slot? ─── none free: wait in line ── line full: 503
      │
    forward to the app ── no answer: once more if that is safe, else 502
      │
    ended: give the slot to the next in line, count, log

Of these steps, what follows from a request's head alone is a `_Plan`. The engine gives requests with the same head the
same object for it, and the plan is kept there, so that the usual request has its head looked at by nobody.

Sources: contract queue-proxy.md 3.1 (probes), 5 (breaker), 6 (timeouts), 7 (headers), 9 (statistics). Whatever
happens to a request, `exchange_ended` is called once for it, and that is the only place where its slot is released.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from queueproxy.drain import Drainer
from queueproxy.forwarded import forwarded
from queueproxy.readiness import Readiness
from upwell.api import names
from upwell.http import Exchange, FailureKind, ResponseHead, Upstream, UpstreamFailure
from upwell.policy.breaker import REJECTED, RUNNING, Breaker
from upwell.policy.request_stats import RequestStats
from upwell.telemetry import log
from upwell.telemetry.answers import answer_error, error_field

if TYPE_CHECKING:
    from queueproxy.request_metrics import RequestMetrics
    from queueproxy.request_tracing import RequestTracing
    from upwell.telemetry.request_trace import Trace

__all__ = ["Handler", "RequestTimeouts"]


def _field(name: str) -> bytes:
    return name.lower().encode()


AGENT: Final = b"user-agent"
PROBE: Final = _field(names.HEADER_PROBE)
HASH: Final = _field(names.HEADER_HASH)
KUBELET_PROBE: Final = _field(names.HEADER_KUBELET_PROBE)
PROXY: Final = _field(names.HEADER_PROXY)
ORIGINAL_HOST: Final = _field(names.HEADER_ORIGINAL_HOST)
WAIT: Final = b"upwell-wait"
"""Ours: the milliseconds for which the caller of a health check is willing to wait for the app."""

HEALTH_AGENTS: Final = tuple(
    agent.encode() for agent in (names.AGENT_KUBE, names.AGENT_ACTIVATOR, names.AGENT_AUTOSCALER)
)
SIDECAR: Final = ((b"Upwell-Sidecar", b"1"),)
"""In answers to health checks, so that a caller knows that WAIT is understood."""
WAIT_MAX: Final = 600.0
REMOVED: Final = frozenset((_field(names.HEADER_REVISION), _field(names.HEADER_NAMESPACE)))
REMOVED_WITH_FORWARDED: Final = REMOVED | {b"forwarded"}
NOTHING_ADDED: Final[tuple[tuple[bytes, bytes], ...]] = ()
ATTEMPTS_MAX: Final = 3
"""A stale pooled connection costs one attempt; more than two in a row mean that the app is at fault."""

_log = log.get("handler")


class RequestTimeouts(NamedTuple):
    """Seconds; 0 switches the latter two off, a revision timeout below 1 ends every request at once."""

    revision: float
    response_start: float = 0
    idle: float = 0


class _Kind(IntEnum):
    """Whose request it is."""

    USER = 0
    KUBELET = 1
    """A probe that the app answers: no statistics, no limit."""
    HEALTH = 2
    NETWORK = 3


USER: Final = _Kind.USER
KUBELET: Final = _Kind.KUBELET
HEALTH: Final = _Kind.HEALTH


class _Plan:
    """What a head says about the way of its requests. Nobody changes one after it was made."""

    __slots__ = ("add", "host", "is_probe", "kind", "proxied", "remove")

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        probe = fields.get(PROBE)
        self.kind = _kind(fields, probe)
        self.is_probe = self.kind is not USER or bool(probe)
        """Left out of metrics, and of the log unless asked for."""
        self.proxied = fields.get(PROXY) == b"activator"
        """Whether it came through an activator, which has counted it."""
        self.host: bytes | None = None
        """What `Exchange.forward` is to change in the head; and so are these."""
        self.remove = REMOVED
        self.add = NOTHING_ADDED
        made = _forwarded(fields)
        if made:
            self.remove, self.add = REMOVED_WITH_FORWARDED, ((b"Forwarded", made),)
        host = fields.get(ORIGINAL_HOST)
        if host and self.kind is USER:
            self.host = host
            self.remove = self.remove | {ORIGINAL_HOST}


def _kind(fields: dict[bytes, bytes], probe: bytes | None) -> _Kind:
    agent = fields.get(AGENT)
    if agent is not None and agent.startswith(HEALTH_AGENTS):
        return _Kind.HEALTH
    if probe == b"probe":
        return _Kind.NETWORK
    return _Kind.KUBELET if fields.get(KUBELET_PROBE) else _Kind.USER


class _Ticket:
    """What is remembered of a request between its arrival and its end."""

    __slots__ = ("arrived", "counted", "entered", "plan", "started", "trace")

    def __init__(self, arrived: float, plan: _Plan) -> None:
        self.arrived = arrived
        self.plan = plan
        self.counted = False
        """Whether it is part of the statistics."""
        self.entered = False
        """Whether it has a slot or a place in line."""
        self.started: float | None = None
        """When the app got it."""
        self.trace: Trace | None = None


class Handler:
    """The application behind the main port."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        breaker: Breaker[Exchange] | None,
        timeouts: RequestTimeouts,
        stats: RequestStats,
        drainer: Drainer,
        readiness: Readiness,
        tasks: asyncio.TaskGroup,
        now: Callable[[], float],
        metrics: "RequestMetrics | None" = None,
        request_log: Callable[[Exchange, float], None] | None = None,
        log_probes: bool = False,
        tracing: "RequestTracing | None" = None,
        server_timing: bool = False,
    ) -> None:
        """`breaker` None means no limit; `now` gives the engine's seconds; `tasks` owns the waiting health checks.

        `request_log` gets what has ended, and its seconds.
        """
        self._upstream = upstream
        self._breaker = breaker
        self._timeouts = timeouts
        self._stats = stats
        self._drainer = drainer
        self._readiness = readiness
        self._tasks = tasks
        self._now = now
        self._metrics = metrics
        self._request_log = request_log
        self._log_probes = log_probes
        self._tracing = tracing
        self._server_timing = server_timing
        self._checks: dict[Exchange, asyncio.Task[None]] = {}
        drainer.began = self._end_checks

    def request_received(self, exchange: Exchange) -> None:
        request = exchange.request
        plan: _Plan | None = request.note
        if plan is None:
            plan = request.note = _Plan(request.fields)
        ticket = exchange.context = _Ticket(exchange.started, plan)
        if plan.kind <= KUBELET:
            if self._drainer.draining:
                self._drainer.request_arrived()
            self._admit(exchange, ticket)
        elif plan.kind is HEALTH:
            self._answer_health(exchange, request.fields.get(PROBE, b""))
        else:
            self._answer_network_probe(exchange)

    # Probes: table 3.1 of the contract

    def _answer_health(self, exchange: Exchange, probe: bytes) -> None:
        if self._drainer.draining:
            answer_error(exchange, 503, "draining", b"shutting down", *SIDECAR)
        elif probe != b"queue":
            answer_error(exchange, 400, "probe", b"unexpected probe header value: " + probe, *SIDECAR)
        elif not self._readiness.probed:
            exchange.respond(200, SIDECAR, b"queue")
        else:
            wait = _wait_seconds(exchange.request.fields.get(WAIT))
            self._checks[exchange] = self._tasks.create_task(self._check_health(exchange, wait), name="health check")

    async def _check_health(self, exchange: Exchange, wait: float) -> None:
        ready = await (self._readiness.wait(wait) if wait else self._readiness.check())
        del self._checks[exchange]
        if ready:
            exchange.respond(200, SIDECAR, b"queue")
        else:
            exchange.respond(503, (*SIDECAR, error_field(exchange, "not-ready")))

    def _end_checks(self) -> None:
        """The drain has begun: whoever waits for the app hears that this pod is leaving."""
        for exchange in list(self._checks):
            answer_error(exchange, 503, "draining", b"shutting down", *SIDECAR)

    def _answer_network_probe(self, exchange: Exchange) -> None:
        value = exchange.request.fields.get(HASH)
        if self._drainer.draining:
            answer_error(exchange, 503, "draining", b"shutting down")
        elif value:
            exchange.respond(200, ((names.HEADER_HASH.encode(), value),))
        else:
            answer_error(exchange, 400, "probe", b'a probe request must contain a non-empty "K-Network-Hash" header')

    # Requests

    def _admit(self, exchange: Exchange, ticket: _Ticket) -> None:
        plan = ticket.plan
        if self._tracing is not None and not plan.is_probe:
            ticket.trace = self._tracing.begin(exchange.request.fields)
        revision, response_start, idle = self._timeouts
        if revision < 1:
            exchange.fail(504, "timeout", b"request timeout")
            return
        exchange.set_timeouts(revision, response_start, idle)
        if plan.kind is KUBELET:
            self._forward(exchange, ticket)
            return
        ticket.counted = True
        self._stats.request_in(ticket.arrived, plan.proxied)
        breaker = self._breaker
        if breaker is None:
            self._forward(exchange, ticket)
            return
        admission = breaker.enter(exchange)
        if admission is REJECTED:
            self._reject(exchange, "queue-full", b"pending request queue full")
            return
        ticket.entered = True
        if admission is RUNNING:
            self._forward(exchange, ticket)

    def _reject(self, exchange: Exchange, reason: str, text: bytes) -> None:
        if self._metrics is not None:
            self._metrics.rejected(reason)
        answer_error(exchange, 503, reason, text, (b"Retry-After", b"1"), unsent=True)

    def _forward(self, exchange: Exchange, ticket: _Ticket, waited: bool = False) -> None:
        """Send it to the app, now or once more."""
        if ticket.started is None:
            # Who did not have to wait has started when it arrived.
            ticket.started = self._now() if waited else ticket.arrived
            if self._metrics is not None and ticket.entered:
                self._metrics.waited(ticket.started - ticket.arrived)
            if self._server_timing:
                exchange.on_head = self._add_timing
        plan, trace = ticket.plan, ticket.trace
        remove, add = plan.remove, plan.add
        if trace is not None:
            remove, add = (remove | trace.remove if trace.remove else remove), (*add, *trace.add)
        exchange.forward(self._upstream, host=plan.host, remove=remove, add=add)

    def _add_timing(self, exchange: Exchange, head: ResponseHead) -> None:
        """Tell how long the request waited for a slot and then for the app, in milliseconds."""
        ticket: _Ticket = exchange.context
        started = ticket.started if ticket.started is not None else ticket.arrived
        queue, app = (started - ticket.arrived) * 1000, (self._now() - started) * 1000
        head.set_fields([*head.headers, (b"Server-Timing", b"queue;dur=%.2f, app;dur=%.2f" % (queue, app))])

    def upstream_failed(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        reset = failure.kind is FailureKind.RESET
        if reset and failure.retryable and exchange.attempts < ATTEMPTS_MAX:
            self._forward(exchange, exchange.context)
            return
        if self._metrics is not None:
            self._metrics.rejected(failure.kind.value)
        _log.warning("app did not answer", reason=failure.kind.value, error=failure.message)
        answer_error(exchange, 502, failure.kind.value, failure.message.encode(), unsent=not failure.sent)

    def exchange_ended(self, exchange: Exchange) -> None:
        ticket: _Ticket = exchange.context
        is_probe, now = ticket.plan.is_probe, self._now()
        if is_probe and exchange in self._checks:
            self._checks.pop(exchange).cancel()
        if ticket.counted:
            self._stats.request_out(now, ticket.plan.proxied)
        if ticket.entered and self._breaker is not None:
            successor = self._breaker.leave(exchange)
            if successor is not None:
                self._forward(successor, successor.context, waited=True)
        if self._metrics is not None and not is_probe:
            in_app = None if ticket.started is None else now - ticket.started
            self._metrics.ended(exchange, now - ticket.arrived, in_app)
        if ticket.trace is not None and self._tracing is not None:
            started = ticket.started
            waited = (started or now) - ticket.arrived if ticket.entered else None
            in_app = None if started is None else now - started
            self._tracing.ended(exchange, ticket.trace, total=now - ticket.arrived, waited=waited, in_app=in_app)
        if self._request_log is not None and (self._log_probes or not is_probe):
            self._request_log(exchange, now - ticket.arrived)


def _forwarded(fields: dict[bytes, bytes]) -> bytes:
    """The Forwarded header that the app should see, if it must be made."""
    for_, host, proto = (
        fields.get(b"x-forwarded-for", b""),
        fields.get(b"x-forwarded-host", b""),
        fields.get(b"x-forwarded-proto", b""),
    )
    if not (for_ or host or proto) or fields.get(b"forwarded"):
        return b""
    return forwarded(for_, host, proto)


def _wait_seconds(value: bytes | None) -> float:
    """The caller's patience; what is not a whole number of milliseconds is an ordinary health check."""
    if value is None or not value.isdigit() or len(value) > 9:
        return 0.0
    return min(int(value) / 1000, WAIT_MAX)
