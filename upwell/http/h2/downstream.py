"""The client's side over HTTP/2: one connection, many streams, each an exchange of its own.

A request's head, and the body that came in the same read, go to the application together, so that they leave
together. When the client cancels a stream its exchange ends at once; the connection goes on.

    OPEN ──drain: GOAWAY for streams to come, PING──▶ LEAVING ──answered, or a second later: GOAWAY──▶ LEFT ──▶ closed
                                                   (new streams are taken)                   (none is) when all are done
"""

import asyncio
import logging
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from upwell.http.answers import error_response
from upwell.http.errors import BadRequestError, Outcome
from upwell.http.exchange import Exchange
from upwell.http.h2.codes import PASSED_ON, ConnectionViolation, ErrorCode, StreamViolation
from upwell.http.h2.connection import Http2Connection, Setting
from upwell.http.h2.fields import encode_pseudo
from upwell.http.h2.frames import PING, PREFACE, encode_frame, encode_goaway, encode_reset, encode_settings
from upwell.http.h2.headers import BlockReader
from upwell.http.h2.heads import Http2Request, Http2Response, check_trailers, encode_response, make_request
from upwell.http.h2.shared import Allowance
from upwell.http.h2.stream import CLOSED, HALF_CLOSED_REMOTE, OPEN, SEND_END, TRANSITIONS, Event, Stream, next_state
from upwell.http.message import ResponseHead, is_bodyless
from upwell.http.sides import Application
from upwell.http.tunnel import Tunnel

if TYPE_CHECKING:
    from upwell.http.engine import Engine

__all__ = ["DownstreamStream", "Http2Downstream"]

_log = logging.getLogger("upwell.http")

_STREAM_MAX: Final = 2**31 - 1
_DRAIN_PING: Final = b"drained?"


class _Leaving(IntEnum):
    """Where the connection's end stands; the picture is in the module's docstring."""

    OPEN = 0
    LEAVING = 1
    LEFT = 2


class DownstreamStream(Stream["Http2Downstream"]):
    """One request of the client: the downstream side of its exchange."""

    __slots__ = ()

    def start_response(self, exchange: Exchange, head: ResponseHead, body: bytes, ended: bool) -> None:
        block = (head.block or head.encode()) if type(head) is Http2Response else encode_response(head)
        if body and is_bodyless(head.status, exchange.request.method):
            body = b""
        if ended:
            self.send_message(block, body)
            return
        self.connection.send_block(self.number, block, False)
        if body:
            self.send_body(body)

    def send_informational(self, head: ResponseHead) -> None:
        self.connection.send_block(self.number, encode_response(head), False)

    def send_continue(self) -> None:
        self.connection.send_block(self.number, encode_pseudo(b":status", b"100"), False)

    def cut(self, code: int | None = None) -> None:
        self.connection.reset(self, code if code in PASSED_ON else ErrorCode.INTERNAL_ERROR)

    def finished(self) -> None:
        """The exchange is over; what is left to send goes out without it."""
        self.exchange = None

    def writable(self, writable: bool) -> None:
        if self.exchange is not None:
            self.exchange.downstream_writable(writable)

    def sent_end(self) -> None:
        following = TRANSITIONS[self.state][SEND_END]
        assert following is not None, "we have ended it before"
        if following is CLOSED:
            self.connection.remove(self)
        else:
            # The answer is complete, and nobody wants the rest of the request (RFC 9113, 8.1).
            self.connection.reset(self, ErrorCode.NO_ERROR)

    def stalled(self) -> None:
        exchange = self.exchange
        self.connection.reset(self, ErrorCode.CANCEL)
        if exchange is not None:
            exchange.downstream_ended(Outcome.CLIENT_GONE)

    def start_tunnel(self, head: ResponseHead, tunnel: Tunnel) -> None:
        """Never called: HTTP/2 requests do not upgrade."""

    def send_raw(self, data: bytes) -> None:
        """Never called: there is no tunnel."""

    def send_eof(self) -> None:
        """Never called: there is no tunnel."""


class Http2Downstream(Http2Connection[DownstreamStream]):
    """Reads a client's requests and writes the responses, many at once."""

    def __init__(self, engine: "Engine", app: Application) -> None:
        super().__init__(engine)
        self._app = app
        self._preface_left = PREFACE
        self._last = 0
        """The highest stream that the client has opened."""
        self._fresh: DownstreamStream | None = None
        """Its request is not with the application yet, for more of it may be in this read."""
        self._leaving = _Leaving.OPEN
        self._resets = Allowance(self.bounds.resets_burst, self.bounds.resets_per_second, engine.now())
        self._requests: BlockReader[Http2Request]

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer, port = "", 0
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            peer, port = name[:2]
        limits = self.limits
        self._requests = BlockReader(
            lambda fields, ended: make_request(fields, ended, peer, port, limits), limits.head_bytes
        )
        super().connection_made(transport)
        self.engine.connections[self] = None
        self.http2.keep_alives.add(self, self.engine.now())
        if self.engine.draining:
            self.drain()

    def data_received(self, data: bytes) -> None:
        if self._preface_left:
            expected = self._preface_left[: len(data)]
            if not data.startswith(expected):
                self.abort()
                return
            self._preface_left = self._preface_left[len(expected) :]
            data = data[len(expected) :]
        super().data_received(data)

    def pause_writing(self) -> None:
        """Who does not read its answers gets no more of them."""
        super().pause_writing()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.closed:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.http2.keep_alives.discard(self)
        self.http2.goaways.discard(self)
        self.engine.connection_lost(self)

    # From frames to exchanges.

    def headers_received(self, number: int, block: bytes, ended: bool) -> None:
        if self._fresh is not None:
            self._admit(self._fresh)
        if number <= self._last or not number & 1:
            self._later_headers(number, block, ended)
            return
        self._last = number
        try:
            request = self._requests.head(block, ended)
        except StreamViolation as violation:
            self._refuse(number, violation.code)
            return
        except BadRequestError as error:
            self._answer_error(number, error, ended)
            return
        if len(self.streams) >= self.bounds.concurrent_streams or self._leaving is _Leaving.LEFT:
            self._refuse(number, ErrorCode.REFUSED_STREAM)
            return
        stream = self._open(number, ended)
        engine = self.engine
        stream.exchange = Exchange(engine, self._app, stream, request, engine.now())
        if ended:
            self._admit(stream)
        else:
            # A body of unknown length that turns out to be none is none.
            stream.expected = request.length
            self._fresh = stream

    def _open(self, number: int, ended: bool) -> DownstreamStream:
        streams = self.streams
        if not streams:
            self.http2.keep_alives.discard(self)
        state = HALF_CLOSED_REMOTE if ended else OPEN
        stream = streams[number] = DownstreamStream(self, number, self.bounds.stream_window, state)
        return stream

    def _admit(self, stream: DownstreamStream) -> None:
        """Give the request to the application."""
        self._fresh = None
        exchange = stream.exchange
        assert exchange is not None
        self.engine.in_flight += 1
        try:
            self._app.request_received(exchange)
        except Exception:
            _log.exception("the application failed in request_received")
            exchange.fail(500, "internal", b"internal error\n")

    def _refuse(self, number: int, code: int) -> None:
        self.forget(number)
        self.send(encode_reset(number, code))
        self.chore()

    def _answer_error(self, number: int, error: BadRequestError, ended: bool) -> None:
        text = f"{error}\n".encode()
        head = error_response(self.engine.component, error.status, error.reason, text)
        self._open(number, ended).send_message(encode_response(head), text)

    def _later_headers(self, number: int, block: bytes, ended: bool) -> None:
        """A block that opens no stream: trailers, or one too many."""
        stream = self.streams.get(number)
        if stream is not None:
            self._trailers_received(stream, block, ended)
        elif not number & 1:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "a client's stream has an odd number")
        elif self.is_forgotten(number):
            self._requests.fields(block)
            self.chore()
        else:
            raise ConnectionViolation(ErrorCode.STREAM_CLOSED, "HEADERS on a stream that is over")

    def _trailers_received(self, stream: DownstreamStream, block: bytes, ended: bool) -> None:
        fields = self._requests.fields(block)
        try:
            stream.state = next_state(stream.state, Event.RECEIVE_HEADERS)
            trailers = check_trailers(fields, self.limits.trailer_bytes)
            if not ended:
                raise StreamViolation(ErrorCode.PROTOCOL_ERROR, "trailers that do not end the stream")
            stream.received_end()
        except StreamViolation as violation:
            self.violated(stream, violation)
            return
        if stream.exchange is not None:
            stream.exchange.request_ended(trailers)

    def body_received_on(self, stream: DownstreamStream, data: bytes, ended: bool) -> None:
        exchange = stream.exchange
        if exchange is None:
            return
        if data:
            exchange.request_data(data)
        if not ended:
            stream.grant()
            return
        exchange.request_ended([])
        if stream is self._fresh:
            self._admit(self._fresh)

    def frames_read(self) -> None:
        if self._fresh is not None:
            self._admit(self._fresh)

    def stream_reset(self, stream: DownstreamStream, code: int) -> None:
        exchange, now = stream.exchange, self.engine.now()
        self._end_exchange(stream, Outcome.CLIENT_GONE)
        rapid = exchange is None or now - exchange.started < self.bounds.rapid_reset
        if rapid and self._resets.used_up(now):
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many requests are cancelled")

    def stream_failed(self, stream: DownstreamStream, violation: StreamViolation) -> None:
        self._end_exchange(stream, Outcome.BAD_REQUEST)
        self.chore()

    def _end_exchange(self, stream: DownstreamStream, outcome: Outcome) -> None:
        if stream is self._fresh:
            # Nobody has heard of it yet.
            self._fresh = None
        elif stream.exchange is not None:
            stream.exchange.downstream_ended(outcome)

    def streams_over(self) -> None:
        if self._leaving is _Leaving.LEFT:
            self.finish()
        else:
            self.http2.keep_alives.restart(self, self.engine.now())

    # Settings and ends.

    def greeting(self) -> bytes:
        return encode_settings(
            {
                Setting.MAX_CONCURRENT_STREAMS: self.bounds.concurrent_streams,
                Setting.INITIAL_WINDOW_SIZE: self.bounds.stream_window,
                Setting.MAX_HEADER_LIST_SIZE: self.limits.head_bytes,
            }
        )

    def settings_received(self) -> None:
        """Nothing waits for the client's settings."""

    def is_unopened(self, number: int) -> bool:
        return number > self._last or not number & 1

    def last_stream(self) -> int:
        return self._last

    def goaway_received(self, last: int, code: int) -> None:
        """The client takes no pushes, of which there are none; it will close when it is done."""

    def peer_allows_streams(self, count: int) -> None:
        """We open none here."""

    def ping_answered(self) -> None:
        self.finish_drain()

    def lost(self, error: Exception | None) -> None:
        self._end_all(Outcome.CLIENT_GONE)

    def idle_too_long(self) -> None:
        """The client has no stream, and has had none for a while."""
        self.finish()

    def drain(self) -> None:
        """Take what is under way, then no more; the connection closes when that is done."""
        if self._leaving is _Leaving.OPEN and not self.closed:
            self._leaving = _Leaving.LEAVING
            self.send(encode_goaway(_STREAM_MAX, ErrorCode.NO_ERROR))
            self.send(encode_frame(PING, 0, 0, _DRAIN_PING))
            self.http2.goaways.add(self, self.engine.now())

    def finish_drain(self) -> None:
        """The client knows: what it opens from now on it can send elsewhere."""
        if self._leaving is not _Leaving.LEAVING or self.closed:
            return
        self._leaving = _Leaving.LEFT
        self.http2.goaways.discard(self)
        if self.streams:
            self.send(encode_goaway(self._last, ErrorCode.NO_ERROR))
        else:
            self.finish()

    def give_up(self) -> None:
        """Drain is out of time."""
        self.abort()
        self._end_all(Outcome.ABORTED)

    def _end_all(self, outcome: Outcome) -> None:
        for stream in list(self.streams.values()):
            stream.drop_backlog()
            self._end_exchange(stream, outcome)
        self.streams.clear()
