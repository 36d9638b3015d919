"""The upstream's side: one HTTP/1.1 connection that carries one exchange after another.

    IDLE ──request──▶ AWAITING ──head──▶ READING ──end──▶ IDLE (back in the pool)
                         ├──101──▶ TUNNEL ──▶ CLOSED
                         └──lost, or not HTTP──▶ CLOSED, and the exchange hears of it

A response that arrives whole in one read, as most do, is handed on in one call, and the connection is back in its pool
before that call, so that the next request can have it.
"""

import asyncio
import select
from enum import IntEnum
from typing import TYPE_CHECKING, Final, cast

from upwell.http.body import BodyReader, ChunkedReader, LengthReader, MalformedBodyError, UntilCloseReader
from upwell.http.encode import encode_chunk, encode_last_chunk, encode_request_head
from upwell.http.errors import BadResponseError, FailureKind
from upwell.http.exchange import Exchange
from upwell.http.flow import PEER_FULL, FlowControl
from upwell.http.message import Fields, ResponseHead, read_response_head

if TYPE_CHECKING:
    from upwell.http.pool import Upstream

__all__ = ["UpstreamConnection", "UpstreamState"]

_JOIN_MAX: Final = 16 * 1024
_GONE_EVENTS: Final = select.POLLIN | select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class UpstreamState(IntEnum):
    """Where a connection to an upstream stands; the picture is in the module's docstring."""

    IDLE = 0
    AWAITING = 1
    READING = 2
    TUNNEL = 3
    CLOSED = 4


IDLE: Final = UpstreamState.IDLE
AWAITING: Final = UpstreamState.AWAITING
READING: Final = UpstreamState.READING
TUNNEL: Final = UpstreamState.TUNNEL
CLOSED: Final = UpstreamState.CLOSED


class UpstreamConnection(asyncio.Protocol):
    """Writes requests to one endpoint and reads its responses."""

    __slots__ = (
        "_body",
        "_chunked_out",
        "_exchange",
        "_flow",
        "_keep_alive",
        "_method",
        "_pending",
        "_request_sent",
        "_transport",
        "served",
        "state",
        "upstream",
        "write_paused",
    )

    def __init__(self, upstream: "Upstream") -> None:
        self.upstream = upstream
        self.state = IDLE
        self.served = 0
        """Exchanges that this connection has carried."""
        self.write_paused = False
        self._transport: asyncio.Transport
        self._flow: FlowControl
        self._exchange: Exchange | None = None
        self._pending = b""
        """The begin of a response head."""
        self._body: BodyReader | None = None
        self._method = b""
        self._chunked_out = False
        self._request_sent = True
        self._keep_alive = True

    @property
    def description(self) -> str:
        """For messages: where it leads."""
        return f"{self.upstream.host}:{self.upstream.port}"

    @property
    def usable(self) -> bool:
        """Whether a request may be sent, as far as we know."""
        return self.state is IDLE and not self._transport.is_closing()

    def stale(self) -> bool:
        """Whether the kernel knows of an end, an error or unasked-for bytes that the loop has not told us of yet."""
        raw = self._transport.get_extra_info("socket")
        poller = select.poll()
        poller.register(raw.fileno(), _GONE_EVENTS)
        return bool(poller.poll(0))

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._flow = FlowControl(self._transport)
        limits = self.upstream.engine.limits
        self._transport.set_write_buffer_limits(limits.write_high_water, limits.write_low_water)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state is AWAITING:
            self._read_head(self._pending + data if self._pending else data)
        elif state is READING:
            self._read_body(data)
        elif state is TUNNEL:
            if self._exchange is not None:
                self._exchange.tunnel_upstream_data(data)
        elif state is IDLE:
            # Nobody asked: whatever this is, it must not become the answer to the next request.
            self.abort()

    def eof_received(self) -> bool:
        exchange = self._exchange
        if exchange is not None:
            if self.state is TUNNEL:
                exchange.tunnel_upstream_eof()
                return not self._transport.is_closing()
            if self.state is READING and isinstance(self._body, UntilCloseReader):
                self._finish(reusable=False)
                exchange.response_ended([])
        return False

    def pause_writing(self) -> None:
        self.write_paused = True
        if self._exchange is not None:
            self._exchange.upstream_writable(False)

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._exchange is not None:
            self._exchange.upstream_writable(True)

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self._exchange
        state = self.state
        self._exchange = None
        self._pending = b""
        self.state = CLOSED
        self.upstream.connection_lost(self)
        if exchange is None:
            return
        if state is TUNNEL:
            exchange.tunnel_closed()
            return
        why = str(exc) if exc is not None else "connection closed"
        exchange.attempt_failed(FailureKind.RESET, f"read tcp {self.description}: {why}", sent=True)

    # From bytes to responses.

    def _read_head(self, data: bytes) -> None:
        while True:
            end = data.find(b"\r\n\r\n") + 4
            limit = self.upstream.engine.limits.response_head_bytes
            if end < 4:
                if len(data) > limit:
                    self._reject("response head too large")
                else:
                    self._pending = data
                return
            if end > limit:
                self._reject("response head too large")
                return
            try:
                head = read_response_head(data[:end] if end < len(data) else data, self._method)
            except BadResponseError as rejection:
                self._reject(str(rejection))
                return
            rest = data[end:] if end < len(data) else b""
            if head.status >= 200:
                self._pending = b""
                self._response(head, rest)
                return
            exchange = self._exchange
            assert exchange is not None
            if head.status == 101:
                self._switch_protocols(head, rest)
                return
            self._pending = b""
            exchange.informational_received(head)
            if not rest or self.state is not AWAITING:
                return
            data = rest

    def _response(self, head: ResponseHead, rest: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        self._keep_alive = head.keep_alive
        length = head.length
        if length is not None and len(rest) == length and self._method != b"HEAD":
            self._finish(reusable=True)
            exchange.response_received(head, rest, True)
            return
        status = head.status
        if status == 204 or status == 304 or self._method == b"HEAD":
            self._finish(reusable=not rest)
            exchange.response_received(head, b"", True)
            return
        if head.chunked:
            body: BodyReader = ChunkedReader(self.upstream.engine.limits.trailer_bytes)
        elif length is not None:
            body = LengthReader(length)
        else:
            body = UntilCloseReader()
        self._begin_body(exchange, head, body, rest)

    def _begin_body(self, exchange: Exchange, head: ResponseHead, body: BodyReader, rest: bytes) -> None:
        self._body = body
        self.state = READING
        try:
            piece = body.feed(rest) if rest else b""
        except MalformedBodyError as error:
            self._reject(str(error))
            return
        if body.ended:
            self._finish(reusable=not body.rest)
            if not body.trailers:
                exchange.response_received(head, piece, True)
                return
            # The connection is free; the rest of this response is in our hands.
            exchange.response_received(head, piece, False)
            if not exchange.ended:
                exchange.response_ended(body.trailers)
            return
        exchange.response_received(head, piece, False)

    def _read_body(self, data: bytes) -> None:
        body = self._body
        exchange = self._exchange
        assert body is not None
        assert exchange is not None
        try:
            piece = body.feed(data)
        except MalformedBodyError as error:
            self._reject(str(error))
            return
        if piece:
            exchange.response_data(piece)
        if body.ended and self._exchange is exchange:
            self._finish(reusable=not body.rest)
            exchange.response_ended(body.trailers)

    def _switch_protocols(self, head: ResponseHead, rest: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        if exchange.request.upgrade is None or not self._request_sent:
            self._reject("the response switches protocols, which nobody asked for")
            return
        self.state = TUNNEL
        self._pending = b""
        exchange.tunnel_opened(head, rest)

    def _reject(self, message: str) -> None:
        exchange = self._exchange
        self._exchange = None
        self.abort()
        if exchange is not None:
            exchange.attempt_failed(FailureKind.BAD_RESPONSE, message, sent=True)

    def _finish(self, *, reusable: bool) -> None:
        """The response is complete: back to the pool, or away."""
        self._exchange = None
        self._body = None
        self._flow.release(PEER_FULL)
        if reusable and self._keep_alive and self._request_sent and not self._transport.is_closing():
            self.state = IDLE
            self.upstream.release(self)
        else:
            self.state = CLOSED
            self._transport.close()

    # What the exchange asks for.

    def start_request(self, exchange: Exchange, body: bytes, ended: bool) -> None:
        request = exchange.request
        self._exchange = exchange
        self._method = request.method
        self._chunked_out = request.chunked
        self._request_sent = ended
        self.state = AWAITING
        self.served += 1
        data = encode_request_head(request, exchange.host, self.upstream.authority, exchange.remove, exchange.add)
        if request.chunked:
            if body:
                data += encode_chunk(body)
            if ended:
                data += encode_last_chunk(exchange.trailers)
            self._transport.write(data)
        elif not body:
            self._transport.write(data)
        elif len(body) <= _JOIN_MAX:
            self._transport.write(data + body)
        else:
            self._transport.writelines((data, body))

    def send_body(self, data: bytes) -> None:
        if not self._chunked_out or self.state is TUNNEL:
            self._transport.write(data)
        elif len(data) <= _JOIN_MAX:
            self._transport.write(encode_chunk(data))
        else:
            self._transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))

    def end_request(self, trailers: Fields) -> None:
        self._request_sent = True
        if self._chunked_out:
            self._transport.write(encode_last_chunk(trailers))

    def send_eof(self) -> None:
        if not self._transport.is_closing():
            self._transport.write_eof()

    def hold(self, hold: bool) -> None:
        if hold:
            self._flow.hold(PEER_FULL)
        else:
            self._flow.release(PEER_FULL)

    def abort(self) -> None:
        """Close at once; the exchange, if any, is no longer told anything."""
        self._exchange = None
        self.state = CLOSED
        self._transport.abort()

    def idle_too_long(self) -> None:
        """Nobody has used this connection for a while."""
        self.upstream.forget(self)
        self.close()

    def close(self) -> None:
        """Close when what was written is out; the exchange, if any, is no longer told anything."""
        self._exchange = None
        self.state = CLOSED
        self._transport.close()
