"""After `101 Switching Protocols`: bytes are bytes, both ways, until both sides have ended.

Either side may stop speaking and still listen, so an end is passed on as an end (half-close), not as a close. A tunnel
of which one side has ended and the other stays silent is given up after `Limits.half_closed_timeout`. Back-pressure is
that of every exchange, and so are its deadlines: the total bound holds, and traffic either way restarts the idle one.
"""

from typing import TYPE_CHECKING

from upwell.http.message import ResponseHead
from upwell.http.sides import DownstreamSide, UpstreamSide

if TYPE_CHECKING:
    from upwell.http.engine import Engine
    from upwell.http.exchange import Exchange

__all__ = ["Tunnel", "protocol_mismatch"]


def protocol_mismatch(asked: bytes | None, answer: ResponseHead) -> str:
    """Why this 101 does not open a tunnel for who `asked` for these protocols; empty: it does (RFC 9110, 7.8)."""
    if asked is None:
        return "backend switched protocols, which nobody asked for"
    switched = answer.fields.get(b"upgrade", b"") if b"upgrade" in answer.tokens(b"connection") else b""
    if switched and switched.lower() in [each.strip() for each in asked.lower().split(b",")]:
        return ""
    names = switched.decode("latin-1"), asked.decode("latin-1")
    return 'backend tried to switch protocol "{}" when "{}" was requested'.format(*names)


class Tunnel:
    """Joins the two sides of one exchange."""

    __slots__ = ("_downstream", "_engine", "_exchange", "_half_closed", "_upstream")

    def __init__(
        self, engine: "Engine", exchange: "Exchange", downstream: DownstreamSide, upstream: UpstreamSide
    ) -> None:
        self._engine = engine
        self._exchange = exchange
        self._downstream = downstream
        self._upstream = upstream
        self._half_closed = False

    def downstream_data(self, data: bytes) -> None:
        """The client says something."""
        self._exchange.request_bytes += len(data)
        self._traffic()
        self._upstream.send_raw(data)

    def upstream_data(self, data: bytes) -> None:
        """The upstream says something."""
        self._exchange.response_bytes += len(data)
        self._traffic()
        self._downstream.send_raw(data)

    def downstream_eof(self) -> None:
        """The client has nothing more to say."""
        if self._half_close():
            self._upstream.send_eof()

    def upstream_eof(self) -> None:
        """The upstream has nothing more to say."""
        if self._half_close():
            self._downstream.send_eof()

    def closed(self) -> None:
        """One side's connection is gone, or both have ended."""
        self._exchange.tunnel_ended()

    def ended(self) -> None:
        """The exchange is over."""
        self._engine.half_closed.discard(self)

    def _traffic(self) -> None:
        self._exchange.progressed()
        if self._half_closed:
            self._engine.half_closed.restart(self, self._engine.now())

    def _half_close(self) -> bool:
        """One side has ended; False when that was the second."""
        if self._half_closed:
            self.closed()
            return False
        self._half_closed = True
        self._engine.half_closed.add(self, self._engine.now())
        return True
