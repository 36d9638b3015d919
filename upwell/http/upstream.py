"""The upstream's side: one HTTP/1.1 connection that carries one exchange after another.

    IDLE ──request──▶ AWAITING ──head──▶ READING ──end──▶ IDLE (back in the pool)
                         ├──101──▶ TUNNEL ──▶ CLOSED
                         └──lost, or not HTTP──▶ CLOSED, and the exchange hears of it

A response that arrives whole in one read, as most do, is handed on in one call, and the connection is back in its pool
before that call, so that the next request can have it.
"""

from typing import TYPE_CHECKING, Final

from upwell.http.body import BodyReader, ChunkedReader, LengthReader, MalformedBodyError, UntilCloseReader
from upwell.http.connection import Connection
from upwell.http.encode import encode_request_head
from upwell.http.errors import BadResponseError, FailureKind
from upwell.http.exchange import Exchange
from upwell.http.flow import PEER_FULL
from upwell.http.message import Fields, ResponseHead, is_bodyless, read_response_head
from upwell.http.states import UpstreamState
from upwell.http.transports import has_news, unread_bytes
from upwell.http.tunnel import protocol_mismatch

if TYPE_CHECKING:
    from upwell.http.pool import Upstream

__all__ = ["UpstreamConnection"]

IDLE: Final = UpstreamState.IDLE
AWAITING: Final = UpstreamState.AWAITING
READING: Final = UpstreamState.READING
TUNNEL: Final = UpstreamState.TUNNEL
CLOSED: Final = UpstreamState.CLOSED


class UpstreamConnection(Connection):
    """Writes requests to one endpoint and reads its responses."""

    __slots__ = (
        "_body",
        "_keep_alive",
        "_last_head",
        "_last_method",
        "_last_response",
        "_method",
        "_pending",
        "_request_sent",
        "served",
        "state",
        "upstream",
    )

    def __init__(self, upstream: "Upstream") -> None:
        super().__init__(upstream.engine.limits)
        self.upstream = upstream
        self.state = IDLE
        self.served = 0
        """Exchanges that this connection has carried."""
        self._pending = b""
        """The begin of a response head."""
        self._body: BodyReader | None = None
        self._method = b""
        self._request_sent = True
        """Whether the whole request has been written."""
        self._keep_alive = True
        """Whether the upstream would take another request."""
        self._last_head = b""
        self._last_method = b""
        self._last_response: ResponseHead | None = None

    def stale(self) -> bool:
        """Whether this idle connection has come to its end, even if the loop has not told us yet."""
        return has_news(self._transport)

    # What the transport reports.

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state is AWAITING:
            self._read_head(self._pending + data if self._pending else data)
        elif state is READING:
            self._read_body(data)
        elif state is TUNNEL:
            if self._tunnel is not None:
                self._tunnel.upstream_data(data)
        elif state is IDLE:
            # Nobody asked: whatever this is, it must not become the answer to the next request.
            self.upstream.forget(self)
            self.abort()

    def eof_received(self) -> bool:
        """Return whether the connection stays open for what we have to say."""
        exchange = self._exchange
        if self._tunnel is not None:
            self._tunnel.upstream_eof()
            return not self._transport.is_closing()
        if self.state is READING and isinstance(self._body, UntilCloseReader) and exchange is not None:
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
        if exc is not None and (self.state is AWAITING or self.state is READING):
            self._read_last_words()
        exchange, tunnel = self._exchange, self._tunnel
        self._exchange = self._tunnel = None
        self._pending = b""
        self.state = CLOSED
        self.upstream.connection_lost(self)
        if tunnel is not None:
            tunnel.closed()
        elif exchange is not None:
            why = str(exc) if exc is not None else "connection closed"
            message = f"read tcp {self.upstream.host}:{self.upstream.port}: {why}"
            exchange.attempt_failed(FailureKind.RESET, message, sent=True)

    def _read_last_words(self) -> None:
        """Writing has failed; look for the answer of an upstream that wanted no more of the request (413, say)."""
        self._request_sent = False
        data = unread_bytes(self._transport, self._limits.response_head_bytes)
        if data:
            self.data_received(data)

    # From bytes to responses.

    def _read_head(self, data: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        while self.state is AWAITING:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                self._pending = data
                if len(data) > self._limits.response_head_bytes:
                    self._reject("response head too large")
                return
            if end > self._limits.response_head_bytes:
                self._reject("response head too large")
                return
            self._pending = b""
            try:
                head = self._read_response(data[:end], exchange)
            except BadResponseError as error:
                self._reject(str(error))
                return
            data = data[end:]
            if head.status >= 200:
                self._response(exchange, head, data)
                return
            if head.status == 101:
                self._switch_protocols(exchange, head, data)
                return
            exchange.informational_received(head)
            if not data:
                return

    def _read_response(self, head: bytes, exchange: Exchange) -> ResponseHead:
        """Parse a head, unless it is the last one again, as apps say the same to many requests."""
        if exchange.on_head is not None:
            # It may change the head, so this one is for this exchange alone.
            return read_response_head(head, self._method)
        response = self._last_response
        if response is not None and head == self._last_head and self._method == self._last_method:
            response.repeated = True
            return response
        response = read_response_head(head, self._method)
        self._last_head = head
        self._last_method = self._method
        self._last_response = response
        return response

    def _response(self, exchange: Exchange, head: ResponseHead, rest: bytes) -> None:
        self._keep_alive = head.keep_alive
        if is_bodyless(head.status, self._method):
            self._finish(reusable=not rest)
            exchange.response_received(head, b"", True)
            return
        length = head.length
        if length == len(rest):
            self._finish(reusable=True)
            exchange.response_received(head, rest, True)
            return
        if head.chunked:
            body: BodyReader = ChunkedReader(self._limits.trailer_bytes)
        elif length is not None:
            body = LengthReader(length)
        else:
            body = UntilCloseReader()
        self._begin_body(exchange, head, body, rest)

    def _begin_body(self, exchange: Exchange, head: ResponseHead, body: BodyReader, rest: bytes) -> None:
        try:
            piece = body.feed(rest)
        except MalformedBodyError as error:
            self._reject(str(error))
            return
        if not body.ended:
            self._body = body
            self.state = READING
            exchange.response_received(head, piece, False)
            return
        self._finish(reusable=not body.rest)
        if not body.trailers:
            exchange.response_received(head, piece, True)
            return
        exchange.response_received(head, piece, False)
        if exchange.status:
            exchange.response_ended(body.trailers)

    def _read_body(self, data: bytes) -> None:
        body, exchange = self._body, self._exchange
        assert body is not None
        assert exchange is not None
        try:
            piece = body.feed(data)
        except MalformedBodyError as error:
            self._reject(str(error))
            return
        if piece:
            exchange.response_data(piece)
        if body.ended and self.state is READING:
            self._finish(reusable=not body.rest)
            exchange.response_ended(body.trailers)

    def _switch_protocols(self, exchange: Exchange, head: ResponseHead, rest: bytes) -> None:
        mismatch = protocol_mismatch(exchange.request.upgrade, head)
        if mismatch or not self._request_sent:
            self._reject(mismatch or "backend switched protocols before it had the whole request")
            return
        self.state = TUNNEL
        self._tunnel = exchange.tunnel_opened(head, self)
        if rest:
            self._tunnel.upstream_data(rest)

    def _reject(self, message: str) -> None:
        exchange = self._exchange
        self.abort()
        if exchange is not None:
            exchange.attempt_failed(FailureKind.BAD_RESPONSE, message, sent=True)

    def _finish(self, *, reusable: bool) -> None:
        """The response is complete: back to the pool, or away."""
        self._exchange = None
        self._body = None
        if self._flow.reasons:
            self._flow.release(PEER_FULL)
        if reusable and self._keep_alive and self._request_sent:
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
        head = encode_request_head(request, exchange.host, self.upstream.authority, exchange.remove, exchange.add)
        self.write_with_body(head, body)
        if ended and request.chunked:
            super().end_body(exchange.trailers)

    def end_body(self, trailers: Fields) -> None:
        self._request_sent = True
        super().end_body(trailers)

    def abort(self) -> None:
        self._exchange = self._tunnel = None
        self.state = CLOSED
        self._transport.abort()

    def close(self) -> None:
        self._exchange = self._tunnel = None
        self.state = CLOSED
        self._transport.close()

    def idle_too_long(self) -> None:
        """Nobody has used this connection for a while."""
        self.upstream.forget(self)
        self.close()
