"""The three state machines of HTTP/1, as tables: a client's connection, an upstream's connection, an exchange.

A table says where each state may lead; the pictures are in the modules that live by them. The engine changes states
by plain assignment, for a look-up at each change would be felt in every request. That no assignment leaves the tables
is seen to by the unit tests, which check each one that is made while they run.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

__all__ = [
    "DOWNSTREAM_TRANSITIONS",
    "EXCHANGE_TRANSITIONS",
    "UPSTREAM_TRANSITIONS",
    "DownstreamState",
    "ExchangeState",
    "UpstreamState",
]


class DownstreamState(IntEnum):
    """Where a client's connection stands."""

    IDLE = 0
    """Between requests: what is read is, or begins, the next one's head."""
    BUSY = 1
    """An exchange is under way."""
    DISCARDING = 2
    """It is over, but not the request's body: a short rest is read and dropped, to keep the connection."""
    UPGRADING = 3
    """The rest of a request is read, to be answered over HTTP/2."""
    TUNNEL = 4
    """Bytes are bytes, after 101."""
    LINGERING = 5
    """The last answer is out; what still comes is dropped, so that no reset takes the answer away."""
    CLOSED = 6


class UpstreamState(IntEnum):
    """Where a connection to an upstream stands."""

    IDLE = 0
    """In the pool: nothing is to come."""
    AWAITING = 1
    """A request was sent, or some of it; the response's head is next."""
    READING = 2
    """The response's body is coming."""
    TUNNEL = 3
    """Bytes are bytes, after 101."""
    CLOSED = 4


class ExchangeState(IntEnum):
    """Where an exchange stands."""

    PARKED = 0
    """Nobody has decided yet what becomes of it, or an attempt has failed and it is to be decided again."""
    CONNECTING = 1
    """Forwarded; it waits for a connection."""
    SENT = 2
    """Its upstream has the request, or some of it."""
    RESPONDING = 3
    """The client gets the response."""
    TUNNEL = 4
    """Bytes are bytes, after 101."""
    ENDED = 5


_D, _U, _E = DownstreamState, UpstreamState, ExchangeState

# fmt: off
DOWNSTREAM_TRANSITIONS: Final[Mapping[DownstreamState, frozenset[DownstreamState]]] = {
    _D.IDLE:       frozenset((_D.BUSY, _D.UPGRADING, _D.LINGERING, _D.CLOSED)),
    _D.BUSY:       frozenset((_D.IDLE, _D.DISCARDING, _D.TUNNEL, _D.LINGERING, _D.CLOSED)),
    _D.DISCARDING: frozenset((_D.IDLE, _D.CLOSED)),
    _D.UPGRADING:  frozenset((_D.BUSY, _D.LINGERING, _D.CLOSED)),
    _D.TUNNEL:     frozenset((_D.CLOSED,)),
    _D.LINGERING:  frozenset((_D.CLOSED,)),
    _D.CLOSED:     frozenset((_D.CLOSED,)),
}
UPSTREAM_TRANSITIONS: Final[Mapping[UpstreamState, frozenset[UpstreamState]]] = {
    _U.IDLE:     frozenset((_U.AWAITING, _U.CLOSED)),
    _U.AWAITING: frozenset((_U.READING, _U.IDLE, _U.TUNNEL, _U.CLOSED)),
    _U.READING:  frozenset((_U.IDLE, _U.CLOSED)),
    _U.TUNNEL:   frozenset((_U.CLOSED,)),
    _U.CLOSED:   frozenset((_U.CLOSED,)),
}
EXCHANGE_TRANSITIONS: Final[Mapping[ExchangeState, frozenset[ExchangeState]]] = {
    _E.PARKED:     frozenset((_E.CONNECTING, _E.SENT, _E.RESPONDING, _E.ENDED)),
    _E.CONNECTING: frozenset((_E.PARKED, _E.SENT, _E.RESPONDING, _E.ENDED)),
    _E.SENT:       frozenset((_E.PARKED, _E.RESPONDING, _E.TUNNEL, _E.ENDED)),
    _E.RESPONDING: frozenset((_E.ENDED,)),
    _E.TUNNEL:     frozenset((_E.ENDED,)),
    _E.ENDED:      frozenset(),
}
# fmt: on
