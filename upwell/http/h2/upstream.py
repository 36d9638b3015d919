"""The upstream's side over HTTP/2: one connection, opened with prior knowledge, that carries many exchanges at once.

Requests are sent without waiting for the upstream's SETTINGS. What an upstream has not looked at by its own word (it
refused the stream, or its GOAWAY names a lower one), or what had not been written when the connection broke, was not
sent: any method may go again elsewhere. A connection that carries requests and says nothing is asked by PING, so that
a dead one is found before its requests' deadlines are.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from upwell.http.errors import FailureKind
from upwell.http.exchange import Exchange
from upwell.http.h2.attempt import UpstreamStream
from upwell.http.h2.codes import ConnectionViolation, ErrorCode, StreamViolation, code_name
from upwell.http.h2.connection import Http2Connection, Setting
from upwell.http.h2.frames import PING, PREFACE, encode_frame, encode_settings
from upwell.http.h2.headers import BlockReader
from upwell.http.h2.heads import Http2Response, check_trailers, make_response_head
from upwell.http.h2.stream import CLOSED, HALF_CLOSED_LOCAL, OPEN, Event, next_state
from upwell.http.message import is_bodyless
from upwell.http.transports import has_ended, is_unacknowledged

if TYPE_CHECKING:
    from upwell.http.h2.pool import Http2Pool

__all__ = ["Http2Upstream"]

_LAST_STREAM: Final = 2**31 - 1


class Http2Upstream(Http2Connection[UpstreamStream]):
    """Writes requests to one endpoint and reads its responses, many at once."""

    def __init__(self, pool: "Http2Pool") -> None:
        super().__init__(pool.engine)
        self.pool = pool
        bytes_max = self.head_bytes = self.limits.response_head_bytes
        self._responses: BlockReader[Http2Response] = BlockReader(
            lambda fields, ended: make_response_head(fields, bytes_max), bytes_max
        )
        self.streams_max = self.bounds.upstream_streams
        """How many streams it takes at once; 0 once it is leaving."""
        self._next = 1
        self._leaving = False
        """Whether the upstream, or the pool, wants no more streams here."""
        self._watched = False
        """Whether it is looked at from time to time, as long as it has streams."""
        self._heard = True
        """Whether anything was read since the last look."""
        self._fresh: UpstreamStream | None = None
        """Its response's head was not passed on yet."""

    @property
    def has_room(self) -> bool:
        """Whether it takes another exchange now."""
        return len(self.streams) < self.streams_max

    def stale(self) -> bool:
        """Whether this connection, which has no stream, has come to its end and the loop has not told us yet."""
        return has_ended(self._transport)

    def open_stream(self) -> UpstreamStream:
        """A new stream; its request must be started before the next one is opened."""
        if not self.streams:
            self.http2.idle_upstreams.discard(self)
            if not self._watched:
                self._watched = True
                self.http2.silences.add(self, self.engine.now())
        number = self.opened = self._next
        self._next = number + 2
        if number >= _LAST_STREAM:
            self._take_no_more()
        stream = self.streams[number] = UpstreamStream(self, number, self.bounds.stream_window_flowing, OPEN)
        return stream

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.http2.idle_upstreams.add(self, self.engine.now())

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if not self.greeted and data.startswith(b"HTTP/1."):
            self.fail(ErrorCode.PROTOCOL_ERROR, "the upstream answers in HTTP/1")
            return
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        http2 = self.http2
        for queue in (http2.idle_upstreams, http2.silences, http2.silences_asked, http2.pings):
            queue.discard(self)
        self.pool.connection_lost(self)

    # From frames to responses.

    def headers_received(self, number: int, block: bytes, ended: bool) -> None:
        if self._fresh is not None:
            self.frames_read()
        stream = self.streams.get(number)
        if stream is None:
            self._responses.fields(block)
            self.frame_without_stream(number, "HEADERS")
            return
        try:
            if stream.answered:
                self._trailers_received(stream, block, ended)
            else:
                self._response_received(stream, self._responses.head(block, ended), ended)
        except StreamViolation as violation:
            self.violated(stream, violation)

    def message_received(self, number: int, block: bytes, data: bytes) -> None:
        """The usual answer, whole in one read: what `headers_received` and `body_received` would do, in one step."""
        if self._fresh is not None:
            self.frames_read()
        stream = self.streams.get(number)
        size = len(data)
        window = self._receive_window - size
        if (
            stream is None
            or stream.answered
            or stream.state is not HALF_CLOSED_LOCAL
            or window < self._refill_below
            or size > stream.receive_window
        ):
            super().message_received(number, block, data)
            return
        try:
            head = self._responses.head(block, False)
            exchange = stream.exchange
            assert exchange is not None
            if head.status >= 200 and (head.length is None or head.length == size) and exchange.on_head is None:
                self._receive_window = window
                self.remove(stream)
                exchange.response_received(head, data, True)
                return
            self._response_received(stream, head, False)
        except StreamViolation as violation:
            self.violated(stream, violation)
        self.body_received(number, data, size, True)

    def _response_received(self, stream: UpstreamStream, head: Http2Response, ended: bool) -> None:
        exchange = stream.exchange
        assert exchange is not None
        if exchange.on_head is not None:
            # The application may want to change it, and others share it.
            head = head.copy()
        if head.status < 200:
            if ended:
                raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "an informational response that ends the stream")
            exchange.informational_received(head)
            return
        stream.answered = True
        if head.length is not None and not is_bodyless(head.status, stream.method):
            stream.expected = head.length
        if ended:
            stream.received_end()
            self._done(stream)
            exchange.response_received(head, b"", True)
        else:
            stream.head = head
            self._fresh = stream

    def _trailers_received(self, stream: UpstreamStream, block: bytes, ended: bool) -> None:
        trailers = check_trailers(self._responses.fields(block), self.limits.trailer_bytes)
        if not ended:
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "trailers that do not end the stream")
        stream.state = next_state(stream.state, Event.RECEIVE_HEADERS)
        stream.received_end()
        exchange = stream.exchange
        assert exchange is not None
        self._done(stream)
        exchange.response_ended(trailers)

    def body_received_on(self, stream: UpstreamStream, data: bytes, ended: bool) -> None:
        exchange = stream.exchange
        assert exchange is not None
        if not stream.answered:
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "a body without a head")
        if not ended:
            self._body_goes_on(stream, exchange, data)
            return
        self._done(stream)
        head = stream.head
        if head is not None:
            self._fresh = None
            exchange.response_received(head, data, True)
            return
        if data:
            exchange.response_data(data)
        exchange.response_ended([])

    def _body_goes_on(self, stream: UpstreamStream, exchange: Exchange, data: bytes) -> None:
        head = stream.head
        if head is not None:
            stream.head = self._fresh = None
            exchange.response_received(head, data, False)
        elif data:
            exchange.response_data(data)
        stream.grant()

    def frames_read(self) -> None:
        stream = self._fresh
        if stream is None:
            return
        self._fresh = None
        head, stream.head = stream.head, None
        if stream.exchange is not None and head is not None:
            stream.exchange.response_received(head, b"", False)

    def _done(self, stream: UpstreamStream) -> None:
        """The response is complete; a request that is not, nobody reads any more."""
        if stream.state is CLOSED:
            self.remove(stream)
        else:
            self.reset(stream, ErrorCode.CANCEL)

    def stream_reset(self, stream: UpstreamStream, code: int) -> None:
        self._drop_fresh(stream)
        exchange = stream.exchange
        if exchange is None:
            return
        if code == ErrorCode.REFUSED_STREAM:
            exchange.attempt_failed(FailureKind.RESET, "the upstream refused the stream", sent=False)
        else:
            text = f"stream error: the upstream reset the stream with {code_name(code)}"
            exchange.attempt_failed(FailureKind.BAD_RESPONSE, text, sent=True, code=code)

    def stream_failed(self, stream: UpstreamStream, violation: StreamViolation) -> None:
        self._drop_fresh(stream)
        if stream.exchange is not None:
            text = f"malformed HTTP/2 response: {violation}"
            stream.exchange.attempt_failed(FailureKind.BAD_RESPONSE, text, sent=True)

    def _drop_fresh(self, stream: UpstreamStream) -> None:
        if self._fresh is stream:
            self._fresh = None

    def remove(self, stream: UpstreamStream) -> None:
        super().remove(stream)
        if self.pool.waiting:
            self.pool.has_room(self)

    def streams_over(self) -> None:
        if self._leaving:
            self.finish()
        else:
            self.http2.idle_upstreams.restart(self, self.engine.now())

    # Settings, health and ends.

    def greeting(self) -> bytes:
        settings = {
            Setting.ENABLE_PUSH: 0,
            Setting.INITIAL_WINDOW_SIZE: self.bounds.stream_window_flowing,
            Setting.MAX_HEADER_LIST_SIZE: self.limits.response_head_bytes,
        }
        return PREFACE + encode_settings(settings)

    def settings_received(self) -> None:
        """Waiting exchanges may find that there is more room than was assumed."""
        self.pool.has_room(self)

    def is_unopened(self, number: int) -> bool:
        return number >= self._next or not number & 1

    def last_stream(self) -> int:
        return 0

    def goaway_received(self, last: int, code: int) -> None:
        self.leave()
        unseen = [stream for number, stream in self.streams.items() if number > last]
        for stream in unseen:
            self.remove(stream)
            exchange = stream.exchange
            if exchange is not None:
                text = f"the upstream closes its connection ({code_name(code)})"
                exchange.attempt_failed(FailureKind.RESET, text, sent=False)

    def leave(self) -> None:
        """Take no more streams, and close when the last one is over."""
        self._take_no_more()
        self.pool.forget(self)
        if not self.streams:
            self.finish()

    def _take_no_more(self) -> None:
        self._leaving = True
        self.streams_max = 0

    def peer_allows_streams(self, count: int) -> None:
        if not self._leaving:
            self.streams_max = min(count, self.bounds.upstream_streams_max)

    def ping_answered(self) -> None:
        """That it was heard is all that counts."""

    def look_whether_silent(self) -> None:
        """Ask the upstream, if it has something to say and says nothing."""
        if not self.streams or self.closed:
            self._watched = False
        elif self._heard:
            self._heard = False
            self.http2.silences.add(self, self.engine.now())
        else:
            self.send(encode_frame(PING, 0, 0, b"silence?"))
            self.http2.pings.ensure(self, self.engine.now())

    def look_whether_dead(self) -> None:
        """It was asked a while ago."""
        if self.closed or not self.streams:
            self._watched = False
        elif self._heard:
            self._heard = False
            self.http2.silences_asked.add(self, self.engine.now())
        elif is_unacknowledged(self._transport):
            self.abort()
            self.lost(TimeoutError("no answer to PING"))
        else:
            # The app is there and does nothing: its requests may get their answers yet, but new ones go elsewhere.
            self.leave()

    def idle_too_long(self) -> None:
        """Nobody has used this connection for a while."""
        self.leave()

    def abort(self) -> None:
        self._take_no_more()
        super().abort()

    def fail(self, code: ErrorCode, text: str) -> None:
        self._take_no_more()
        self.pool.forget(self)
        super().fail(code, text)

    def lost(self, error: Exception | None) -> None:
        self._fresh = None
        self._take_no_more()
        streams, self.streams = list(self.streams.values()), {}
        if not streams:
            return
        why = str(error) if error is not None else "connection closed"
        message = f"read tcp {self.pool.authority.decode()}: {why}"
        kind = FailureKind.BAD_RESPONSE if isinstance(error, ConnectionViolation) else FailureKind.RESET
        for stream in streams:
            stream.drop_backlog()
            if stream.exchange is not None:
                stream.exchange.attempt_failed(kind, message, sent=stream.number <= self.written)
