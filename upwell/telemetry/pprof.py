"""Profiles in the form that `go tool pprof`, speedscope, Pyroscope and Parca read: gzipped protobuf, or folded text.

The format is `profile.proto` of github.com/google/pprof: values by stack, where a stack is a list of locations, a
location a line of a function, and all texts are numbers of entries in one table. It is a page of code to write, so
that a process which can be profiled need not load a protobuf library.
"""

import gzip
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Frame", "Stack", "encode_profile", "folded"]

Frame = tuple[str, str, int]
"""Function, file, line."""
Stack = tuple[Frame, ...]
"""The innermost frame first."""


def folded(samples: Mapping[Stack, Sequence[int]]) -> bytes:
    """One line for each stack, `outer;inner COUNT`: for flame graphs and for reading; the largest count first."""
    lines = sorted(((values[0], stack) for stack, values in samples.items()), key=lambda pair: -pair[0])
    return "".join(
        ";".join(f"{function} ({file}:{line})" for function, file, line in reversed(stack)) + f" {count}\n"
        for count, stack in lines
    ).encode()


def encode_profile(
    samples: Mapping[Stack, Sequence[int]],
    kinds: Sequence[tuple[str, str]],
    *,
    period: tuple[str, str, int],
    started: int,
    duration: int,
) -> bytes:
    """`kinds` are name and unit of the values that each stack has; `period` is name, unit and distance of samples.

    Times are nanoseconds, `started` since 1970.
    """
    return gzip.compress(_Encoder().encode(samples, kinds, period, started, duration), compresslevel=5)


class _Encoder:
    """The tables of one profile."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {"": 0}
        self._functions: dict[tuple[str, str], int] = {}
        self._locations: dict[Frame, int] = {}

    def encode(
        self,
        samples: Mapping[Stack, Sequence[int]],
        kinds: Sequence[tuple[str, str]],
        period: tuple[str, str, int],
        started: int,
        duration: int,
    ) -> bytes:
        """The message; its field numbers are those of `Profile`."""
        parts = [_message(1, self._kind(name, unit)) for name, unit in kinds]
        parts += [_message(2, self._sample(stack, values)) for stack, values in samples.items()]
        parts += [_message(4, self._location(frame, number)) for frame, number in self._locations.items()]
        parts += [_message(5, self._function(*names, number)) for names, number in self._functions.items()]
        name, unit, distance = period
        last = [
            _number(9, started),
            _number(10, duration),
            _message(11, self._kind(name, unit)),
            _number(12, distance),
        ]
        return b"".join([*parts, *(_message(6, text.encode()) for text in self._texts), *last])

    def _sample(self, stack: Stack, values: Sequence[int]) -> bytes:
        locations = (self._locations.setdefault(frame, len(self._locations) + 1) for frame in stack)
        return _packed(1, locations) + _packed(2, values)

    def _location(self, frame: Frame, number: int) -> bytes:
        function, file, line = frame
        function_number = self._functions.setdefault((function, file), len(self._functions) + 1)
        return _number(1, number) + _message(4, _number(1, function_number) + _number(2, line))

    def _function(self, function: str, file: str, number: int) -> bytes:
        name = self._text(function)
        return _number(1, number) + _number(2, name) + _number(3, name) + _number(4, self._text(file))

    def _kind(self, name: str, unit: str) -> bytes:
        return _number(1, self._text(name)) + _number(2, self._text(unit))

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _message(field, b"".join(map(_varint, values)))
