"""Numbers and booleans as the contract spells them in config maps and annotations.

Accepted are the decimal forms: `10`, `-1`, `0.5`, `.5`, `1e2`. Infinities, NaN, hexadecimal and underscored numbers
are refused, which the reference takes: none of them is a sane setting, and a NaN target would poison each decision.
Error texts are the reference's, since users search for them.
"""

import math
import re
from typing import Final

__all__ = ["INT32_MAX", "INT32_MIN", "format_float", "parse_bool", "parse_float", "parse_int32"]

INT32_MAX: Final = 2**31 - 1
INT32_MIN: Final = -(2**31)

_FLOAT: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d+", re.ASCII)
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def parse_bool(text: str) -> bool:
    """True for 1, t, true and the like; raise ValueError for what is neither true nor false."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def parse_float(text: str) -> float:
    """A finite decimal number; raise ValueError."""
    if not _FLOAT.fullmatch(text):
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    value = float(text)
    if math.isinf(value):
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": value out of range')
    return value


def parse_int32(text: str) -> int:
    """A whole number of 32 bits; raise ValueError, or OverflowError when it is whole but does not fit."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text)
    if not INT32_MIN <= value <= INT32_MAX:
        raise OverflowError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def format_float(value: float) -> str:
    """The shortest text that reads back as `value`, without a trailing `.0`."""
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)
