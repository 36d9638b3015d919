"""What flags say in pairs: `NAME=value` sets, `NAME-` takes away; lists with commas are pairs one after the other."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from upwell.cli.errors import CommandError

__all__ = ["Changes", "comma_parts", "parse_changes", "set_or_drop", "split_pair"]


class Changes(NamedTuple):
    """What a flag that may be repeated adds up to."""

    set: dict[str, str]
    removed: list[str]

    def apply_to(self, values: Mapping[str, str] | None) -> dict[str, str]:
        """`values` with the changes."""
        kept = {name: value for name, value in (values or {}).items() if name not in self.removed}
        return {**kept, **self.set}


def parse_changes(flag: str, words: Iterable[str] | None, *, single: bool = False) -> Changes:
    """Read `NAME=value` and `NAME-`; with `single`, a NAME alone has an empty value. Raise CommandError."""
    changes = Changes({}, [])
    for word in words or ():
        name, equals, value = word.partition("=")
        if equals and name:
            changes.set[name] = value
        elif not equals and word.endswith("-") and len(word) > 1:
            changes.removed.append(word[:-1])
        elif single and word and not equals:
            changes.set[word] = ""
        else:
            raise CommandError(f"{flag} {word}: is no pair", f"{flag} NAME=value, or {flag} NAME- to take it away", 2)
    return changes


def comma_parts(words: Iterable[str] | None) -> list[str]:
    """The parts of a flag that may be repeated and may hold several, as in `a=1,b=2`."""
    return [part for word in words or () for part in word.split(",")]


def split_pair(flag: str, word: str) -> tuple[str, str]:
    """The two sides of `a=b`, neither empty; raise CommandError."""
    left, equals, right = word.partition("=")
    if not (left and equals and right):
        raise CommandError(f"{flag} {word}: is no pair", f"{flag} A=B", 2)
    return left, right


def set_or_drop(holder: dict[str, Any], field: str, value: Any) -> None:
    """Set a field, or leave it out where it would be empty."""
    if value:
        holder[field] = value
    else:
        holder.pop(field, None)
