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
import socket
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, cast

from upwell.http.body import BodyReader, ChunkedReader, LengthReader, MalformedBodyError
from upwell.http.encode import encode_chunk, encode_last_chunk, encode_response_head
from upwell.http.errors import BadRequestError, Outcome
from upwell.http.exchange import Application, Exchange
from upwell.http.flow import BODY_HELD, PEER_FULL, PIPELINE_FULL, FlowControl
from upwell.http.message import HTTP_1_0, Fields, RequestHead, ResponseHead, read_request_head

if TYPE_CHECKING:
    from upwell.http.engine import Engine

__all__ = ["DownstreamConnection", "DownstreamState"]

_log = logging.getLogger("upwell.http")

_JOIN_MAX: Final = 16 * 1024
"""Up to this size one copy is cheaper than a second buffer."""
_STATES_AFTER_FIN: Final = frozenset((7, 8, 9, 11))
"""CLOSE, CLOSE_WAIT, LAST_ACK and CLOSING in the kernel's tcp_states.h."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


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


class DownstreamConnection(asyncio.Protocol):
    """Reads a client's requests and writes the responses."""

    __slots__ = (
        "_advancing",
        "_app",
        "_body",
        "_chunked_out",
        "_discarded",
        "_engine",
        "_exchange",
        "_flow",
        "_keep_alive",
        "_peer",
        "_pending",
        "_transport",
        "_until_close_out",
        "state",
        "write_paused",
    )

    def __init__(self, engine: "Engine", app: Application) -> None:
        self.state = IDLE
        self.write_paused = False
        self._engine = engine
        self._app = app
        self._transport: asyncio.Transport
        self._flow: FlowControl
        self._peer = ""
        self._pending = b""
        """Bytes that were read and have not had their turn: a part of a head, or requests sent ahead."""
        self._exchange: Exchange | None = None
        self._body: BodyReader | None = None
        """The reader of the request's body as long as that is incomplete."""
        self._keep_alive = True
        self._chunked_out = False
        self._until_close_out = False
        self._discarded = 0
        self._advancing = False

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self.state is IDLE

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._flow = FlowControl(self._transport)
        limits = self._engine.limits
        self._transport.set_write_buffer_limits(limits.write_high_water, limits.write_low_water)
        peer = self._transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._engine.connections[self] = None
        self._engine.heads.add(self)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state is IDLE:
            self._pending = self._pending + data if self._pending else data
            self._advance()
        elif state is BUSY:
            if self._body is not None:
                self._read_body(data)
            else:
                self._read_ahead(data)
        elif state is TUNNEL:
            if self._exchange is not None:
                self._exchange.tunnel_data(data)
        elif state is DISCARDING:
            self._discard_body(data)
        elif state is LINGERING:
            self._discarded += len(data)
            if self._discarded > self._engine.limits.discarded_bytes:
                self._transport.close()

    def eof_received(self) -> bool:
        exchange = self._exchange
        if self.state is TUNNEL and exchange is not None:
            exchange.tunnel_downstream_eof()
            return not self._transport.is_closing()
        # A client that stops listening and one that only stops speaking look alike here; like Go's server we take
        # both for gone, so that its slot is free at once.
        if exchange is not None:
            exchange.downstream_gone()
        self._close()
        return False

    def pause_writing(self) -> None:
        self.write_paused = True
        if self._exchange is not None:
            self._exchange.downstream_writable(False)

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._exchange is not None:
            self._exchange.downstream_writable(True)

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.downstream_gone()
        self.state = CLOSED
        self._pending = b""
        self._body = None
        engine = self._engine
        engine.heads.discard(self)
        engine.keep_alives.discard(self)
        engine.lingers.discard(self)
        engine.unread.discard(self)
        engine.connection_lost(self)

    # From bytes to requests.

    def _advance(self) -> None:
        """Take up what is pending, request after request, as long as none has to be waited for."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self.state is IDLE and self._pending and self._read_head():
                pass
        finally:
            self._advancing = False

    def _read_head(self) -> bool:
        """Take one request's head; False when it is not complete."""
        data = self._pending
        if data[:1] == b"\r" or data[:1] == b"\n":
            data = self._without_empty_lines(data)
        end = data.find(b"\r\n\r\n") + 4
        engine = self._engine
        try:
            if end < 4:
                self._pending = data
                self._check_partial_head(data)
                return False
            if end > engine.limits.target_bytes:
                self._check_head_size(data[:end])
            head = data[:end] if end < len(data) else data
            request = read_request_head(head, self._peer)
            if len(request.headers) > engine.limits.head_fields:
                raise BadRequestError(431, "head-too-large", "too many header fields")
        except BadRequestError as rejection:
            self._reject(rejection)
            return False
        self._pending = data[end:] if end < len(data) else b""
        engine.heads.discard(self)
        engine.keep_alives.discard(self)
        self._start_exchange(request)
        return True

    @staticmethod
    def _without_empty_lines(data: bytes) -> bytes:
        """Empty lines before a request are ignored (RFC 9112, 2.2), as long as they are lines."""
        while data[:2] == b"\r\n":
            data = data[2:]
        return data

    def _check_partial_head(self, data: bytes) -> None:
        if not data:
            return
        # Nothing that llhttp would refuse has to be waited for; it is the end of the head that must be certain.
        if data.count(b"\n") != data.count(b"\r\n"):
            raise BadRequestError(400, "malformed", "malformed request: a line does not end in CR LF")
        self._check_head_size(data)
        engine = self._engine
        engine.keep_alives.discard(self)
        engine.heads.ensure(self)

    def _check_head_size(self, data: bytes) -> None:
        limits = self._engine.limits
        line_end = data.find(b"\r\n")
        line = data if line_end < 0 else data[:line_end]
        if len(line) > limits.target_bytes and len(line.split(b" ", 2)[1 if b" " in line else 0]) > limits.target_bytes:
            raise BadRequestError(414, "target-too-long", "request target too long")
        if len(data) > limits.head_bytes:
            raise BadRequestError(431, "head-too-large", "request header fields too large")

    def _start_exchange(self, request: RequestHead) -> None:
        engine = self._engine
        exchange = Exchange(engine, self._app, self, request, engine.now())
        self._exchange = exchange
        self._keep_alive = request.keep_alive
        self._chunked_out = self._until_close_out = False
        self.state = BUSY
        engine.exchange_started()
        if not exchange.request_complete:
            if request.chunked:
                self._body = ChunkedReader(engine.limits.trailer_bytes)
            else:
                self._body = LengthReader(request.length or 0)
            if self._pending:
                data, self._pending = self._pending, b""
                if not self._feed_first(exchange, data):
                    return
        try:
            self._app.request_received(exchange)
        except Exception:
            _log.exception("the application failed in request_received")
            exchange.fail(500, "internal", b"internal error\n")

    def _feed_first(self, exchange: Exchange, data: bytes) -> bool:
        """Body bytes that came with the head; False when they are malformed, for then nobody has to hear of it."""
        body = self._body
        assert body is not None
        try:
            piece = body.feed(data)
        except MalformedBodyError as error:
            self._exchange = None
            self._body = None
            self._engine.exchange_ended()
            self._reject(BadRequestError(400, "malformed", str(error)))
            return False
        if piece:
            exchange.request_data(piece)
        if body.ended:
            self._body = None
            self._pending = body.rest
            exchange.request_ended(body.trailers)
        return True

    def _read_body(self, data: bytes) -> None:
        body = self._body
        exchange = self._exchange
        assert body is not None
        assert exchange is not None
        try:
            piece = body.feed(data)
        except MalformedBodyError as error:
            self._body = None
            answered = exchange.status != 0
            self._exchange = None
            exchange.downstream_failed(Outcome.BAD_REQUEST)
            if answered:
                self.abort()
            else:
                self._reject(BadRequestError(400, "malformed", str(error)))
            return
        if body.ended:
            self._body = None
            self._pending = body.rest
        if piece:
            exchange.request_data(piece)
        if body.ended and not exchange.ended:
            exchange.request_ended(body.trailers)

    def _read_ahead(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) >= self._engine.limits.held_bytes:
            self._flow.hold(PIPELINE_FULL)
            self._engine.unread.ensure(self)

    def _discard_body(self, data: bytes) -> None:
        body = self._body
        assert body is not None
        self._discarded += len(data)
        try:
            body.feed(data)
        except MalformedBodyError:
            self._transport.close()
            return
        if body.ended:
            self._body = None
            self._pending = body.rest
            self._engine.lingers.discard(self)
            self._next_request()
        elif self._discarded > self._engine.limits.discarded_bytes:
            self._transport.close()

    def _reject(self, rejection: BadRequestError) -> None:
        text = f"{rejection}\n".encode()
        head = self._engine.error_response(rejection.status, rejection.reason, text)
        self._pending = b""
        self._transport.write(encode_response_head(head, chunked=False, bare=False, connection=b"close") + text)
        self._linger()

    # What the exchange asks for.

    def start_response(self, exchange: Exchange, head: ResponseHead, body: bytes, ended: bool) -> None:
        request = exchange.request
        status = head.status
        old_client = request.version is HTTP_1_0
        bodyless = status == 204 or status == 304 or request.method == b"HEAD"
        chunked = False
        if bodyless:
            body = b""
        elif head.length is None:
            if old_client:
                self._until_close_out = True
            else:
                chunked = self._chunked_out = True
        if (
            self._until_close_out
            or head.last
            or self._engine.draining
            or exchange.awaits_continue
            or (ended and self._too_much_left())
        ):
            self._keep_alive = False
        connection = None
        if not self._keep_alive:
            connection = b"close"
        elif old_client:
            connection = b"keep-alive"
        data = encode_response_head(head, chunked=chunked, bare=status == 204, connection=connection)
        if chunked:
            if body:
                data += encode_chunk(body)
            if ended:
                data += b"0\r\n\r\n"
            self._transport.write(data)
        elif len(body) <= _JOIN_MAX:
            self._transport.write(data + body if body else data)
        else:
            self._transport.writelines((data, body))

    def send_informational(self, head: ResponseHead) -> None:
        self._transport.write(encode_response_head(head, chunked=False, bare=True, connection=None))

    def send_continue(self) -> None:
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def send_body(self, data: bytes) -> None:
        if not self._chunked_out:
            self._transport.write(data)
        elif len(data) <= _JOIN_MAX:
            self._transport.write(encode_chunk(data))
        else:
            self._transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))

    def end_response(self, trailers: Fields) -> None:
        if self._chunked_out:
            self._transport.write(encode_last_chunk(trailers))

    def start_tunnel(self, head: ResponseHead, data: bytes) -> None:
        self.state = TUNNEL
        self._transport.write(encode_response_head(head, chunked=False, bare=True, connection=b"Upgrade") + data)
        self._flow.release(PIPELINE_FULL)
        if self._pending and self._exchange is not None:
            early, self._pending = self._pending, b""
            self._exchange.tunnel_data(early)

    def send_eof(self) -> None:
        if not self._transport.is_closing():
            self._transport.write_eof()

    def hold_request_body(self, hold: bool) -> None:
        if hold:
            self._flow.hold(BODY_HELD)
            self._engine.unread.ensure(self)
        else:
            self._flow.release(BODY_HELD)

    def hold_for_upstream(self, hold: bool) -> None:
        if hold:
            self._flow.hold(PEER_FULL)
        else:
            self._flow.release(PEER_FULL)

    def abort(self) -> None:
        """Cut the connection so that what was sent cannot pass for a complete response."""
        if self._until_close_out:
            # Only a reset tells such a client that there should have been more.
            raw = self._transport.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._exchange = None
        self.state = CLOSED
        self._transport.abort()

    def exchange_ended(self) -> None:
        """The response is out; see what becomes of the connection."""
        self._exchange = None
        if self.state is TUNNEL:
            self._transport.close()
            self.state = CLOSED
            return
        if self.state is not BUSY:
            return
        self._flow.release(PEER_FULL | BODY_HELD)
        if self._body is None:
            if self._keep_alive:
                self._next_request()
            else:
                self._close()
        elif self._keep_alive and not self._too_much_left():
            self.state = DISCARDING
            self._discarded = 0
            self._engine.lingers.add(self)
        else:
            self._linger()

    def _next_request(self) -> None:
        self.state = IDLE
        engine = self._engine
        if engine.draining and not self._pending:
            self._close()
            return
        engine.keep_alives.add(self)
        if self._pending:
            self._flow.release(PIPELINE_FULL)
            self._advance()

    def _too_much_left(self) -> bool:
        """Whether the rest of the request's body is not worth reading only to keep the connection."""
        if self._body is None:
            return False
        left = self._body.remaining()
        return left is None or left > self._engine.limits.discarded_bytes

    # Ends.

    def drain(self) -> None:
        """Close now if idle; after the present exchange otherwise."""
        if self.state is IDLE and not self._pending:
            self._close()

    def give_up(self) -> None:
        """Drain is out of time."""
        exchange = self._exchange
        if exchange is not None:
            self._exchange = None
            exchange.downstream_failed(Outcome.ABORTED)
        self.state = CLOSED
        self._transport.abort()

    def look_whether_gone(self) -> None:
        """While the socket is not read its end would go unnoticed, so ask the kernel."""
        if self.state is not BUSY or not self._flow.held:
            return
        if _peer_has_left(self._transport):
            self.eof_received()
        else:
            self._engine.unread.add(self)

    def timed_out(self) -> None:
        """One of this connection's own deadlines has passed."""
        self._transport.close()

    def _linger(self) -> None:
        """Say no more, but read on for a while: closing with unread input would reset the answer away."""
        self.state = LINGERING
        self._body = None
        self._discarded = 0
        self._flow.release(PEER_FULL | BODY_HELD | PIPELINE_FULL)
        if not self._transport.is_closing():
            self._transport.write_eof()
            self._engine.lingers.add(self)

    def _close(self) -> None:
        self.state = CLOSED
        self._transport.close()


def _peer_has_left(transport: asyncio.Transport) -> bool:
    """Whether the kernel has seen the peer's FIN or RST, unread bytes or not (Linux; elsewhere it cannot be told)."""
    raw = transport.get_extra_info("socket")
    if raw is None or not hasattr(socket, "TCP_INFO"):
        return False
    state = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in _STATES_AFTER_FIN
