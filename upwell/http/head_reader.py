"""From the bytes of a head to the request, remembering the last one.

A client that keeps its connection often sends the same head again, and the same bytes mean the same: comparing them
replaces parsing and checking. Only so many connections remember, those that were busy last; thousands of idle ones
must cost nothing.
"""

from typing import Final

from upwell.http.errors import BadRequestError
from upwell.http.limits import Limits
from upwell.http.message import RequestHead, read_request_head

__all__ = ["HeadMemory", "HeadReader"]

_REMEMBERING_MAX: Final = 512
"""Heads that are kept at a time, some KiB each."""


class HeadMemory:
    """Who remembers a head, of all connections of an engine, the oldest first."""

    __slots__ = ("_readers",)

    def __init__(self) -> None:
        self._readers: dict[HeadReader, None] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def add(self, reader: "HeadReader") -> None:
        """Make room for `reader`, if it has none."""
        if reader in self._readers:
            return
        if len(self._readers) >= _REMEMBERING_MAX:
            next(iter(self._readers)).forget()
        self._readers[reader] = None

    def discard(self, reader: "HeadReader") -> None:
        self._readers.pop(reader, None)


class HeadReader:
    """Reads the heads of one client's connection."""

    __slots__ = ("_head", "_limits", "_memory", "_peer", "_peer_port", "_request")

    def __init__(self, limits: Limits, memory: HeadMemory, peer: str, peer_port: int) -> None:
        self._limits = limits
        self._memory = memory
        self._peer = peer
        self._peer_port = peer_port
        self._head = b""
        self._request: RequestHead | None = None

    def read(self, head: bytes) -> RequestHead:
        """The request of one complete head, its empty line included; raise BadRequestError."""
        request = self._request
        if request is not None and head == self._head:
            request.repeated = True
            return request
        request = read_request_head(head, self._peer, self._peer_port)
        if len(request.headers) > self._limits.head_fields:
            raise BadRequestError(431, "head-too-large", "too many header fields")
        self._memory.add(self)
        self._head = head
        self._request = request
        return request

    def forget(self) -> None:
        """Remember nothing; others need the room, or the connection is gone."""
        self._memory.discard(self)
        self._head = b""
        self._request = None
