"""One request and its response, between whoever asked and whoever answers.

    PARKED ──forward──▶ CONNECTING ──connection──▶ SENT ──response head──▶ RESPONDING ──▶ ENDED
       ▲ └────────────────respond──────────────────────────────────────────────────────────▲
       └──────── the attempt failed, the application decides again ◀── CONNECTING, SENT    │
                                                     SENT ──101──▶ TUNNEL ─────────────────┘

The exchange knows neither sockets nor the bytes of a protocol. Downstream of it is a `DownstreamSide` (an HTTP/1
connection, one stream of a multiplexed one, our own `fetch`), upstream of it an `UpstreamSide`. Bodies pass through
both ways at once; `request_complete` says whether the client has sent everything. Until a response begins, what was
read of a request's body is kept as long as it is small, so that the request can wait for an upstream or be sent again.
"""

import logging
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from upwell.http.encode import REASONS
from upwell.http.errors import FailureKind, Outcome, UpstreamFailure
from upwell.http.message import HTTP_1_1, IDEMPOTENT_METHODS, Fields, RequestHead, ResponseHead

if TYPE_CHECKING:
    from upwell.http.deadlines import DeadlineQueue
    from upwell.http.engine import Engine
    from upwell.http.pool import Upstream

__all__ = ["Application", "DownstreamSide", "Exchange", "ExchangeState", "UpstreamSide", "make_response"]

_log = logging.getLogger("upwell.http")

_NOTHING: Final[frozenset[bytes]] = frozenset()


class ExchangeState(IntEnum):
    """Where an exchange stands; the picture is in the module's docstring."""

    PARKED = 0
    CONNECTING = 1
    SENT = 2
    RESPONDING = 3
    TUNNEL = 4
    ENDED = 5


PARKED: Final = ExchangeState.PARKED
CONNECTING: Final = ExchangeState.CONNECTING
SENT: Final = ExchangeState.SENT
RESPONDING: Final = ExchangeState.RESPONDING
TUNNEL: Final = ExchangeState.TUNNEL
ENDED: Final = ExchangeState.ENDED


class Application(Protocol):
    """What queueproxy, activator and gateway put in: where to, when, or what answer. All calls are synchronous."""

    def request_received(self, exchange: "Exchange") -> None:
        """A request's head is here: forward it, answer it, or keep it and decide later."""
        ...

    def exchange_ended(self, exchange: "Exchange") -> None:
        """The exchange is over, whatever happened; called exactly once for each."""
        ...

    def upstream_failed(self, exchange: "Exchange", failure: UpstreamFailure) -> None:
        """An attempt failed and nothing was answered yet: `forward` again if `failure.retryable`, or `respond`."""
        ...


class DownstreamSide(Protocol):
    """Whoever asked, as the exchange sees them."""

    def start_response(self, exchange: "Exchange", head: ResponseHead, body: bytes, ended: bool) -> None: ...

    def send_informational(self, head: ResponseHead) -> None: ...

    def send_continue(self) -> None: ...

    def send_body(self, data: bytes) -> None: ...

    def end_response(self, trailers: Fields) -> None: ...

    def start_tunnel(self, head: ResponseHead, data: bytes) -> None: ...

    def send_eof(self) -> None: ...

    def abort(self) -> None: ...

    def exchange_ended(self) -> None: ...

    def hold_request_body(self, hold: bool) -> None: ...

    def hold_for_upstream(self, hold: bool) -> None: ...

    @property
    def write_paused(self) -> bool: ...


class UpstreamSide(Protocol):
    """Whoever answers: one attempt's connection, as the exchange sees it."""

    def start_request(self, exchange: "Exchange", body: bytes, ended: bool) -> None: ...

    def send_body(self, data: bytes) -> None: ...

    def end_request(self, trailers: Fields) -> None: ...

    def send_eof(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...

    def hold(self, hold: bool) -> None: ...

    @property
    def write_paused(self) -> bool: ...

    @property
    def description(self) -> str: ...


class Exchange:
    """One request on its way; made by the engine, steered by the application."""

    __slots__ = (
        "_app",
        "_connection",
        "_continue_pending",
        "_deadlines",
        "_downstream",
        "_engine",
        "_half_closed",
        "_idle",
        "_kept",
        "_kept_size",
        "_timeout_body",
        "_trailers",
        "add",
        "attempts",
        "context",
        "host",
        "outcome",
        "remove",
        "request",
        "request_bytes",
        "request_complete",
        "response_bytes",
        "retry_unsent",
        "started",
        "state",
        "status",
        "upstream",
    )

    def __init__(
        self, engine: "Engine", app: Application, downstream: DownstreamSide, request: RequestHead, started: float
    ) -> None:
        self.request = request
        self.context: Any = None
        """The application's own."""
        self.started = started
        """When the head was complete, by the engine's monotonic clock."""
        self.state = PARKED
        self.status = 0
        """The response's status, 0 until there is one; informational ones do not count."""
        self.request_bytes = 0
        """Body bytes received from the client."""
        self.response_bytes = 0
        """Body bytes handed to the client's connection."""
        self.request_complete = not request.has_body
        self.outcome: Outcome | None = None
        self.upstream: Upstream | None = None
        """Where it was forwarded to, last."""
        self.attempts = 0
        """How often it was forwarded."""
        self.retry_unsent = False
        """Set by the application: take an answer marked `Upwell-Error: …; unsent` for a retryable failure."""
        self.host: bytes | None = None
        self.remove = _NOTHING
        self.add: Sequence[tuple[bytes, bytes]] = ()
        self._engine = engine
        self._app = app
        self._downstream = downstream
        self._connection: UpstreamSide | None = None
        self._kept: list[bytes] | None = []
        self._kept_size = 0
        self._trailers: Fields = []
        self._continue_pending = request.expects_continue
        self._deadlines: list[DeadlineQueue[Exchange]] | None = None
        self._idle: DeadlineQueue[Exchange] | None = None
        self._timeout_body = b""
        self._half_closed = False

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state is ENDED

    @property
    def awaits_continue(self) -> bool:
        """Whether the client holds its body back until it is told to go on."""
        return self._continue_pending

    @property
    def trailers(self) -> Fields:
        """The request's trailers, once it is complete."""
        return self._trailers

    # What the application says.

    def forward(
        self,
        upstream: "Upstream",
        *,
        host: bytes | None = None,
        remove: frozenset[bytes] = _NOTHING,
        add: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Send the request to `upstream`, as soon as a connection can take it; nothing happens once it has ended.

        `host` replaces the Host field, fields named in `remove` (lower case) are dropped, those in `add` are
        appended. Raises ValueError when the request is already under way or must not be sent again.
        """
        if self.state is not PARKED:
            if self.state is ENDED:
                return
            raise ValueError("the exchange has already been forwarded or answered")
        if self._kept is None:
            raise ValueError("the request has been sent once and must not be sent again")
        self.attempts += 1
        self.upstream = upstream
        self.host = host
        self.remove = remove
        self.add = add
        upstream.in_flight += 1
        connection = upstream.take(self)
        if connection is not None:
            self.connected(connection)
        else:
            self.state = CONNECTING
            upstream.wait(self)

    def respond(self, status: int, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b"") -> None:
        """Answer in the upstream's place; nothing happens once it has ended. Content-Length is set here."""
        if self.state is ENDED:
            return
        if self.status:
            raise ValueError("the exchange has already been answered")
        self._leave_upstream()
        self._respond(make_response(status, headers, body), body, Outcome.COMPLETED)

    def set_timeouts(
        self, total: float = 0.0, response_start: float = 0.0, idle: float = 0.0, body: bytes = b"request timeout"
    ) -> None:
        """Bound the exchange, in seconds from now; 0 is no bound. To be called once, in `request_received`.

        `total` bounds the whole, `response_start` the time to the first byte of an answer, `idle` the time between
        two pieces of it. A client that has no answer yet gets 504 with `body`; else its connection is cut.
        """
        self._timeout_body = body
        queues: list[DeadlineQueue[Exchange]] = []
        engine = self._engine
        if total > 0:
            queues.append(engine.deadlines.queue("exchange total", total, Exchange._timed_out))
        if response_start > 0:
            queues.append(engine.deadlines.queue("response start", response_start, Exchange._start_timed_out))
        if idle > 0:
            self._idle = engine.deadlines.queue("exchange idle", idle, Exchange._timed_out)
            queues.append(self._idle)
        for queue in queues:
            queue.add(self)
        self._deadlines = queues

    def fail(self, status: int, reason: str, text: bytes) -> None:
        """Answer with an error of the engine's own: a line of text, and which component said it."""
        if self.state is ENDED or self.status:
            return
        self._leave_upstream()
        self._respond(self._engine.error_response(status, reason, text), text, Outcome.COMPLETED)

    # What the downstream side reports.

    def request_data(self, data: bytes) -> None:
        """A piece of the request's body."""
        self.request_bytes += len(data)
        if self._continue_pending:
            self._continue_over()
        kept = self._kept
        if kept is not None:
            kept.append(data)
            self._kept_size += len(data)
        if self._connection is not None:
            if kept is not None and self._kept_size > self._engine.limits.retained_bytes:
                self._kept = None
            self._connection.send_body(data)
        elif self._kept_size >= self._engine.limits.held_bytes:
            self._downstream.hold_request_body(True)

    def request_ended(self, trailers: Fields) -> None:
        """The request is complete."""
        self.request_complete = True
        self._trailers = trailers
        if self._connection is not None:
            self._connection.end_request(trailers)

    def downstream_gone(self) -> None:
        """The client is no longer there."""
        if self.state is ENDED:
            return
        tunnel = self.state is TUNNEL
        self._leave_upstream()
        self._end(Outcome.COMPLETED if tunnel else Outcome.CLIENT_GONE)

    def downstream_failed(self, outcome: Outcome) -> None:
        """The client's body was malformed, or drain is out of time; what to tell the client is not our matter."""
        if self.state is ENDED:
            return
        self._leave_upstream()
        self._end(outcome)

    def downstream_writable(self, writable: bool) -> None:
        """The client's connection can take more, or cannot."""
        if self._connection is not None:
            self._connection.hold(not writable)

    def tunnel_data(self, data: bytes) -> None:
        """Bytes from the client after the switch of protocols."""
        self.request_bytes += len(data)
        if self._idle is not None:
            self._idle.restart(self)
        if self._half_closed:
            self._engine.half_closed.restart(self)
        if self._connection is not None:
            self._connection.send_body(data)

    def tunnel_downstream_eof(self) -> None:
        """The client has nothing more to say, but still listens."""
        if self._half_closed:
            self._end_tunnel()
        elif self._connection is not None:
            self._half_close()
            self._connection.send_eof()

    # What the upstream side reports.

    def connected(self, connection: UpstreamSide) -> None:
        """A connection is ours: send what we have."""
        self._connection = connection
        self.state = SENT
        kept = self._kept
        body = b""
        if kept:
            body = kept[0] if len(kept) == 1 else b"".join(kept)
            if self._kept_size > self._engine.limits.retained_bytes:
                self._kept = None
        connection.start_request(self, body, self.request_complete)
        if not self.request_complete:
            self._downstream.hold_request_body(False)
            if self._continue_pending:
                self._engine.continues.add(self)
        if self._downstream.write_paused:
            connection.hold(True)

    def attempt_failed(self, kind: FailureKind, message: str, *, sent: bool) -> None:
        """The attempt is over without a response; or, when the response had begun, so is the exchange."""
        if self.state is ENDED:
            return
        self._detach()
        if self.status or self.state is TUNNEL:
            self._downstream.abort()
            self._end(Outcome.UPSTREAM_ABORTED)
            return
        self.state = PARKED
        if self._continue_pending:
            self._engine.continues.discard(self)
        replayable = self._kept is not None
        safe = not sent or self.request.method in IDEMPOTENT_METHODS
        failure = UpstreamFailure(kind, message, replayable and safe, sent)
        try:
            self._app.upstream_failed(self, failure)
        except Exception:
            _log.exception("the application failed in upstream_failed")
            self.fail(500, "internal", b"internal error\n")

    def informational_received(self, head: ResponseHead) -> None:
        """100, 102, 103 or the like: not the response yet."""
        if head.status == 100:
            if not self._continue_pending:
                # We have said it ourselves, or the client never asked: a second one helps nobody.
                return
            self._continue_over()
        if self._idle is not None:
            self._idle.restart(self)
        if self.request.version == HTTP_1_1:
            self._downstream.send_informational(head)

    def response_received(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        """The response's head, with the body bytes that came with it. When `ended` the upstream is free already."""
        if self.retry_unsent and self._kept is not None and is_unsent(head):
            connection = self._connection
            if connection is not None and not ended:
                connection.abort()
            self.attempt_failed(FailureKind.UNSENT, "the next hop could not pass it on", sent=False)
            return
        self.status = head.status
        self.state = RESPONDING
        self.response_bytes = len(body)
        self._kept = None
        if self._continue_pending:
            self._engine.continues.discard(self)
        if ended:
            self._detach()
            self._downstream.start_response(self, head, body, True)
            self._end(Outcome.COMPLETED)
            return
        if self._idle is not None:
            self._idle.restart(self)
        self._downstream.start_response(self, head, body, False)

    def response_data(self, data: bytes) -> None:
        """A piece of the response's body."""
        self.response_bytes += len(data)
        if self._idle is not None:
            self._idle.restart(self)
        self._downstream.send_body(data)

    def response_ended(self, trailers: Fields) -> None:
        """The response is complete, and the upstream free already."""
        self._detach()
        self._downstream.end_response(trailers)
        self._end(Outcome.COMPLETED)

    def upstream_writable(self, writable: bool) -> None:
        """The upstream's connection can take more, or cannot."""
        self._downstream.hold_for_upstream(not writable)

    def tunnel_opened(self, head: ResponseHead, data: bytes) -> None:
        """The upstream has switched protocols; from here on bytes are bytes."""
        self.status = head.status
        self.state = TUNNEL
        self._kept = None
        self.response_bytes = len(data)
        if self._idle is not None:
            self._idle.restart(self)
        self._downstream.start_tunnel(head, data)

    def tunnel_upstream_data(self, data: bytes) -> None:
        """Bytes from the upstream after the switch of protocols."""
        if self._half_closed:
            self._engine.half_closed.restart(self)
        self.response_data(data)

    def tunnel_upstream_eof(self) -> None:
        """The upstream has nothing more to say, but still listens."""
        if self._half_closed:
            self._end_tunnel()
        else:
            self._half_close()
            self._downstream.send_eof()

    def tunnel_closed(self) -> None:
        """The upstream's connection is gone in good order."""
        self._detach()
        self._end_tunnel()

    # Deadlines.

    def continue_timed_out(self) -> None:
        """The upstream says nothing about `Expect`: let the client send, as a server that knows no better would."""
        if self._continue_pending and self.state is SENT:
            self._continue_over()
            self._downstream.send_continue()

    def half_closed_timed_out(self) -> None:
        """One side of the tunnel has ended and the other is silent."""
        self._end_tunnel()

    def _timed_out(self) -> None:
        if self.state is ENDED:
            return
        self._leave_upstream()
        if self.status:
            self._downstream.abort()
            self._end(Outcome.TIMED_OUT)
        else:
            body = self._timeout_body
            self._respond(self._engine.error_response(504, "timeout", body), body, Outcome.TIMED_OUT)

    def _start_timed_out(self) -> None:
        if not self.status:
            self._timed_out()

    # Ends.

    def _respond(self, head: ResponseHead, body: bytes, outcome: Outcome) -> None:
        self.status = head.status
        self.state = RESPONDING
        self.response_bytes = len(body)
        self._downstream.start_response(self, head, body, True)
        self._end(outcome)

    def _continue_over(self) -> None:
        self._continue_pending = False
        self._engine.continues.discard(self)

    def _half_close(self) -> None:
        self._half_closed = True
        self._engine.half_closed.add(self)

    def _end_tunnel(self) -> None:
        if self.state is ENDED:
            return
        connection = self._connection
        if connection is not None:
            self._detach()
            connection.close()
        self._end(Outcome.COMPLETED)

    def _detach(self) -> None:
        """The upstream is done with us, or we with it."""
        self._connection = None
        upstream = self.upstream
        if upstream is not None and self.state is not PARKED:
            upstream.in_flight -= 1

    def _leave_upstream(self) -> None:
        """Give up the attempt that is under way, if one is."""
        connection = self._connection
        if connection is not None:
            self._detach()
            connection.abort()
        elif self.state is CONNECTING and self.upstream is not None:
            self.upstream.leave(self)
            self._detach()

    def _end(self, outcome: Outcome) -> None:
        self.state = ENDED
        self.outcome = outcome
        self._kept = None
        if self._deadlines is not None:
            for queue in self._deadlines:
                queue.discard(self)
        if self._continue_pending:
            self._engine.continues.discard(self)
        if self._half_closed:
            self._engine.half_closed.discard(self)
        try:
            self._app.exchange_ended(self)
        except Exception:
            _log.exception("the application failed in exchange_ended")
        self._downstream.exchange_ended()
        self._engine.exchange_ended()


def is_unsent(head: ResponseHead) -> bool:
    """Whether the answer says that the request reached no application."""
    value = head.fields.get(b"upwell-error")
    return value is not None and b"unsent" in [part.strip() for part in value.split(b";")]


def make_response(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> ResponseHead:
    """A head for an answer of our own."""
    head = ResponseHead()
    head.status = status
    head.reason = REASONS.get(status, b"")
    head.version = HTTP_1_1
    head.length = len(body)
    head.chunked = False
    head.until_close = False
    head.keep_alive = True
    head.last = False
    head._set_fields([*headers, (b"Content-Length", b"%d" % len(body))])
    return head
