"""What both sides' HTTP/1.1 connections have in common: a transport, its flow control, and how a body is written."""

import asyncio
from typing import Final, cast

from upwell.http.encode import encode_chunk, encode_last_chunk
from upwell.http.exchange import Exchange
from upwell.http.flow import PEER_FULL, FlowControl
from upwell.http.limits import Limits
from upwell.http.message import Fields
from upwell.http.tunnel import Tunnel

__all__ = ["Connection"]

_JOIN_MAX: Final = 16 * 1024
"""Up to this size one copy is cheaper than a second buffer."""


class Connection(asyncio.Protocol):
    """One TCP connection that speaks HTTP/1.1, and the exchange that it carries now."""

    __slots__ = ("_chunked_out", "_exchange", "_flow", "_limits", "_transport", "_tunnel", "write_paused")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._transport: asyncio.Transport
        self._flow: FlowControl
        self._exchange: Exchange | None = None
        self._tunnel: Tunnel | None = None
        self._chunked_out = False
        """Whether the body that is being written goes out in chunks."""
        self.write_paused = False
        """Whether more is waiting to be sent than should be."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._flow = FlowControl(self._transport)
        self._transport.set_write_buffer_limits(self._limits.write_high_water, self._limits.write_low_water)

    def write_with_body(self, head: bytes, body: bytes) -> None:
        """Write a head and the body bytes that came with it, in one write."""
        if not body:
            self._transport.write(head)
        elif len(body) > _JOIN_MAX:
            self._transport.write(head)
            self.send_body(body)
        elif self._chunked_out:
            self._transport.write(head + encode_chunk(body))
        else:
            self._transport.write(head + body)

    def send_body(self, data: bytes) -> None:
        """Write a piece of the body, which is not empty."""
        if not self._chunked_out:
            self._transport.write(data)
        elif len(data) <= _JOIN_MAX:
            self._transport.write(encode_chunk(data))
        else:
            self._transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))

    def end_body(self, trailers: Fields) -> None:
        """The body is complete."""
        if self._chunked_out:
            self._transport.write(encode_last_chunk(trailers))

    def send_raw(self, data: bytes) -> None:
        """Write bytes of a tunnel."""
        self._transport.write(data)

    def send_eof(self) -> None:
        """Write no more, but read on; TLS has no such state, so there it is the end."""
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def hold(self, hold: bool) -> None:
        """Whether reading has to wait because the other side is full."""
        if hold:
            self._flow.hold(PEER_FULL)
        else:
            self._flow.release(PEER_FULL)
