"""Reading a config map: one `Settings` per map hands out typed values and names what cannot be read.

Every setting has a default, older CamelCase spellings still count where there are any (the hyphenated one wins), and
unknown keys are ignored (contract: control-plane.md 11). A value that cannot be read raises SettingError with the
config map, the key, the value and what would be right.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import yaml

from upwell.api.quantity import QuantityError, canonical_quantity
from upwell.policy.durations import is_whole_seconds, parse_duration, seconds
from upwell.policy.quantities import parse_bool
from upwell.ports import ConfigError

__all__ = ["SMALLEST", "SettingError", "Settings"]

Value = TypeVar("Value")
_LARGEST: Final = 2**63 - 1
SMALLEST: Final = -(2**63)
"""The bound of a whole number that has none."""
_INTEGER: Final = re.compile("[+-]?[0-9]+")


class SettingError(ConfigError):
    """A value in a config map cannot be used."""

    def __init__(self, config_map: str, key: str, value: Any, right: str) -> None:
        super().__init__(f'{config_map}: {key}="{value}" {right}')


class Settings:
    """The values of one config map."""

    def __init__(self, config_map: str, data: Mapping[str, str]) -> None:
        self.config_map = config_map
        self._data = data

    def error(self, key: str, right: str) -> SettingError:
        """That the value of `key` cannot be used; `right` completes the sentence: "must be …"."""
        return SettingError(self.config_map, key, self._data.get(key, ""), right)

    def text(self, key: str, default: str = "", *aliases: str) -> str:
        found = self._find(key, aliases)
        return default if found is None else self._data[found]

    def document(self, key: str, right: str) -> Any:
        """The value as YAML; None when it is empty. `right` is what it must be, as in `error`."""
        try:
            return yaml.safe_load(self.text(key))
        except yaml.YAMLError:
            raise self.error(key, right) from None

    def flag(self, key: str, default: bool, *aliases: str) -> bool:
        return self._read(key, aliases, default, parse_bool, "must be true or false")

    def integer(self, key: str, default: int, *aliases: str, low: int = 0, high: int = _LARGEST) -> int:
        right = f"must be a whole number{_bounds(low, high)}"
        value = self._read(key, aliases, default, _parse_integer, right)
        if not low <= value <= high:
            raise self.error(self._find(key, aliases) or key, right)
        return value

    def duration(self, key: str, default: float, *aliases: str, positive: bool = False, whole: bool = False) -> float:
        """Seconds; a value that is not `positive`, or not in `whole` seconds, is refused where that is asked for."""
        right = "must be a duration" + (" above zero" if positive else "") + (" in whole seconds" if whole else "")
        found = self._find(key, aliases)
        if found is None:
            return default
        nanoseconds = self._read(key, aliases, 0, parse_duration, f"{right}, for example 90s or 1m30s")
        if (positive and nanoseconds <= 0) or (whole and not is_whole_seconds(nanoseconds)):
            raise self.error(found, f"{right}, for example 90s or 1m30s")
        return seconds(nanoseconds)

    def quantity(self, key: str, *aliases: str) -> str | None:
        """The canonical quantity; None when it is not set."""
        return self._read(key, aliases, None, canonical_quantity, 'must be a quantity, for example "500m" or "128Mi"')

    def choice(self, key: str, default: str, choices: Mapping[str, str], *aliases: str, any_case: bool = True) -> str:
        """The choice that the value stands for."""
        found = self._find(key, aliases)
        if found is None:
            return default
        value = self._data[found].lower() if any_case else self._data[found]
        if value not in choices:
            raise self.error(found, f"must be one of: {', '.join(filter(None, choices))}")
        return choices[value]

    def _find(self, key: str, aliases: tuple[str, ...]) -> str | None:
        return next((name for name in (key, *aliases) if name in self._data), None)

    def _read(
        self, key: str, aliases: tuple[str, ...], default: Value, parse: Callable[[str], Value], right: str
    ) -> Value:
        found = self._find(key, aliases)
        if found is None:
            return default
        try:
            return parse(self._data[found])
        except (ValueError, QuantityError):
            raise self.error(found, right) from None


def _bounds(low: int, high: int) -> str:
    if low == SMALLEST:
        return f", at most {high}" if high != _LARGEST else ""
    return f" from {low} to {high}" if high != _LARGEST else f" from {low}"


def _parse_integer(text: str) -> int:
    """Python alone would take spaces, underscores and the digits of other scripts, too."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)
