"""The client's side: one HTTP/1.1 connection, one exchange at a time.

    IDLE ──head──▶ BUSY ──response and request complete──▶ IDLE …
      │             ├──response complete, body still coming──▶ DISCARDING ──▶ IDLE
      │             ├──101──▶ TUNNEL ──▶ CLOSED
      ├─bad head────┴──last answer, input left──▶ LINGERING ──▶ CLOSED
      └─`Upgrade: h2c`──▶ UPGRADING ──request complete──▶ CLOSED, and an `Http2Downstream` goes on

A read is taken apart at once (`upwell.http.request_reader`): the head, and the body bytes that came with it, go to the
application together, so that they leave in one write. Requests that a client sends ahead wait as bytes until their
turn. A connection is nearly always read, also while its request waits: that is how the client's leaving is noticed.
What is written, and how it ends, is the matter of `upwell.http.downstream_writer`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from upwell.http.downstream_writer import DownstreamWriter
from upwell.http.encode import encode_response_head
from upwell.http.errors import BadRequestError, Outcome
from upwell.http.exchange import Exchange
from upwell.http.flow import BODY_HELD, CLIENT_FULL, PEER_FULL, PIPELINE_FULL
from upwell.http.message import RequestHead, ResponseHead
from upwell.http.request_reader import RequestReader
from upwell.http.sides import Application
from upwell.http.states import DownstreamState
from upwell.http.transports import peer_has_left
from upwell.http.tunnel import Tunnel

if TYPE_CHECKING:
    from upwell.http.engine import Engine
    from upwell.http.h2.upgrade import Http2Upgrade

__all__ = ["DownstreamConnection"]

_log = logging.getLogger("upwell.http")

_HTTP2_SETTINGS: Final = b"http2-settings"
"""The field without which no request asks to be answered over HTTP/2 (RFC 7540, 3.2.1)."""

IDLE: Final = DownstreamState.IDLE
BUSY: Final = DownstreamState.BUSY
DISCARDING: Final = DownstreamState.DISCARDING
UPGRADING: Final = DownstreamState.UPGRADING
TUNNEL: Final = DownstreamState.TUNNEL
CLOSED: Final = DownstreamState.CLOSED


class DownstreamConnection(DownstreamWriter):
    """Reads a client's requests, and has each answered before the next has its turn."""

    __slots__ = ("_advancing", "_app", "_upgrade")

    def __init__(self, engine: "Engine", app: Application) -> None:
        super().__init__(engine)
        self._app = app
        self._advancing = False
        self._upgrade: Http2Upgrade | None = None
        """The request that is to be answered over HTTP/2, as long as it is incomplete."""

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        address, port = peer[:2] if isinstance(peer, tuple) else ("", 0)
        self._reader = RequestReader(self._limits, self._engine.head_memory, address, port)
        self._engine.connections[self] = None
        self._wait_in(self._engine.heads)

    def data_received(self, data: bytes) -> None:
        _RECEIVERS[self.state](self, data)

    def eof_received(self) -> bool:
        """Return whether the connection stays open for what we have to say."""
        if self.state is TUNNEL and self._tunnel is not None:
            self._tunnel.downstream_eof()
            return self._transport.can_write_eof() and not self._transport.is_closing()
        # A client that stops listening and one that only stops speaking look alike here; like Go's server we take
        # both for gone, so that its slot is free at once.
        exchange = self._exchange
        self._close()
        if exchange is not None:
            exchange.downstream_ended(Outcome.CLIENT_GONE)
        return False

    def pause_writing(self) -> None:
        self.write_paused = True
        if self._exchange is not None:
            self._exchange.downstream_writable(False)

    def resume_writing(self) -> None:
        self.write_paused = False
        self._flow.release(CLIENT_FULL)
        if self._exchange is not None:
            self._exchange.downstream_writable(True)
        elif self.state is IDLE and self._reader.pending:
            self._advance(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, tunnel = self._exchange, self._tunnel
        self.state = CLOSED
        self._upgrade = None
        self._reader.drop()
        self._reader.forget()
        self._wait_in(None)
        self._engine.unread.discard(self)
        if tunnel is not None:
            tunnel.closed()
        elif exchange is not None:
            exchange.downstream_ended(Outcome.CLIENT_GONE)
        self._engine.connection_lost(self)

    # From bytes to requests.

    def _advance(self, data: bytes) -> None:
        """Take up what came and what waits, request after request, as long as none has to be waited for."""
        reader = self._reader
        if self._advancing or self.write_paused:
            reader.read_ahead(data)
            return
        self._advancing = True
        try:
            while True:
                request = reader.read_head(data)
                if request is None:
                    if self._deadline is not self._engine.heads:
                        self._wait_in(self._engine.heads)
                    break
                self._begin(request)
                if not reader.pending or self.state is not IDLE or self.write_paused:
                    break
                data = b""
        except BadRequestError as error:
            # The preface of HTTP/2 was made to be no request of HTTP/1, so looking for it costs requests nothing.
            if reader.speaks_http2():
                self._switch_to_http2()
            else:
                self._reject(error)
        finally:
            self._advancing = False

    def _begin(self, request: RequestHead) -> None:
        """A head is here; raise BadRequestError when what came of its body is malformed, so that nobody hears of it."""
        if self._deadline is not None:
            self._deadline.discard(self)
            self._deadline = None
        if _HTTP2_SETTINGS in request.fields and self._begin_upgrade(request):
            return
        self._start(request, self._reader.read_body(b"") if self._reader.body is not None else b"")

    def _start(self, request: RequestHead, body: bytes) -> None:
        """Give a request to the application, with what there is of its body."""
        engine = self._engine
        exchange = Exchange(engine, self._app, self, request, engine.now())
        self.state = BUSY
        self._keep_alive = request.keep_alive
        self._chunked_out = self._until_close_out = False
        if not exchange.request_complete:
            if body:
                exchange.request_data(body)
            if self._reader.body is None:
                exchange.request_ended(self._reader.trailers)
            else:
                self._wait_in(engine.body_idles)
        self._exchange = exchange
        engine.in_flight += 1
        try:
            self._app.request_received(exchange)
        except Exception:
            _log.exception("the application failed in request_received")
            exchange.fail(500, "internal", b"internal error\n")

    def _read_on(self, data: bytes) -> None:
        """More comes while an exchange is under way: its body, or requests that have to wait."""
        if self._reader.body is not None:
            self._read_body(data)
        elif self._reader.read_ahead(data) >= self._limits.held_bytes:
            self._flow.hold(PIPELINE_FULL)
            self._engine.unread.ensure(self, self._engine.now())

    def _read_body(self, data: bytes) -> None:
        exchange, reader = self._exchange, self._reader
        assert exchange is not None
        try:
            piece = reader.read_body(data)
        except BadRequestError as error:
            if exchange.status:
                self.cut()
            else:
                self._reject(error)
            exchange.downstream_ended(Outcome.BAD_REQUEST)
            return
        ended = reader.body is None
        if ended:
            self._wait_in(None)
        elif self._deadline is not None:
            self._deadline.restart(self, self._engine.now())
        if piece:
            exchange.request_data(piece)
        if ended:
            exchange.request_ended(reader.trailers)

    def body_stalled(self) -> None:
        """The client has sent nothing of its body for a while."""
        exchange = self._exchange
        self._deadline = None
        if self._reader.body is None or exchange is None or exchange.status:
            return
        if self._flow.reasons or exchange.awaits_continue:
            self._wait_in(self._engine.body_idles)
        else:
            self._count("body-timeout")
            exchange.fail(408, "body-timeout", b"the request's body stopped coming\n")

    def _discard(self, data: bytes) -> None:
        """Read what nobody wants any more, within bounds."""
        reader = self._reader
        self._discarded += len(data)
        body = reader.body
        if body is not None:
            try:
                reader.read_body(data)
            except BadRequestError:
                self._close()
                return
            if body.ended:
                self._next_request()
                return
        if self._discarded > self._limits.discarded_bytes:
            self._close()

    def _pass_through(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.downstream_data(data)

    def _drop(self, data: bytes) -> None:
        """What comes after the end is nobody's."""

    # From HTTP/1 to HTTP/2.

    def _begin_upgrade(self, request: RequestHead) -> bool:
        """Whether the client wants to be answered over HTTP/2 and is to be, once its request is complete."""
        from upwell.http.h2.upgrade import Http2Upgrade

        self._upgrade = Http2Upgrade.wanted(request, self._transport, self._limits)
        if self._upgrade is None:
            return False
        self.state = UPGRADING
        if request.expects_continue:
            self.send_continue()
        self._wait_in(self._engine.heads)
        self._collect(b"")
        return True

    def _collect(self, data: bytes) -> None:
        """Read the body of such a request; one that turns out too long is answered over HTTP/1."""
        upgrade, reader = self._upgrade, self._reader
        assert upgrade is not None
        if reader.body is not None:
            try:
                upgrade.add(reader.read_body(data))
            except BadRequestError as error:
                self._reject(error)
                return
        if upgrade.too_long:
            self._upgrade = None
            self._wait_in(None)
            self._start(upgrade.request, upgrade.body)
        elif reader.body is None:
            self._switch_to_http2()

    def _switch_to_http2(self) -> None:
        """The client speaks HTTP/2 from here on: somebody else takes over its connection."""
        from upwell.http.h2.upgrade import take_over

        upgrade, self._upgrade = self._upgrade, None
        self.state = CLOSED
        self._wait_in(None)
        self._engine.connections.pop(self, None)
        early = self._reader.drop()
        self._reader.forget()
        take_over(self._engine, self._app, self._transport, upgrade, self._reader.trailers, early)

    # What the exchange asks for, beside its response.

    def start_tunnel(self, head: ResponseHead, tunnel: Tunnel) -> None:
        self.state = TUNNEL
        self._tunnel = tunnel
        self._transport.write(encode_response_head(head, chunked=False, bare=True, connection=b"Upgrade"))
        self._flow.release(PIPELINE_FULL)
        early = self._reader.drop()
        if early:
            tunnel.downstream_data(early)

    def hold_body(self, hold: bool) -> None:
        if hold:
            self._flow.hold(BODY_HELD)
            self._engine.unread.ensure(self, self._engine.now())
        else:
            self._flow.release(BODY_HELD)

    def finished(self) -> None:
        """See what becomes of the connection."""
        self._exchange = None
        if self.state is not BUSY:
            if self.state is TUNNEL:
                self._tunnel = None
                self._close()
            return
        if self._flow.reasons:
            self._flow.release(PEER_FULL | BODY_HELD)
        if self._reader.body is None:
            if self._keep_alive:
                self._next_request()
            else:
                self._close()
        elif self._keep_alive and self._reader.worth_reading():
            self.state = DISCARDING
            self._discarded = 0
            self._wait_in(self._engine.lingers)
        else:
            self._linger()

    # From one request to the next, and to the end.

    def _next_request(self) -> None:
        self.state = IDLE
        engine, reader = self._engine, self._reader
        if engine.draining and not reader.pending:
            self._close()
            return
        if self._deadline is not None:
            self._deadline.discard(self)
        self._deadline = engine.keep_alives
        engine.keep_alives.add(self, engine.now())
        if self.write_paused:
            self._flow.hold(CLIENT_FULL)
        if reader.pending:
            self._flow.release(PIPELINE_FULL)
            self._advance(b"")

    def look_whether_gone(self) -> None:
        """While the socket is not read its end would go unnoticed, so the kernel is asked."""
        if self.state is BUSY and self._flow.reasons:
            if peer_has_left(self._transport):
                self.eof_received()
            else:
                self._engine.unread.add(self, self._engine.now())

    def drain(self) -> None:
        """Close now if nothing is under way; after the present exchange otherwise."""
        if self.state is IDLE and not self._reader.pending:
            self._close()

    def give_up(self) -> None:
        """Drain is out of time."""
        exchange = self._exchange
        self._abort()
        if exchange is not None:
            exchange.downstream_ended(Outcome.ABORTED)


_RECEIVERS: Final[tuple[Callable[[DownstreamConnection, bytes], None], ...]] = (
    # Who takes what is read, for each `DownstreamState` in its order.
    DownstreamConnection._advance,  # IDLE
    DownstreamConnection._read_on,  # BUSY
    DownstreamConnection._discard,  # DISCARDING
    DownstreamConnection._collect,  # UPGRADING
    DownstreamConnection._pass_through,  # TUNNEL
    DownstreamConnection._discard,  # LINGERING
    DownstreamConnection._drop,  # CLOSED
)
