"""The shape of objects: which fields there are, and of what type.

A schema is built from `STRING`, `INTEGER`, `INT32`, `BOOLEAN`, `QUANTITY`, `INT_OR_STRING`, `ANYTHING`, `list_of`,
`map_of` and `struct`. `Shape.read` walks an object along its schema and returns it in the form in which the reference
stores it, with what it found on the way:

- a value of a wrong type is a `Mismatch`: its path, the value, and what would be right;
- a field that the schema does not have is left out and its path listed as unknown;
- null and, unless the field is marked with `kept`, empty values are left out; a field with a default gets it.

So one description answers three questions: what the user wrote wrongly, what the API server would drop, and what two
spellings of the same object have in common.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from upwell.api.field_errors import at, at_index
from upwell.api.quantity import QuantityError, canonical_quantity

__all__ = [
    "ANYTHING",
    "BOOLEAN",
    "INT32",
    "INTEGER",
    "INT_OR_STRING",
    "QUANTITY",
    "STRING",
    "Mismatch",
    "Reading",
    "Shape",
    "defaulted",
    "kept",
    "list_of",
    "map_of",
    "open_struct",
    "opened",
    "struct",
]

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A value of a wrong type."""

    path: str
    value: Any
    expected: str

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.value)} must be {self.expected}"


@dataclass(slots=True)
class Reading:
    """What was found in one object."""

    mismatches: list[Mismatch] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Shape:
    """The type of a value; see the module."""

    expected: str
    """What a user should write, to complete "must be …"."""
    item: "Shape | None" = None
    fields: Mapping[str, "Shape"] | None = None
    empty_is_kept: bool = False
    open: bool = False
    """Whether unknown fields are dropped without a word."""
    default: Any = _ABSENT

    @property
    def is_list(self) -> bool:
        return self.expected == _LIST

    def read(self, value: Any, path: str, reading: Reading) -> Any:
        """The value as it would be stored; the reading grows by what is wrong with it."""
        if self.expected == "anything":
            return value
        if self.expected == _QUANTITY:
            return _read_quantity(self, value, path, reading)
        if isinstance(value, float) and value.is_integer() and self.expected in _WHOLE:
            value = int(value)  # JSON knows no other numbers: 100.0 is 100
        if not _TYPES[self.expected](value):
            reading.mismatches.append(Mismatch(path, value, self.expected))
            return value
        if self.fields is not None:
            return self._read_fields(value, path, reading)
        if self.expected == _LIST:
            assert self.item is not None
            item = self.item
            # The reference reads a null element as an empty one.
            return [
                item.read(_nothing_of(item) if element is None else element, at_index(path, index), reading)
                for index, element in enumerate(value)
            ]
        if self.expected == _MAP:
            assert self.item is not None
            item = self.item
            return {
                str(name): item.read(_nothing_of(item) if element is None else element, at(path, str(name)), reading)
                for name, element in value.items()
            }
        return value

    def _read_fields(self, value: Mapping[str, Any], path: str, reading: Reading) -> dict[str, Any]:
        assert self.fields is not None
        if not self.open:
            reading.unknown += [at(path, str(name)) for name in value if name not in self.fields]
        result = {}
        for name, shape in self.fields.items():
            given = value.get(name)
            if given is None:
                if shape.default is not _ABSENT:
                    result[name] = shape.read(shape.default, at(path, name), reading)
                continue
            read = shape.read(given, at(path, name), reading)
            if shape.empty_is_kept or shape.default is not _ABSENT or read not in _EMPTY:
                result[name] = read
        return result


_EMPTY: Final[tuple[Any, ...]] = ("", 0, False, [], {})
_LIST: Final = "a list"
_MAP: Final = "a map"
_QUANTITY: Final = 'a quantity, for example "500m" or "128Mi"'

STRING: Final = Shape("a text (put it in quotes)")
INTEGER: Final = Shape("a whole number (without quotes)")
INT32: Final = Shape("a whole number (without quotes) below 2147483648")
BOOLEAN: Final = Shape("true or false (without quotes)")
QUANTITY: Final = Shape(_QUANTITY, empty_is_kept=True)
INT_OR_STRING: Final = Shape("a number or a name", empty_is_kept=True)
ANYTHING: Final = Shape("anything", empty_is_kept=True)

_WHOLE: Final = (INTEGER.expected, INT32.expected, INT_OR_STRING.expected)
_TYPES: Final = {
    STRING.expected: lambda value: isinstance(value, str),
    INTEGER.expected: lambda value: _is_whole(value, 63),
    INT32.expected: lambda value: _is_whole(value, 31),
    BOOLEAN.expected: lambda value: isinstance(value, bool),
    INT_OR_STRING.expected: lambda value: isinstance(value, str) or _is_whole(value, 31),
    _LIST: lambda value: isinstance(value, list),
    _MAP: lambda value: isinstance(value, dict),
}


def _is_whole(value: Any, bits: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**bits) <= value < 2**bits


def kept(shape: Shape) -> Shape:
    """The same, but an empty value (0, false, "", {}) is said and stays."""
    return replace(shape, empty_is_kept=True)


def defaulted(shape: Shape, default: Any) -> Shape:
    """The same, and there is always a value."""
    return replace(shape, default=default)


def list_of(item: Shape) -> Shape:
    return Shape(_LIST, item=item)


def map_of(item: Shape) -> Shape:
    return Shape(_MAP, item=item)


def struct(**fields: Shape) -> Shape:
    """A map with these fields; kept when empty, as what points to nothing differs from what points to nothing much."""
    return Shape(_MAP, fields=fields, empty_is_kept=True)


def open_struct(**fields: Shape) -> Shape:
    """The same, where fields beyond these are nobody's mistake."""
    return replace(struct(**fields), open=True)


def opened(shape: Shape) -> Shape:
    """The same, where unknown fields are nobody's mistake at any depth."""
    item = None if shape.item is None else opened(shape.item)
    fields = None if shape.fields is None else {name: opened(field) for name, field in shape.fields.items()}
    return replace(shape, item=item, fields=fields, open=fields is not None)


def _read_quantity(shape: Shape, value: Any, path: str, reading: Reading) -> Any:
    try:
        if isinstance(value, bool):
            raise QuantityError(value)
        return canonical_quantity(str(value))
    except QuantityError:
        reading.mismatches.append(Mismatch(path, value, shape.expected))
        return value


def _nothing_of(shape: Shape) -> Any:
    if shape.expected == _LIST:
        return []
    return {} if shape.expected == _MAP else "" if shape.expected == STRING.expected else None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}" (a text)'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    return "null" if value is None else str(value)
