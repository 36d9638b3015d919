"""What peers may do and for how long: the engine's bounds that an operator can set, one variable each.

The defaults are the engine's own (`upwell.http.Limits`); what a peer gets that goes beyond stands beside each.
"""

from typing import Final

from queueproxy.environment import Reader
from upwell.http import Limits

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
_DEFAULT: Final = Limits()

VARIABLES: Final = tuple(
    (variable, f"{getattr(_DEFAULT, field):g}", meaning)
    for variable, field, meaning in (*((name, field, meaning) for name, field, _, meaning in _SIZES), *_TIMES)
)


def read_limits(read: Reader, idle_connections: int) -> Limits:
    """The engine's bounds; `idle_connections` are kept to the app."""
    sizes = {field: read.count(name, getattr(_DEFAULT, field), lowest) for name, field, lowest, _ in _SIZES}
    times = {field: read.seconds(name, getattr(_DEFAULT, field)) for name, field, _ in _TIMES}
    return Limits(idle_connections=idle_connections, **sizes, **times)  # type: ignore[arg-type]
