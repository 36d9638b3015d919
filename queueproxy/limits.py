"""What peers may do and for how long: the engine's bounds that an operator can set, one variable each.

The defaults are the engine's own (`upwell.http.Limits`); what a peer gets that goes beyond stands beside each.
"""

from collections.abc import Iterator
from math import inf
from typing import Final

from queueproxy.environment import Reader
from upwell.http import Limits
from upwell.http.h2.limits import RANGES, Http2Limits

__all__ = ["VARIABLES", "read_limits"]

_SIZES: Final = (
    ("UPWELL_HEAD_BYTES_MAX", "head_bytes", 512, "bytes of a request's line and fields; more: 431"),
    ("UPWELL_HEAD_FIELDS_MAX", "head_fields", 1, "fields of a request; more: 431"),
    ("UPWELL_TARGET_BYTES_MAX", "target_bytes", 1, "bytes of a request's target; more: 414"),
    ("UPWELL_RESPONSE_HEAD_BYTES_MAX", "response_head_bytes", 512, "bytes of the head of the app's answer; more: 502"),
    ("UPWELL_TRAILER_BYTES_MAX", "trailer_bytes", 0, "bytes of a request's trailers; more: 400"),
)
_TIMES: Final = (
    ("UPWELL_HEAD_TIMEOUT_SECONDS", "head_timeout", "to complete a request's head; then closed; 0: no limit"),
    ("UPWELL_BODY_IDLE_TIMEOUT_SECONDS", "body_idle_timeout", "without a byte of an upload; then 408; 0: no limit"),
    ("UPWELL_KEEP_ALIVE_TIMEOUT_SECONDS", "keep_alive_timeout", "idle client connection; then closed; 0: no limit"),
    (
        "UPWELL_CONNECT_TIMEOUT_SECONDS",
        "connect_timeout",
        "to connect to the app; then 502; 0: about 20, for 16 attempts",
    ),
)
_CALM: Final = "; more: ENHANCE_YOUR_CALM"
_HTTP2: Final = (
    ("STREAMS_MAX", "concurrent_streams", "streams of a client at once; more: REFUSED_STREAM"),
    ("STREAM_WINDOW_BYTES", "stream_window", "of an upload before anybody takes it; more: FLOW_CONTROL_ERROR"),
    ("FLOWING_WINDOW_BYTES", "stream_window_flowing", "of an upload that flows, and of each of the app's answers"),
    ("CONNECTION_WINDOW_BYTES", "connection_window", "of all streams together; more: FLOW_CONTROL_ERROR"),
    ("HEADER_FRAMES_MAX", "header_frames", f"CONTINUATION frames of a header block{_CALM}"),
    ("RAPID_RESET_SECONDS", "rapid_reset", "a request cancelled sooner counts as a rapid reset"),
    ("RESETS_BURST", "resets_burst", f"rapid resets at once{_CALM}"),
    ("RESETS_PER_SECOND", "resets_per_second", f"rapid resets in the long run{_CALM}"),
    ("CHORES_BURST", "chores_burst", f"frames that only cost work (PING, SETTINGS and others), at once{_CALM}"),
    ("CHORES_PER_SECOND", "chores_per_second", f"the same in the long run{_CALM}"),
    ("UNSENT_BYTES_MAX", "unsent_control", "answers to frames that a client does not read; more: cut"),
    ("SETTINGS_TIMEOUT_SECONDS", "settings_timeout", "to acknowledge SETTINGS; then SETTINGS_TIMEOUT; 0: no limit"),
    ("STALL_TIMEOUT_SECONDS", "stall_timeout", "of a client that takes no byte of an answer; then CANCEL; 0: no limit"),
    ("PING_INTERVAL_SECONDS", "ping_interval", "of silence from an app that has streams; then it is asked; 0: never"),
    ("PING_TIMEOUT_SECONDS", "ping_timeout", "for its answer; then new requests get another connection; 0: no limit"),
    ("PING_PAUSE_SECONDS", "ping_pause", "after its answer, without another question; 0: it is asked once"),
    ("APP_STREAMS", "upstream_streams", "streams on a connection to the app before it says how many it takes"),
    ("APP_STREAMS_MAX", "upstream_streams_max", "streams on a connection to the app; more get another connection"),
    ("DRAIN_PING_TIMEOUT_SECONDS", "drain_ping_timeout", "from the first GOAWAY to the final one; 0: no limit"),
)
"""Variables that begin with UPWELL_HTTP2_; what is lowest and highest is for `RANGES` to say."""
_DEFAULT: Final = Limits()


def _variables() -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of each."""
    for name, field, _, meaning in _SIZES:
        yield name, _text(getattr(_DEFAULT, field)), meaning
    for name, field, meaning in _TIMES:
        yield name, _text(getattr(_DEFAULT, field)), meaning
    for name, field, meaning in _HTTP2:
        yield f"UPWELL_HTTP2_{name}", _text(getattr(_DEFAULT.http2, field)), meaning


def _text(value: float) -> str:
    return str(value).removesuffix(".0")


VARIABLES: Final = tuple(_variables())


def read_limits(read: Reader, idle_connections: int) -> Limits:
    """The engine's bounds; `idle_connections` are kept to the app."""
    sizes = {field: read.count(name, getattr(_DEFAULT, field), lowest) for name, field, lowest, _ in _SIZES}
    times = {field: read.seconds(name, getattr(_DEFAULT, field)) for name, field, _ in _TIMES}
    http2 = _read_http2_limits(read)
    return Limits(idle_connections=idle_connections, http2=http2, **sizes, **times)  # type: ignore[arg-type]


def _read_http2_limits(read: Reader) -> Http2Limits:
    values: dict[str, float] = {}
    for name, field, _ in _HTTP2:
        default, variable = getattr(_DEFAULT.http2, field), f"UPWELL_HTTP2_{name}"
        lowest, highest = RANGES.get(field, (0, inf))
        if name.endswith("_SECONDS"):
            values[field] = read.seconds(variable, default)
        else:
            values[field] = read.count(variable, int(default), int(lowest), highest)
    return Http2Limits(**values)  # type: ignore[arg-type]
