"""The writing half of a client's connection: how a response is framed, and how the connection ends.

Whether the client's connection is used again is decided here, when a response begins, for its head has to say so. It
is not when the client does not want it, the answer is a last one, the engine drains, the response ends with the
connection (for an HTTP/1.0 client), or more of the request is still to come than is worth reading.
"""

from typing import TYPE_CHECKING, Any

from upwell.http.answers import error_response
from upwell.http.connection import Connection
from upwell.http.deadlines import DeadlineQueue
from upwell.http.encode import encode_response_head
from upwell.http.errors import BadRequestError
from upwell.http.exchange import Exchange
from upwell.http.flow import BODY_HELD, CLIENT_FULL, PEER_FULL, PIPELINE_FULL
from upwell.http.message import HTTP_1_0, ResponseHead, is_bodyless
from upwell.http.request_reader import RequestReader
from upwell.http.states import DownstreamState
from upwell.http.transports import reset_on_close

if TYPE_CHECKING:
    from upwell.http.engine import Engine

__all__ = ["DownstreamWriter"]

_IDLE = DownstreamState.IDLE
_LINGERING = DownstreamState.LINGERING
_CLOSED = DownstreamState.CLOSED


class DownstreamWriter(Connection):
    """Writes responses to a client, and ends its connection so that they arrive."""

    __slots__ = ("_deadline", "_discarded", "_engine", "_keep_alive", "_reader", "_until_close_out", "state")

    def __init__(self, engine: "Engine") -> None:
        super().__init__(engine.limits)
        self.state = _IDLE
        self._engine = engine
        self._reader: RequestReader
        self._deadline: DeadlineQueue[Any] | None = None
        """The connection's own deadline, where it has one: for a head, a body, a next request, or an end."""
        self._keep_alive = True
        self._until_close_out = False
        """Whether the response that is being written ends with the connection."""
        self._discarded = 0

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
            or (
                self._reader.body is not None
                and (exchange.awaits_continue or (ended and not self._reader.worth_reading()))
            )
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

    def cut(self, code: int | None = None) -> None:
        if self._until_close_out:
            # Only a reset tells such a client that there should have been more.
            reset_on_close(self._transport)
            self._abort()
        else:
            self._close()

    # The end.

    def _reject(self, error: BadRequestError) -> None:
        """Answer what is no request, or must not be one."""
        self._count(error.reason)
        text = f"{error}\n".encode()
        head = error_response(self._engine.component, error.status, error.reason, text)
        self._transport.write(encode_response_head(head, chunked=False, bare=False, connection=b"close") + text)
        self._linger()

    def _count(self, reason: str) -> None:
        refused = self._engine.refused
        refused[reason] = refused.get(reason, 0) + 1

    def _linger(self) -> None:
        """Say no more, but read on for a while: closing with unread input would reset the answer away."""
        self.state = _LINGERING
        self._reader.drop()
        self._discarded = 0
        self._flow.release(PEER_FULL | BODY_HELD | PIPELINE_FULL | CLIENT_FULL)
        if not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._wait_in(self._engine.lingers)

    def _close(self) -> None:
        """Close when what was written is out, or a while later."""
        self.state = _CLOSED
        self._reader.drop()
        self._wait_in(self._engine.lingers if self._transport.get_write_buffer_size() else None)
        self._transport.close()

    def _abort(self) -> None:
        """Close now, whatever was written."""
        self.state = _CLOSED
        self._transport.abort()

    def timed_out(self) -> None:
        """The deadline for a head, a next request, or an end has passed."""
        self._deadline = None
        self._abort()

    def _wait_in(self, queue: DeadlineQueue[Any] | None) -> None:
        """Have this deadline, and no other."""
        if self._deadline is not None:
            self._deadline.discard(self)
        self._deadline = queue
        if queue is not None:
            queue.add(self, self._engine.now())
