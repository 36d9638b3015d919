"""Reading single variables: each kind of value once, with an error that names variable, value and what would be right.

A `Reader` gathers what is wrong instead of stopping at the first, so that one start tells everything; a wrong value
reads as a harmless one meanwhile.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from upwell.ports import ConfigError

__all__ = ["Reader"]

_TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_SECONDS_MAX: Final = 86_400.0
COUNT_MAX: Final = 2**31 - 1

Value = TypeVar("Value")


class Reader:
    """Reads variables of one environment; `errors` is what was wrong."""

    def __init__(self, env: Mapping[str, str], meaning: Callable[[str], str]) -> None:
        """`meaning` says what a variable is good for."""
        self._env = env
        self._meaning = meaning
        self.errors: list[str] = []

    def text(self, name: str, *, required: bool = False) -> str:
        if required and name not in self._env:
            self.errors.append(f"{name} is not set: give the {self._meaning(name)}")
        return self._env.get(name, "")

    def integer(self, name: str, *, required: bool = False) -> int:
        text = self.text(name, required=required)
        if name not in self._env:
            return 0
        try:
            return _parse_integer(text)
        except ValueError:
            self.errors.append(f'{name}="{text}": not a whole number; give the {self._meaning(name)}')
            return 0

    def count(self, name: str, default: int, lowest: int, highest: float = COUNT_MAX) -> int:
        """A bound of our own; none is above COUNT_MAX."""
        highest = min(highest, COUNT_MAX)
        text = self._env.get(name) or str(default)
        if text.isascii() and text.isdigit() and lowest <= int(text) <= highest:
            return int(text)
        self.errors.append(f'{name}="{text}": not a whole number from {lowest} to {highest}')
        return default

    def port(self, name: str) -> int:
        text = self.text(name, required=True)
        if text.isascii() and text.isdigit() and 0 < int(text) <= 65535:
            return int(text)
        if name in self._env:
            self.errors.append(f'{name}="{text}": not a port; give a number from 1 to 65535')
        return 1

    def boolean(self, name: str) -> bool:
        text = self._env.get(name, "false")
        if text not in _TRUE | _FALSE:
            self.errors.append(f'{name}="{text}": not a switch; give true or false')
        return text in _TRUE

    def seconds(self, name: str, default: float) -> float:
        text = self._env.get(name) or str(default)
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if 0 <= value < _SECONDS_MAX:
            return value
        self.errors.append(f'{name}="{text}": not a number of seconds from 0 to 86400')
        return default

    def with_errors(self, default: Callable[[], Value], read: Callable[[], Value]) -> Value:
        """What `read` gives, or `default` when it raises ConfigError."""
        try:
            return read()
        except ConfigError as error:
            self.errors.append(str(error))
            return default()


def _parse_integer(text: str) -> int:
    """An integer as Go writes it: 12, -3, 0x1f, 0b11, 0o17, and 017 for fifteen; raise ValueError."""
    if not text.isascii() or text != text.strip():
        raise ValueError("Python reads digits of other scripts and blanks; Go does not")
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567"
    value = int(text, 8 if octal else 0)
    if not -(2**63) <= value < 2**63:
        raise ValueError("Go's integers have 64 bits")
    return value
