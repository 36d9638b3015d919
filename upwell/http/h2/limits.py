"""What an HTTP/2 peer is allowed to do. Every bound that HTTP/1 does not have is a field here.

Sizes are in bytes, times in seconds; a time of 0 switches that limit off, a size or a count is always a bound. Sizes
of heads, the keep-alive time and the buffers' marks are those of `Limits`. What each bound protects from is said with
it; a peer that breaks one loses its stream or its connection as named.
"""

from dataclasses import dataclass, fields
from math import inf
from typing import Final

__all__ = ["RANGES", "Http2Limits"]

_WINDOW_MAX: Final = 2**31 - 1

RANGES: Final[dict[str, tuple[float, float]]] = {
    "concurrent_streams": (1, _WINDOW_MAX),
    "stream_window": (1024, _WINDOW_MAX),
    "stream_window_flowing": (1024, _WINDOW_MAX),
    "connection_window": (65_535, _WINDOW_MAX),
    "header_frames": (1, inf),
    "resets_burst": (1, inf),
    "chores_burst": (1, inf),
    "unsent_control": (16_384, inf),
    "upstream_streams": (1, _WINDOW_MAX),
    "upstream_streams_max": (1, _WINDOW_MAX),
}
"""The lowest and highest values that make sense; fields that are not here are any number from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Limits:
    """Bounds on one connection and its streams; the defaults suit a sidecar. Raises ValueError, see `RANGES`."""

    concurrent_streams: int = 250
    """Streams a client may have open at once; one more is refused (REFUSED_STREAM), and can safely be sent again."""
    stream_window: int = 64 * 1024 - 1
    """Of a request's body: what a client may send before anybody takes it. Times `concurrent_streams`, this bounds
    the memory that a connection full of waiting uploads can take."""
    stream_window_flowing: int = 256 * 1024
    """The same once the body flows on, and of every response from an upstream."""
    connection_window: int = 1024 * 1024
    """Of all streams together, for what is under way. It is given back at once and not as bodies flow on: else a few
    waiting uploads would stop all the others, the one that they wait for included."""

    header_frames: int = 32
    """CONTINUATION frames of one header block; more is a flood: the connection ends with ENHANCE_YOUR_CALM."""
    rapid_reset: float = 1.0
    """A request that its client cancels sooner than this counts as "rapid reset"; one that has had its time does not,
    for that is what deadlines are for, and no more of those fit into a second than `concurrent_streams`."""
    resets_burst: int = 1000
    """Rapid resets at once; beyond, ENHANCE_YOUR_CALM …"""
    resets_per_second: float = 33.0
    """… unless they come slowly enough. The same pair of numbers as in nghttp2."""
    chores_burst: int = 2000
    """Frames that only cost work, at once: SETTINGS, PING, PRIORITY, unknown ones, empty DATA, frames on closed
    streams, and DATA that we must send in crumbs as the peer opens its window by a few bytes. Beyond,
    ENHANCE_YOUR_CALM …"""
    chores_per_second: float = 500.0
    """… unless they come slowly enough."""
    unsent_control: int = 1024 * 1024
    """Bytes that wait for a peer that does not read, above which the connection is cut."""

    settings_timeout: float = 10.0
    """For the peer to acknowledge our SETTINGS; then SETTINGS_TIMEOUT."""
    stall_timeout: float = 300.0
    """How long response bytes may wait for a client that opens no window, or reads nothing at all. Then the stream is
    reset with CANCEL. The exchange's own deadlines run beside it."""
    ping_interval: float = 15.0
    """An upstream connection that has streams and says nothing for so long is asked by PING …"""
    ping_timeout: float = 15.0
    """… and takes no new streams when it says nothing for that long again. If not even its kernel has acknowledged the
    PING, it is gone, and its streams with it; else the app is busy, and they have their own deadlines."""
    ping_pause: float = 310.0
    """After an answer to PING, how long none is sent: gRPC servers close connections that ask a quiet stream more than
    twice in 300 s."""
    upstream_streams: int = 100
    """Streams opened on an upstream connection before its SETTINGS say how many it takes."""
    upstream_streams_max: int = 1000
    """Streams on one upstream connection, however many it takes; more get a connection of their own."""
    drain_ping_timeout: float = 1.0
    """While draining: how long a client may take to have seen the first GOAWAY, before the second one is final."""

    def __post_init__(self) -> None:
        for each in fields(self):
            lowest, highest = RANGES.get(each.name, (0, inf))
            value = getattr(self, each.name)
            if not lowest <= value <= highest:
                raise ValueError(f"{each.name} must be from {lowest:g} to {highest:g}, and is {value!r}")
