"""What one client sends, taken apart into heads and bodies. Bytes in, requests out; no socket, no loop, no clock.

    read_head(data) ─▶ a RequestHead, or None as long as some of it is missing
         │ has it a `body`?
    read_body(data) ─▶ bytes of it, until `body` is None; then there are `trailers`
         │
    read_head(b"")  ─▶ the next request, out of what was sent ahead (`pending`)

The same bytes mean the same, however they were cut. What breaks a rule raises BadRequestError, and nothing can be read
after that.

A client that keeps its connection often sends the same head again: comparing it to the last one replaces parsing and
checking. Only so many connections remember one, those that were busy last; thousands of idle ones must cost nothing.
"""

from typing import Final

from upwell.http.body import BodyReader, ChunkedReader, LengthReader, MalformedBodyError
from upwell.http.errors import BadRequestError
from upwell.http.framing import request_head_end
from upwell.http.limits import Limits
from upwell.http.message import Fields, RequestHead, read_request_head

__all__ = ["HeadMemory", "RequestReader"]

_REMEMBERING_MAX: Final = 512
"""Heads that are kept at a time, some KiB each."""

_HTTP_2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\n"
"""How a client begins that speaks HTTP/2 with prior knowledge; the head of a request that never was one."""


class HeadMemory:
    """Who remembers a head, of all connections of an engine, the oldest first."""

    __slots__ = ("_readers",)

    def __init__(self) -> None:
        self._readers: dict[RequestReader, None] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def add(self, reader: "RequestReader") -> None:
        """Make room for `reader`, if it has none."""
        if reader in self._readers:
            return
        if len(self._readers) >= _REMEMBERING_MAX:
            next(iter(self._readers)).forget()
        self._readers[reader] = None

    def discard(self, reader: "RequestReader") -> None:
        self._readers.pop(reader, None)


class RequestReader:
    """Reads the requests of one connection, one after the other."""

    __slots__ = ("_head", "_limits", "_memory", "_peer", "_peer_port", "_request", "body", "pending", "trailers")

    def __init__(self, limits: Limits, memory: HeadMemory, peer: str, peer_port: int) -> None:
        """`peer` is the client's address, for the requests to carry."""
        self.pending = b""
        """What was read and has not had its turn: the begin of a head, some of a body, or requests sent ahead."""
        self.body: BodyReader | None = None
        """Reads the body of the last request, as long as that is incomplete."""
        self.trailers: Fields = []
        """Those of the body that was read to its end."""
        self._limits = limits
        self._memory = memory
        self._peer = peer
        self._peer_port = peer_port
        self._head = b""
        self._request: RequestHead | None = None

    def read_head(self, data: bytes) -> RequestHead | None:
        """Take in `data`; the next request, if all of its head is here. What follows it is `pending`."""
        if self.pending:
            data = self.pending + data
        self.pending = data
        end = request_head_end(data, self._limits)
        if not end:
            return None
        if end == len(data):
            head = data
            self.pending = b""
        else:
            head = data[:end]
            self.pending = data[end:]
        request = self._request
        if request is not None and head == self._head:
            request.repeated = True
        else:
            request = self._read_new(head)
        if request.chunked:
            self.body = ChunkedReader(self._limits.trailer_bytes)
        elif request.length:
            self.body = LengthReader(request.length)
        return request

    def _read_new(self, head: bytes) -> RequestHead:
        try:
            request = read_request_head(head, self._peer, self._peer_port)
        except BadRequestError:
            self.pending = head + self.pending
            raise
        if len(request.headers) > self._limits.head_fields:
            raise BadRequestError(431, "head-too-large", "too many header fields")
        self._memory.add(self)
        self._head = head
        self._request = request
        return request

    def read_body(self, data: bytes) -> bytes:
        """Take in `data`, of a body that is incomplete, behind what is pending; as much of the body as there is."""
        body = self.body
        assert body is not None
        if self.pending:
            data = self.pending + data
            self.pending = b""
        try:
            piece = body.feed(data)
        except MalformedBodyError as error:
            self.body = None
            raise BadRequestError(400, "malformed", str(error)) from error
        if body.ended:
            self.body = None
            self.pending = body.rest
            self.trailers = body.trailers
        return piece

    def read_ahead(self, data: bytes) -> int:
        """Keep what came before its turn; how many bytes wait now."""
        self.pending += data
        return len(self.pending)

    def worth_reading(self) -> bool:
        """Whether the rest of a body that nobody wants is short enough to be read only to keep the connection."""
        left = self.body.remaining() if self.body is not None else 0
        return left is not None and left <= self._limits.discarded_bytes

    def speaks_http2(self) -> bool:
        """After a request that was none: whether it was the preface of HTTP/2, which was made to be none."""
        return self.pending.startswith(_HTTP_2_PREFACE)

    def drop(self) -> bytes:
        """Give away what is pending, and read no body further."""
        pending, self.pending = self.pending, b""
        self.body = None
        return pending

    def forget(self) -> None:
        """Remember no head; others need the room, or the connection is gone."""
        self._memory.discard(self)
        self._head = b""
        self._request = None
