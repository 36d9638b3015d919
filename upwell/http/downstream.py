"""The client's side: one HTTP/1.1 connection, one exchange at a time.

    IDLE ──head──▶ BUSY ──response and request complete──▶ IDLE …
      │             ├──response complete, body still coming──▶ DISCARDING ──▶ IDLE
      │             ├──101──▶ TUNNEL ──▶ CLOSED
      └─bad head────┴──last answer, input left──▶ LINGERING ──▶ CLOSED

A read is taken apart at once: the head, and the body bytes that came with it, go to the application together, so that
they leave in one write. Requests that a client sends ahead wait as bytes until their turn. A connection is nearly
always read, also while its request waits: that is how the client's leaving is noticed.
"""

import asyncio
import logging
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from upwell.http.answers import error_response
from upwell.http.body import BodyReader, ChunkedReader, LengthReader, MalformedBodyError
from upwell.http.connection import Connection
from upwell.http.deadlines import DeadlineQueue
from upwell.http.encode import encode_response_head
from upwell.http.errors import BadRequestError, Outcome
from upwell.http.exchange import Exchange
from upwell.http.flow import BODY_HELD, CLIENT_FULL, PEER_FULL, PIPELINE_FULL
from upwell.http.framing import request_head_end
from upwell.http.head_reader import HeadReader
from upwell.http.message import HTTP_1_0, RequestHead, ResponseHead, is_bodyless
from upwell.http.sides import Application
from upwell.http.transports import peer_has_left, reset_on_close
from upwell.http.tunnel import Tunnel

if TYPE_CHECKING:
    from upwell.http.engine import Engine

__all__ = ["DownstreamConnection", "DownstreamState"]

_log = logging.getLogger("upwell.http")

HTTP_2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\n"
"""How a client begins that speaks HTTP/2 with prior knowledge; the head of a request that never was one."""


class DownstreamState(IntEnum):
    """Where a client's connection stands; the picture is in the module's docstring."""

    IDLE = 0
    BUSY = 1
    DISCARDING = 2
    TUNNEL = 3
    LINGERING = 4
    CLOSED = 5


IDLE: Final = DownstreamState.IDLE
BUSY: Final = DownstreamState.BUSY
DISCARDING: Final = DownstreamState.DISCARDING
TUNNEL: Final = DownstreamState.TUNNEL
LINGERING: Final = DownstreamState.LINGERING
CLOSED: Final = DownstreamState.CLOSED


class DownstreamConnection(Connection):
    """Reads a client's requests and writes the responses."""

    __slots__ = (
        "_advancing",
        "_app",
        "_body",
        "_deadline",
        "_discarded",
        "_engine",
        "_keep_alive",
        "_pending",
        "_reader",
        "_until_close_out",
        "state",
    )

    def __init__(self, engine: "Engine", app: Application) -> None:
        super().__init__(engine.limits)
        self.state = IDLE
        self._engine = engine
        self._app = app
        self._reader: HeadReader
        self._pending = b""
        """Bytes that were read and have not had their turn: a part of a head, or requests sent ahead."""
        self._body: BodyReader | None = None
        """The reader of the request's body as long as that is incomplete."""
        self._deadline: DeadlineQueue[DownstreamConnection] | None = None
        """The connection's own deadline, where it has one: for a head, a next request, or an end."""
        self._keep_alive = True
        self._until_close_out = False
        """Whether the response that is being written ends with the connection."""
        self._discarded = 0
        self._advancing = False

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        address, port = peer[:2] if isinstance(peer, tuple) else ("", 0)
        self._reader = HeadReader(self._limits, self._engine.head_memory, address, port)
        self._engine.connections[self] = None
        self._wait_in(self._engine.heads)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state is IDLE:
            self._pending = self._pending + data if self._pending else data
            self._advance()
        elif state is BUSY:
            if self._body is not None:
                self._read_body(self._body, data)
            else:
                self._read_ahead(data)
        elif state is TUNNEL:
            if self._tunnel is not None:
                self._tunnel.downstream_data(data)
        elif state is DISCARDING or state is LINGERING:
            self._discard(data)

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
        else:
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, tunnel = self._exchange, self._tunnel
        self.state = CLOSED
        self._pending = b""
        self._body = None
        self._wait_in(None)
        self._engine.unread.discard(self)
        self._reader.forget()
        if tunnel is not None:
            tunnel.closed()
        elif exchange is not None:
            exchange.downstream_ended(Outcome.CLIENT_GONE)
        self._engine.connection_lost(self)

    # From bytes to requests.

    def _advance(self) -> None:
        """Take up what is pending, request after request, as long as none has to be waited for."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self.state is IDLE and self._pending and not self.write_paused and self._take_request():
                pass
        finally:
            self._advancing = False

    def _take_request(self) -> bool:
        """Take one request; False when its head is not complete."""
        data = self._pending
        engine = self._engine
        try:
            end = request_head_end(data, self._limits)
            if not end:
                if data and self._deadline is not engine.heads:
                    self._wait_in(engine.heads)
                return False
            if end == len(data):
                self._pending = b""
                request = self._reader.read(data)
            else:
                self._pending = data[end:]
                request = self._reader.read(data[:end])
        except BadRequestError as error:
            # The preface of HTTP/2 was made to be no request of HTTP/1, so looking for it costs requests nothing.
            if data.startswith(HTTP_2_PREFACE):
                self._switch_to_http2(data)
            else:
                self._reject(error)
            return False
        if self._deadline is not None:
            self._deadline.discard(self)
            self._deadline = None
        self._begin(request)
        return True

    def _switch_to_http2(self, data: bytes) -> None:
        """The client speaks HTTP/2 from here on: somebody else takes over its connection."""
        from upwell.http.h2.downstream import Http2Downstream

        self._pending = b""
        self._wait_in(None)
        self.state = CLOSED
        engine, transport = self._engine, self._transport
        engine.connections.pop(self, None)
        successor = Http2Downstream(engine, self._app)
        transport.set_protocol(successor)
        successor.connection_made(transport)
        successor.data_received(data)

    def _begin(self, request: RequestHead) -> None:
        engine = self._engine
        exchange = Exchange(engine, self._app, self, request, engine.now())
        self.state = BUSY
        self._keep_alive = request.keep_alive
        self._chunked_out = self._until_close_out = False
        if not exchange.request_complete and not self._begin_body(exchange, request):
            return
        self._exchange = exchange
        engine.in_flight += 1
        try:
            self._app.request_received(exchange)
        except Exception:
            _log.exception("the application failed in request_received")
            exchange.fail(500, "internal", b"internal error\n")

    def _begin_body(self, exchange: Exchange, request: RequestHead) -> bool:
        """Take the body bytes that came with the head; False when they are malformed, for then nobody hears of it."""
        if request.chunked:
            body: BodyReader = ChunkedReader(self._limits.trailer_bytes)
        else:
            body = LengthReader(request.length or 0)
        self._body = body
        self._wait_in(self._engine.body_idles)
        if not self._pending:
            return True
        try:
            piece = body.feed(self._pending)
        except MalformedBodyError as error:
            self._reject(BadRequestError(400, "malformed", str(error)))
            return False
        self._pending = body.rest
        if piece:
            exchange.request_data(piece)
        if body.ended:
            self._body_ended()
            exchange.request_ended(body.trailers)
        return True

    def _read_body(self, body: BodyReader, data: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            piece = body.feed(data)
        except MalformedBodyError as error:
            self._body = None
            if exchange.status:
                self.cut()
            else:
                self._reject(BadRequestError(400, "malformed", str(error)))
            exchange.downstream_ended(Outcome.BAD_REQUEST)
            return
        if body.ended:
            self._body_ended()
            self._pending = body.rest
        elif self._deadline is not None:
            self._deadline.restart(self, self._engine.now())
        if piece:
            exchange.request_data(piece)
        if body.ended:
            exchange.request_ended(body.trailers)

    def _body_ended(self) -> None:
        self._body = None
        self._wait_in(None)

    def body_stalled(self) -> None:
        """The client has sent nothing of its body for a while."""
        exchange = self._exchange
        self._deadline = None
        if self._body is None or exchange is None or exchange.status:
            return
        if self._flow.reasons or exchange.awaits_continue:
            self._wait_in(self._engine.body_idles)
        else:
            self._count("body-timeout")
            exchange.fail(408, "body-timeout", b"the request's body stopped coming\n")

    def _read_ahead(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) >= self._limits.held_bytes:
            self._flow.hold(PIPELINE_FULL)
            self._engine.unread.ensure(self, self._engine.now())

    def _discard(self, data: bytes) -> None:
        """Read what nobody wants any more, within bounds."""
        self._discarded += len(data)
        body = self._body
        if body is not None:
            try:
                body.feed(data)
            except MalformedBodyError:
                self._close()
                return
            if body.ended:
                self._body = None
                self._pending = body.rest
                self._next_request()
                return
        if self._discarded > self._limits.discarded_bytes:
            self._close()

    def _reject(self, error: BadRequestError) -> None:
        self._count(error.reason)
        text = f"{error}\n".encode()
        head = error_response(self._engine.component, error.status, error.reason, text)
        self._pending = b""
        self._transport.write(encode_response_head(head, chunked=False, bare=False, connection=b"close") + text)
        self._linger()

    def _count(self, reason: str) -> None:
        refused = self._engine.refused
        refused[reason] = refused.get(reason, 0) + 1

    # What the exchange asks for.

    def start_response(self, exchange: Exchange, head: ResponseHead, body: bytes, ended: bool) -> None:
        request = exchange.request
        old_client = request.version == HTTP_1_0
        chunked = False
        if head.length is None and not is_bodyless(head.status, request.method):
            chunked = self._chunked_out = not old_client
            self._until_close_out = old_client
        elif body and is_bodyless(head.status, request.method):
            body = b""
        if self._keep_alive and (
            self._until_close_out
            or head.last
            or self._engine.draining
            or (self._body is not None and (exchange.awaits_continue or (ended and self._too_much_left())))
        ):
            self._keep_alive = False
        connection = (b"keep-alive" if old_client else None) if self._keep_alive else b"close"
        data = encode_response_head(head, chunked=chunked, bare=head.status == 204, connection=connection)
        self.write_with_body(data, body)
        if ended and chunked:
            self.end_body([])

    def send_informational(self, head: ResponseHead) -> None:
        self._transport.write(encode_response_head(head, chunked=False, bare=True, connection=None))

    def send_continue(self) -> None:
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def start_tunnel(self, head: ResponseHead, tunnel: Tunnel) -> None:
        self.state = TUNNEL
        self._tunnel = tunnel
        self._transport.write(encode_response_head(head, chunked=False, bare=True, connection=b"Upgrade"))
        self._flow.release(PIPELINE_FULL)
        early, self._pending = self._pending, b""
        if early:
            tunnel.downstream_data(early)

    def hold_body(self, hold: bool) -> None:
        if hold:
            self._flow.hold(BODY_HELD)
            self._engine.unread.ensure(self, self._engine.now())
        else:
            self._flow.release(BODY_HELD)

    def cut(self, code: int | None = None) -> None:
        if self._until_close_out:
            # Only a reset tells such a client that there should have been more.
            reset_on_close(self._transport)
            self.state = CLOSED
            self._transport.abort()
        else:
            self._close()

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
        if self._body is None:
            if self._keep_alive:
                self._next_request()
            else:
                self._close()
        elif self._keep_alive and not self._too_much_left():
            self.state = DISCARDING
            self._discarded = 0
            self._wait_in(self._engine.lingers)
        else:
            self._linger()

    # From one request to the next, and to the end.

    def _next_request(self) -> None:
        self.state = IDLE
        engine = self._engine
        if engine.draining and not self._pending:
            self._close()
            return
        engine.keep_alives.add(self, engine.now())
        self._deadline = engine.keep_alives
        if self.write_paused:
            self._flow.hold(CLIENT_FULL)
        if self._pending:
            self._flow.release(PIPELINE_FULL)
            self._advance()

    def _too_much_left(self) -> bool:
        """Whether the rest of the request's body is not worth reading only to keep the connection."""
        left = self._body.remaining() if self._body is not None else 0
        return left is None or left > self._limits.discarded_bytes

    def _linger(self) -> None:
        """Say no more, but read on for a while: closing with unread input would reset the answer away."""
        self.state = LINGERING
        self._body = None
        self._discarded = 0
        self._flow.release(PEER_FULL | BODY_HELD | PIPELINE_FULL | CLIENT_FULL)
        if not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._wait_in(self._engine.lingers)

    def _close(self) -> None:
        """Close when what was written is out, or a while later."""
        self.state = CLOSED
        self._body = None
        self._wait_in(self._engine.lingers if self._transport.get_write_buffer_size() else None)
        self._transport.close()

    def _wait_in(self, queue: "DeadlineQueue[DownstreamConnection] | None") -> None:
        if self._deadline is not None:
            self._deadline.discard(self)
        self._deadline = queue
        if queue is not None:
            queue.add(self, self._engine.now())

    def timed_out(self) -> None:
        """The deadline for a head, a next request, or an end has passed."""
        self._deadline = None
        self.state = CLOSED
        self._transport.abort()

    def look_whether_gone(self) -> None:
        """While the socket is not read its end would go unnoticed, so the kernel is asked."""
        if self.state is BUSY and self._flow.reasons:
            if peer_has_left(self._transport):
                self.eof_received()
            else:
                self._engine.unread.add(self, self._engine.now())

    def drain(self) -> None:
        """Close now if nothing is under way; after the present exchange otherwise."""
        if self.state is IDLE and not self._pending:
            self._close()

    def give_up(self) -> None:
        """Drain is out of time."""
        exchange = self._exchange
        self.state = CLOSED
        self._transport.abort()
        if exchange is not None:
            exchange.downstream_ended(Outcome.ABORTED)
