"""What the kernel knows about a connection and the loop does not tell, and how to end one with a reset."""

import asyncio
import os
import select
import socket
import struct
from typing import Final

__all__ = [
    "has_ended",
    "has_news",
    "is_unacknowledged",
    "peer_has_left",
    "probe_when_silent",
    "reset_on_close",
    "unread_bytes",
]

_ENDS: Final = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", select.POLLIN)
_NEWS: Final = select.POLLIN | _ENDS

_STATES_AFTER_FIN: Final = frozenset((7, 8, 9, 11))
"""CLOSE, CLOSE_WAIT, LAST_ACK and CLOSING in the kernel's tcp_states.h."""

_UNACKNOWLEDGED: Final = slice(24, 28)
"""Segments that the peer's kernel has not acknowledged, in the kernel's tcp_info."""

_SILENCE_OPTIONS: Final[tuple[int, ...]] = tuple(
    getattr(socket, name) for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL") if hasattr(socket, name)
)
_NO_LINGER: Final = struct.pack("ii", 1, 0)


def has_news(transport: asyncio.Transport) -> bool:
    """Whether there are bytes, an end or an error on this idle connection that the loop has not told us of yet."""
    return _poll(transport, _NEWS)


def has_ended(transport: asyncio.Transport) -> bool:
    """The same of an end or an error only, where a peer may say something while nothing is asked of it.

    Where the kernel cannot tell an end from bytes (it does on Linux), bytes count as one.
    """
    return _poll(transport, _ENDS)


def _poll(transport: asyncio.Transport, events: int) -> bool:
    if transport.is_closing():
        return True
    poller = select.poll()
    poller.register(transport.get_extra_info("socket").fileno(), events)
    return bool(poller.poll(0))


def unread_bytes(transport: asyncio.Transport, limit: int) -> bytes:
    """What the peer had sent before the connection broke and nobody has read; to be called in `connection_lost`.

    With TLS that is nothing which could be understood.
    """
    if transport.get_extra_info("sslcontext") is not None:
        return b""
    fd = transport.get_extra_info("socket").fileno()
    data = b""
    try:
        while len(data) < limit:
            piece = os.read(fd, limit)
            if not piece:
                break
            data += piece
    except OSError:
        pass
    return data


def peer_has_left(transport: asyncio.Transport) -> bool:
    """Whether the kernel has seen the peer's FIN or RST, unread bytes or not (Linux; elsewhere it cannot be told)."""
    raw = transport.get_extra_info("socket")
    if not hasattr(socket, "TCP_INFO"):
        return False
    state: int = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in _STATES_AFTER_FIN


def is_unacknowledged(transport: asyncio.Transport) -> bool:
    """Whether the peer's kernel owes an acknowledgement of what was sent, as one that is gone does for ever.

    Where it cannot be told (it can on Linux), it does.
    """
    if transport.is_closing() or not hasattr(socket, "TCP_INFO"):
        return True
    info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKNOWLEDGED.stop)
    return any(info[_UNACKNOWLEDGED])


def probe_when_silent(transport: asyncio.Transport, seconds: int) -> None:
    """Let the kernel ask after `seconds` of silence, and each so many again, whether the peer is still there."""
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in _SILENCE_OPTIONS:
        raw.setsockopt(socket.IPPROTO_TCP, option, seconds)


def reset_on_close(transport: asyncio.Transport) -> None:
    """Let the connection's end be a reset, which no peer takes for the end of a body."""
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
