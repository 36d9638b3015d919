"""What the engine allows a peer to do, and for how long. Every bound of the proxy engine is a field here.

Sizes are in bytes, times in seconds. A time of 0 switches that limit off; a size is always a bound. The status
that a client gets is named where there is one; a limit without a status closes the connection.
"""

from dataclasses import dataclass, field

from upwell.http.h2.limits import Http2Limits

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on connections, heads, bodies in passing and waiting; the defaults suit a sidecar."""

    head_bytes: int = 128 * 1024
    """Request line and fields together; more is 431."""
    target_bytes: int = 32 * 1024
    """The request target alone; more is 414."""
    head_fields: int = 256
    """Field lines in a request's head; more is 431."""
    response_head_bytes: int = 256 * 1024
    """Status line and fields of an upstream's answer; more counts as a bad response (502)."""
    trailer_bytes: int = 16 * 1024
    """The trailer section of a chunked body; more is 400 from a client and a cut answer from an upstream."""

    head_timeout: float = 60.0
    """From the first byte of a head, or from a connection's start, to the head's end. The connection is closed."""
    body_idle_timeout: float = 60.0
    """How long a client may send nothing of a body that it has announced, as long as it is being read and no response
    has begun; then 408. A client that waits for `100 Continue`, or for us, is not the one to blame."""
    keep_alive_timeout: float = 180.0
    """How long a client's connection may stay without a request. Above the 90 s that our own pools keep one, so
    that of two Upwell hops it is always the calling one that closes."""
    connect_timeout: float = 0.0
    """To open a connection to an upstream, all attempts together (`upwell.http.dial`); then the application hears of
    CONNECT_TIMEOUT. Without it they take some 20 s."""
    continue_timeout: float = 1.0
    """How long an upstream may take to answer `Expect: 100-continue` before the engine says 100 itself."""
    connections_opening: int = 16
    """Connections to one upstream that are being opened at once; whoever needs more waits for one of them, or for one
    that is given back."""
    idle_connections: int = 1000
    """Kept-alive connections per upstream."""
    idle_connections_total: int = 100_000
    """Kept-alive connections to all upstreams; past it the one unused longest is closed."""
    idle_connection_timeout: float = 90.0
    """How long a kept-alive connection to an upstream may stay unused."""
    linger_timeout: float = 5.0
    """After a last answer: how long what the client still sends is read and thrown away, so that the answer is not
    lost to a reset."""
    half_closed_timeout: float = 60.0
    """How long a tunnel of which one side has ended may stay without traffic from the other."""

    held_bytes: int = 64 * 1024
    """Of a waiting request's body, or of pipelined requests: what is read before the socket is paused. One read more
    than that may be in memory."""
    retained_bytes: int = 64 * 1024
    """How much of a request body is kept after sending, so that it can be sent again; a longer one is never retried."""
    discarded_bytes: int = 256 * 1024
    """Of a body that nobody wants any more: what is read to keep the client's connection in use."""
    write_high_water: int = 64 * 1024
    """Bytes waiting to be sent to one peer above which the other is no longer read."""
    write_low_water: int = 16 * 1024
    """Bytes below which it is read again."""
    listen_backlog: int = 4096
    """Connections the kernel may hold before they are accepted."""

    http2: Http2Limits = field(default_factory=Http2Limits)
    """What is bounded beside all this where HTTP/2 is spoken."""
