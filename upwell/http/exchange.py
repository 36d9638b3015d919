"""One request and its response, between whoever asked and whoever answers.

    PARKED ──forward──▶ CONNECTING ──connection──▶ SENT ──response head──▶ RESPONDING ──▶ ENDED
       ▲ └────────────────respond──────────────────────────────────────────────────────────▲
       └──────── the attempt failed, the application decides again ◀── CONNECTING, SENT    │
                                                     SENT ──101──▶ TUNNEL ─────────────────┘

The exchange knows neither sockets nor the bytes of a protocol, only its two sides. Bodies pass through both ways at
once; `request_complete` says whether the client has sent everything. Until a response begins, what was read of a
request's body is kept as long as it is small, so that the request can wait for an upstream or be sent again.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from upwell.http.answers import error_response, is_unsent, make_response
from upwell.http.errors import FailureKind, Outcome, UpstreamFailure
from upwell.http.exchange_record import ExchangeRecord
from upwell.http.kept_body import NO_BODY, KeptBody
from upwell.http.message import HTTP_1_0, HTTP_2, IDEMPOTENT_METHODS, Fields, RequestHead, ResponseHead
from upwell.http.sides import Application, DownstreamSide, UpstreamSide
from upwell.http.states import ExchangeState
from upwell.http.timeouts import Timeouts
from upwell.http.tunnel import Tunnel

if TYPE_CHECKING:
    from upwell.http.engine import Engine
    from upwell.http.pool import Upstream

__all__ = ["Exchange"]

_log = logging.getLogger("upwell.http")

_NOTHING: Final[frozenset[bytes]] = frozenset()


PARKED: Final = ExchangeState.PARKED
CONNECTING: Final = ExchangeState.CONNECTING
SENT: Final = ExchangeState.SENT
RESPONDING: Final = ExchangeState.RESPONDING
TUNNEL: Final = ExchangeState.TUNNEL
ENDED: Final = ExchangeState.ENDED


class Exchange(ExchangeRecord):
    """One request on its way; made by the engine, steered by the application."""

    __slots__ = (
        "_app",
        "_attempt",
        "_downstream",
        "_engine",
        "_kept",
        "_timeouts",
        "_tunnel",
    )

    def __init__(
        self, engine: "Engine", app: Application, downstream: DownstreamSide, request: RequestHead, started: float
    ) -> None:
        self.request = request
        self.started = started
        self.state = PARKED
        self.status = 0
        self.outcome = None
        self.request_bytes = 0
        self.response_bytes = 0
        self.request_complete = not (request.chunked or request.length)
        self.trailers = []
        self.awaits_continue = request.expects_continue
        self.upstream = None
        self.attempts = 0
        self.over_http2 = False
        self.host = None
        self.remove = _NOTHING
        self.add = ()
        self.context = None
        self.retry_unsent = False
        self.on_head = None
        self.on_kept = None
        self._engine = engine
        self._app = app
        self._downstream = downstream
        self._attempt: UpstreamSide | None = None
        self._kept: KeptBody | None = NO_BODY if self.request_complete else KeptBody()
        """None once the request cannot be sent again."""
        self._timeouts: Timeouts | None = None
        self._tunnel: Tunnel | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state is ENDED

    @property
    def component(self) -> bytes:
        """The name by which error answers say who speaks."""
        return self._engine.component

    # What the application says.

    def forward(
        self,
        upstream: "Upstream",
        *,
        host: bytes | None = None,
        remove: frozenset[bytes] = _NOTHING,
        add: Sequence[tuple[bytes, bytes]] = (),
        http2: bool | None = None,
    ) -> None:
        """Send the request to `upstream`, as soon as a connection can take it; nothing happens once it has ended.

        `host` replaces the Host field, fields named in `remove` (lower case) are dropped, those in `add` are
        appended. `http2` says what the upstream speaks; None: what the client does. A request that wants to switch
        protocols goes over HTTP/1.1 in any case. Raises ValueError when the request is already under way or must not
        be sent again.
        """
        if self.state is not PARKED:
            if self.state is ENDED:
                return
            raise ValueError("the exchange has already been forwarded or answered")
        if self._kept is None:
            raise ValueError("the request has been sent once and must not be sent again")
        request = self.request
        self.over_http2 = request.version == HTTP_2 if http2 is None else http2 and request.upgrade is None
        connection = upstream.take(self)
        self.attempts += 1
        self.upstream = upstream
        self.host = host
        self.remove = remove
        self.add = add
        upstream.in_flight += 1
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
        self._answer(make_response(status, headers, body), body, Outcome.COMPLETED)

    def set_timeouts(
        self, total: float = 0.0, response_start: float = 0.0, idle: float = 0.0, body: bytes = b"request timeout"
    ) -> None:
        """Bound the exchange, in seconds since it started; 0 is no bound. To be called once, in `request_received`.

        `total` bounds the whole, `response_start` the time to the response's head, `idle` the time between two
        pieces of it. A client that has no answer yet gets 504 with `body`; else its connection is cut.
        """
        timeouts = self._timeouts = self._engine.timeouts(total, response_start, idle, body)
        for queue in timeouts.queues:
            queue.add(self, self.started)

    def fail(self, status: int, reason: str, text: bytes) -> None:
        """Answer with an error of the engine's own: a line of text, and which component said it."""
        if self.state is ENDED or self.status:
            return
        self._leave_upstream()
        self._answer(error_response(self._engine.component, status, reason, text), text, Outcome.COMPLETED)

    def hold_body(self) -> None:
        """Read no more of the body until an upstream takes it."""
        self._downstream.hold_body(True)

    # What the downstream side reports.

    def request_data(self, data: bytes) -> None:
        """A piece of the request's body."""
        size = len(data)
        self.request_bytes += size
        if self.awaits_continue:
            self._stop_awaiting_continue()
        attempt, kept = self._attempt, self._kept
        if kept is not None:
            kept.add(data)
            if attempt is not None:
                self._forget_long_body(kept)
            else:
                if self.on_kept is not None:
                    self.on_kept(self, size)
                if kept.size >= self._engine.limits.held_bytes:
                    self.hold_body()
        if attempt is not None:
            attempt.send_body(data)

    def request_ended(self, trailers: Fields) -> None:
        """The request is complete."""
        self.request_complete = True
        self.trailers = trailers
        if self._attempt is not None:
            self._attempt.end_body(trailers)

    def downstream_ended(self, outcome: Outcome) -> None:
        """The client is gone, or talks nonsense, or is to be given up; what it is told is not our matter."""
        if self.state is ENDED:
            return
        self._leave_upstream()
        self._end(outcome)

    def downstream_writable(self, writable: bool) -> None:
        """The client's side can take more, or cannot."""
        if self._attempt is not None:
            self._attempt.hold(not writable)

    # What the upstream side reports.

    def connected(self, attempt: UpstreamSide) -> None:
        """A connection is ours: send what we have."""
        self._attempt = attempt
        self.state = SENT
        kept = self._kept
        body = b""
        if kept is not None and kept.size:
            body = kept.joined()
            self._forget_long_body(kept)
        attempt.start_request(self, body, self.request_complete)
        if not self.request_complete:
            self._downstream.hold_body(False)
            if self.awaits_continue:
                self._engine.continues.add(self, self._engine.now())
        if self._downstream.write_paused:
            attempt.hold(True)

    def attempt_failed(self, kind: FailureKind, message: str, *, sent: bool, code: int | None = None) -> None:
        """The attempt is over without a response; or, when the response had begun, so is the exchange.

        `code` is the error code of HTTP/2 that the upstream gave, if it did.
        """
        if self.state is ENDED:
            return
        self._detach()
        if self.status:
            self._downstream.cut(code)
            self._end(Outcome.UPSTREAM_ABORTED)
            return
        self.state = PARKED
        self._downstream.hold(False)
        self._engine.continues.discard(self)
        safe = not sent or self.request.method in IDEMPOTENT_METHODS
        failure = UpstreamFailure(kind, message, self._kept is not None and safe, sent)
        try:
            self._app.upstream_failed(self, failure)
        except Exception:
            _log.exception("the application failed in upstream_failed")
            self.fail(500, "internal", b"internal error\n")

    def informational_received(self, head: ResponseHead) -> None:
        """100, 102, 103 or the like: not the response yet."""
        self.progressed()
        if head.status == 100:
            if not self.awaits_continue:
                # We have said it ourselves, or the client never asked: a second one helps nobody.
                return
            self._stop_awaiting_continue()
        if self.request.version != HTTP_1_0:
            self._downstream.send_informational(head)

    def response_received(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        """The response's head, with the body bytes that came with it. When `ended` the upstream is free already."""
        if self.retry_unsent and self._kept is not None and is_unsent(head):
            if not ended and self._attempt is not None:
                self._attempt.abort()
            self.attempt_failed(FailureKind.UNSENT, "the next hop could not pass it on", sent=False)
            return
        self.status = head.status
        self.state = RESPONDING
        self.response_bytes = len(body)
        self._kept = None
        if self.on_head is not None:
            self.on_head(self, head)
        if ended:
            self._detach()
            self._downstream.start_response(self, head, body, True)
            self._end(Outcome.COMPLETED)
        else:
            self.progressed()
            self._downstream.start_response(self, head, body, False)

    def response_data(self, data: bytes) -> None:
        """A piece of the response's body."""
        self.response_bytes += len(data)
        self.progressed()
        self._downstream.send_body(data)

    def response_ended(self, trailers: Fields) -> None:
        """The response is complete, and the upstream free already."""
        self._detach()
        self._downstream.end_body(trailers)
        self._end(Outcome.COMPLETED)

    def upstream_writable(self, writable: bool) -> None:
        """The upstream's side can take more, or cannot."""
        self._downstream.hold(not writable)

    def tunnel_opened(self, head: ResponseHead, attempt: UpstreamSide) -> Tunnel:
        """The upstream has switched protocols."""
        self.status = head.status
        self.state = TUNNEL
        self._kept = None
        self.progressed()
        tunnel = self._tunnel = Tunnel(self._engine, self, self._downstream, attempt)
        self._downstream.start_tunnel(head, tunnel)
        return tunnel

    def tunnel_ended(self) -> None:
        """Both sides have ended, or one's connection is gone."""
        if self.state is ENDED:
            return
        attempt = self._attempt
        if attempt is not None:
            self._detach()
            attempt.close()
        self._end(Outcome.COMPLETED)

    # Deadlines.

    def progressed(self) -> None:
        """The answer gets on, so the idle time starts anew."""
        timeouts = self._timeouts
        if timeouts is not None and timeouts.idle is not None and self.state is not ENDED:
            timeouts.idle.restart(self, self._engine.now())

    def continue_timed_out(self) -> None:
        """The upstream says nothing about `Expect`: let the client send, as a server that knows no better would."""
        if self.awaits_continue and self.state is SENT:
            self._stop_awaiting_continue()
            self._downstream.send_continue()

    def timed_out(self) -> None:
        """The total or the idle time is over."""
        if self.state is ENDED:
            return
        self._leave_upstream()
        if self.status:
            self._downstream.cut()
            self._end(Outcome.TIMED_OUT)
        else:
            text = self._timeouts.body if self._timeouts is not None else b""
            self._answer(error_response(self._engine.component, 504, "timeout", text), text, Outcome.TIMED_OUT)

    def start_timed_out(self) -> None:
        """The response should have begun by now."""
        if not self.status:
            self.timed_out()

    # Ends.

    def _answer(self, head: ResponseHead, body: bytes, outcome: Outcome) -> None:
        self.status = head.status
        self.state = RESPONDING
        self.response_bytes = len(body)
        self._downstream.start_response(self, head, body, True)
        self._end(outcome)

    def _forget_long_body(self, kept: KeptBody) -> None:
        if kept.size > self._engine.limits.retained_bytes:
            self._kept = None

    def _stop_awaiting_continue(self) -> None:
        self.awaits_continue = False
        self._engine.continues.discard(self)

    def _detach(self) -> None:
        """The upstream is done with us, or we with it."""
        self._attempt = None
        upstream = self.upstream
        if upstream is not None:
            upstream.in_flight -= 1

    def _leave_upstream(self) -> None:
        """Give up the attempt that is under way, if one is."""
        attempt = self._attempt
        if attempt is not None:
            self._detach()
            attempt.abort()
        elif self.state is CONNECTING and self.upstream is not None:
            self.upstream.leave(self)
            self._detach()

    def _end(self, outcome: Outcome) -> None:
        self.state = ENDED
        self.outcome = outcome
        self._kept = None
        if self._timeouts is not None:
            for queue in self._timeouts.queues:
                queue.discard(self)
        if self.awaits_continue:
            self._engine.continues.discard(self)
        if self._tunnel is not None:
            self._tunnel.ended()
        try:
            self._app.exchange_ended(self)
        except Exception:
            _log.exception("the application failed in exchange_ended")
        self._downstream.finished()
        self._engine.exchange_ended()
