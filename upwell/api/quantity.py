"""Kubernetes quantities: `250m`, `1`, `1.5Gi`, `2e3`.

The canonical form keeps the family of the suffix (decimal, binary, exponent), uses its largest member that leaves a
whole number, and rounds up what is finer than a thousand-millionth.
"""

import math
import re
from fractions import Fraction
from typing import Any, Final

__all__ = ["QuantityError", "canonical_quantity", "format_quantity", "parse_quantity"]

_PATTERN: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(|[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)", re.ASCII)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


class QuantityError(ValueError):
    """A text that is no quantity."""

    def __init__(self, text: Any) -> None:
        super().__init__(f'"{text}" is not a quantity, for example "500m" or "128Mi"')


def parse_quantity(text: str) -> Fraction:
    """The exact number; raise QuantityError."""
    number, suffix = _split(text)
    return number * _factor(suffix)


def canonical_quantity(text: str) -> str:
    """The form in which the API stores it; raise QuantityError."""
    number, suffix = _split(text)
    return format_quantity(
        number * _factor(suffix), binary=suffix in _BINARY, exponent=suffix[:1] in ("e", "E") and len(suffix) > 1
    )


def format_quantity(value: Fraction, *, binary: bool = False, exponent: bool = False) -> str:
    """The canonical text of a number, with decimal suffixes (`m`, `k`, `M`), binary ones or exponents."""
    if value == 0:
        return "0"
    if binary and abs(value) >= 1024 and value.denominator == 1:
        for suffix, power in sorted(_BINARY.items(), key=lambda item: -item[1]):
            if value % 2**power == 0:
                return f"{value / 2**power}{suffix}"
        return str(value)
    nano = math.ceil(value * 10**9) if value > 0 else math.floor(value * 10**9)
    power = -9
    while nano % 1000 == 0 and power < 18:
        nano //= 1000
        power += 3
    if exponent:
        return f"{nano}e{power}" if power else str(nano)
    suffix = next(name for name, known in _DECIMAL.items() if known == power)
    return f"{nano}{suffix}"


def _split(text: str) -> tuple[Fraction, str]:
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise QuantityError(text)
    return Fraction(match.group(1)), match.group(2)


def _factor(suffix: str) -> Fraction:
    if suffix in _BINARY:
        return Fraction(2 ** _BINARY[suffix])
    power = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
    return Fraction(10) ** power
