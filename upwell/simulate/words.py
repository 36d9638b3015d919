"""The small language of the options: `KIND:NAME=VALUE,NAME=VALUE`, durations and numbers.

`steady:rate=20,for=10m` and `lognormal:p50=800ms,p99=3s` are read the same way: a kind, and the arguments that kind
has. Whatever is missing, unknown or out of range is refused with the text that was given and what there is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from upwell.policy.durations import parse_duration, seconds
from upwell.simulate.errors import InputError

__all__ = ["Call", "parse_call", "read_number", "read_seconds"]

LONGEST: Final = 400 * 86400.0
"""Seconds; nothing that the lab is told may last longer."""


@dataclass(frozen=True, slots=True)
class Call:
    """A kind with its arguments, not yet understood."""

    text: str
    kind: str
    arguments: Mapping[str, str]

    def only(self, *names: str) -> None:
        """Refuse arguments that this kind does not have."""
        for name in self.arguments:
            if name not in names:
                raise InputError(f'"{self.text}": {self.kind} has no {name}', f"it has {', '.join(names)}")

    def seconds(self, name: str, default: str | None = None, *, above_zero: bool = False) -> float:
        value = read_seconds(self._text(name, default), f'"{self.text}": {name}')
        if above_zero and value == 0:
            raise InputError(f'"{self.text}": {name} is 0', "give a time above 0")
        return value

    def number(self, name: str, default: str | None = None, *, lowest: float = 0.0, highest: float = 1e7) -> float:
        return read_number(self._text(name, default), f'"{self.text}": {name}', lowest, highest)

    def _text(self, name: str, default: str | None) -> str:
        text = self.arguments.get(name, default)
        if text is None:
            raise InputError(f'"{self.text}": {name} is missing', f"write {self.kind}:…,{name}=VALUE")
        return text


def parse_call(text: str) -> Call:
    """Read `KIND` or `KIND:NAME=VALUE,…`."""
    kind, _, rest = text.partition(":")
    arguments: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in rest.split(","))):
        name, found, value = item.partition("=")
        if not found or not name or not value:
            raise InputError(f'"{text}": "{item}" is not NAME=VALUE', "as in steady:rate=20,for=10m")
        if name in arguments:
            raise InputError(f'"{text}": {name} is given twice', "give it once")
        arguments[name] = value
    return Call(text, kind.strip(), arguments)


def read_seconds(text: str, what: str) -> float:
    """Seconds in `800ms`, `1.5s`, `2m`, `1d` or a bare number; raise InputError naming `what`."""
    days = text.removesuffix("d")
    try:
        value = float(days) * 86400 if days != text else _bare_or_unit(text)
    except (ValueError, OverflowError):
        raise InputError(f'{what}: "{text}" is not a duration', "write it as 800ms, 1.5s, 2m, 1h or 1d") from None
    if not 0 <= value <= LONGEST:
        raise InputError(f'{what}: "{text}" is out of range', "durations are from 0 to 400 days")
    return value


def _bare_or_unit(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return seconds(parse_duration(text))


def read_number(text: str, what: str, lowest: float, highest: float) -> float:
    """A finite number within bounds; raise InputError naming `what`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:  # also when it is not a number
        raise InputError(f'{what}: "{text}" is not a number from {lowest:g} to {highest:g}')
    return value
