"""JSON in and out, the compact and strict way.

Objects are encoded once for each change; the bytes are then shared by the database, by lists and by all watchers.
"""

import json
from typing import Any, Final

__all__ = ["decode", "encode"]

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def _reject(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_reject)


def encode(value: Any) -> bytes:
    return _ENCODER.encode(value).encode("ascii")


def decode(data: bytes) -> Any:
    """Raise ValueError when `data` is not JSON in UTF-8."""
    return _DECODER.decode(data.decode())
