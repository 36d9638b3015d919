"""What is wrong with an object, field by field, in the words of the contract.

A `FieldError` is a message, the paths it is about, and details. `FieldErrors` collects them. Its text is one line
`message: path, path` for each, with the details on a line of their own; errors that differ only in their paths become
one, and all are sorted, so that the same object always gets the same answer (contract: control-plane.md 2).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Denied", "FieldError", "FieldErrors", "at", "at_index", "go_text"]


class Denied(Exception):  # noqa: N818  # it is an answer, not a fault
    """An object is refused; the text says why, for the user."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong."""

    message: str
    paths: tuple[str, ...]
    details: str = ""

    def __str__(self) -> str:
        line = f"{self.message}: {', '.join(self.paths)}"
        return f"{line}\n{self.details}" if self.details else line


def at(path: str, field: str) -> str:
    """The path of a field below `path`."""
    return f"{path}.{field}" if path else field


def at_index(path: str, index: int | str) -> str:
    """The path of an element of the list at `path`."""
    return f"{path}[{index}]"


def go_text(value: Any) -> str:
    """A value as the contract's messages print it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


class FieldErrors:
    """All that is wrong with one object."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    def __iter__(self) -> Iterator[FieldError]:
        return iter(_merged(self._errors))

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def raise_if_any(self) -> None:
        """Raise Denied with the whole text when there is anything."""
        if self._errors:
            raise Denied(str(self))

    def add(self, message: str, *paths: str, details: str = "") -> None:
        self._errors.append(FieldError(message, paths, details))

    def extend(self, errors: Iterable[FieldError]) -> None:
        self._errors.extend(errors)

    def missing(self, *paths: str) -> None:
        self.add("missing field(s)", *paths)

    def disallowed(self, *paths: str, details: str = "") -> None:
        self.add("must not set the field(s)", *paths, details=details)

    def invalid(self, value: Any, path: str, details: str = "") -> None:
        self.add(f"invalid value: {go_text(value)}", path, details=details)

    def invalid_key(self, key: str, path: str, details: str = "") -> None:
        self.add(f'invalid key name "{key}"', path, details=details)

    def out_of_bounds(self, value: Any, low: Any, high: Any, path: str) -> None:
        self.add(f"expected {go_text(low)} <= {go_text(value)} <= {go_text(high)}", path)

    def missing_one_of(self, *paths: str) -> None:
        self.add("expected exactly one, got neither", *paths)

    def multiple_one_of(self, *paths: str) -> None:
        self.add("expected exactly one, got both", *paths)


def _merged(errors: Iterable[FieldError]) -> list[FieldError]:
    paths: dict[tuple[str, str], set[str]] = {}
    for error in errors:
        paths.setdefault((error.message, error.details), set()).update(error.paths)
    return [FieldError(message, tuple(sorted(paths[message, details])), details) for message, details in sorted(paths)]
