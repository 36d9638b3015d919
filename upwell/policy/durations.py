"""Durations as the contract spells them: `90s`, `1m30s`, `1.5h`, `100ms`.

Parsed to whole nanoseconds, so that `0.3s` is exactly three times `100ms` and precision checks are exact; the
rest of the program works in seconds as floats. `format_duration` prints the reference's canonical form, in which
one hour is `1h0m0s`.
"""

import re
from typing import Final

__all__ = ["NANOSECONDS", "format_duration", "is_whole_seconds", "parse_duration", "seconds"]

NANOSECONDS: Final = 1_000_000_000
"""Nanoseconds in a second."""

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": NANOSECONDS,
    "m": 60 * NANOSECONDS,
    "h": 3600 * NANOSECONDS,
}
_PART: Final = re.compile(r"(\d*)(?:(\.)(\d*))?([^\d.]*)", re.ASCII)
_LONGEST: Final = 2**63 - 1


def parse_duration(text: str) -> int:
    """Nanoseconds in `text`; raise ValueError with the reference's words."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        part = _PART.match(rest)
        assert part is not None  # the pattern also matches nothing
        whole, _, fraction, unit = part.groups()
        if not whole and not fraction:
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += int(whole or "0") * _UNITS[unit]
        if fraction:
            total += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
        rest = rest[part.end() :]
    if total > _LONGEST:
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text[0] == "-" else total


def seconds(nanoseconds: int) -> float:
    return nanoseconds / NANOSECONDS


def is_whole_seconds(nanoseconds: int) -> bool:
    return nanoseconds % NANOSECONDS == 0


def format_duration(nanoseconds: int) -> str:
    """`1h0m0s`, `6.5s`, `100ms`: the largest unit that leaves no leading zero; below a second, one unit only."""
    sign, size = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if size == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if size < _UNITS[unit] * 1000:
            return f"{sign}{_decimal(size, _UNITS[unit])}{unit}"
    minutes, rest = divmod(size, _UNITS["m"])
    text = f"{_decimal(rest, NANOSECONDS)}s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
