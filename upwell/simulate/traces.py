"""What came when: the traffic that a policy is tried on, as files hold it.

Two layouts, told apart by the header line:

- requests: the columns `arrival_s` and `duration_s`, in any order and among others. `arrival_s` is in seconds, from
  the start of the trace or in Unix time; `duration_s` is how long the app works on the request, without any wait.
- counts per minute: the layout of the public Azure Functions 2019 traces, `HashOwner,HashApp,HashFunction,Trigger`
  and then the minutes `1`, `2`, … with a line for each function.

A file whose name ends in `.gz` is unpacked. Lines may be out of order, and are put in order. Whatever cannot be true
(negative, not a number, no value) is refused with its file and line.
"""

import csv
import gzip
import io
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TextIO

from upwell.simulate.errors import InputError
from upwell.simulate.words import LONGEST

__all__ = ["MinuteCounts", "Requests", "make_requests", "read_trace"]

REQUESTS_MOST: Final = 50_000_000
"""Requests simulated one by one; each takes 24 bytes and some microseconds."""
COUNT_MOST: Final = 1_000_000_000
FUNCTIONS_MOST: Final = 1_000_000
UNIX_TIMES: Final = 1e7
"""Seconds (116 days); a trace that begins later counts in Unix time, and begins at its first arrival."""
REQUEST_COLUMNS: Final = ("arrival_s", "duration_s")
COUNT_COLUMNS: Final = ("HashOwner", "HashApp", "HashFunction", "Trigger")
_HINT: Final = "the header line is `arrival_s,duration_s`, or `HashOwner,HashApp,HashFunction,Trigger,1,2,…`"


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests one by one, in order of arrival; both arrays are as long as there are requests."""

    name: str
    arrivals: "array[float]" = field(repr=False)
    """Seconds since the simulation's start, ascending."""
    durations: "array[float]" = field(repr=False)
    """Seconds that the app works on each."""
    out_of_order: int = 0
    """Lines of the file that came before the one above them."""


@dataclass(frozen=True, slots=True)
class MinuteCounts:
    """How many requests came in each minute, for one function."""

    name: str
    counts: Sequence[int] = field(repr=False)


class Rows(Protocol):
    """A csv.reader."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...


def make_requests(name: str, arrivals: "array[float]", durations: "array[float]") -> Requests:
    """Put requests in order, and their times on the simulation's clock; raise InputError when there are none."""
    if not arrivals:
        raise InputError(f"{name}: no requests in it", "give at least one line after the header")
    out_of_order = sum(map(float.__gt__, arrivals, memoryview(arrivals)[1:]))
    if out_of_order:
        order = sorted(range(len(arrivals)), key=arrivals.__getitem__)
        arrivals, durations = (array("d", map(values.__getitem__, order)) for values in (arrivals, durations))
    if arrivals[0] >= UNIX_TIMES:
        start = arrivals[0] // 1
        arrivals = array("d", (arrival - start for arrival in arrivals))
    if arrivals[-1] > LONGEST:
        raise InputError(f"{name}: it spans {arrivals[-1] / 86400:.0f} days", "400 days are the most; cut it")
    return Requests(name, arrivals, durations, out_of_order)


def read_trace(path: Path) -> Requests | list[MinuteCounts]:
    """Read either layout; raise InputError with file and line for the first thing that is wrong."""
    with _open(path) as file:
        rows = csv.reader(file)
        try:
            header = [name.strip() for name in next(rows, [])]
            if set(REQUEST_COLUMNS) <= set(header):
                return _read_requests(path, header, rows)
            if tuple(header[: len(COUNT_COLUMNS)]) == COUNT_COLUMNS:
                return _read_counts(path, header, rows)
        except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            raise InputError(f"{path}:{rows.line_num + 1}: cannot be read: {error}", "is it a CSV in UTF-8?") from error
    given = ",".join(header)
    raise InputError(f"{path}:1: {f'the header is `{given:.60}`' if given else 'the file is empty'}", _HINT)


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    try:
        raw = path.open("rb")
        packed = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        file = io.TextIOWrapper(packed, encoding="utf-8-sig", newline="")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "name the trace, or use --generate") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    with raw, file:
        yield file


def _read_requests(path: Path, header: list[str], rows: Rows) -> Requests:
    arrival_column, duration_column = (header.index(name) for name in REQUEST_COLUMNS)
    arrivals, durations = array("d"), array("d")
    add_arrival, add_duration = arrivals.append, durations.append
    for row in rows:
        try:
            arrival, duration = float(row[arrival_column]), float(row[duration_column])
        except (ValueError, IndexError):
            if not row:
                continue
            raise _bad_row(path, rows.line_num, header, row) from None
        if not (0.0 <= arrival < 1e18 and 0.0 <= duration < 1e18):  # NaN fails as well
            raise _bad_row(path, rows.line_num, header, row)
        add_arrival(arrival)
        add_duration(duration)
        if len(arrivals) > REQUESTS_MOST:
            raise InputError(
                f"{path}:{rows.line_num}: more than {REQUESTS_MOST} requests", "cut it, or give counts per minute"
            )
    return make_requests(str(path), arrivals, durations)


def _bad_row(path: Path, line: int, header: list[str], row: list[str]) -> InputError:
    for name in REQUEST_COLUMNS:
        column = header.index(name)
        text = row[column].strip() if column < len(row) else ""
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e18:
            problem = f'{name} is "{text:.40}"' if text else f"{name} is missing"
            return InputError(f"{path}:{line}: {problem}", "give a number of seconds from 0, such as 12.5")
    raise AssertionError("the row is fine")


def _read_counts(path: Path, header: list[str], rows: Rows) -> list[MinuteCounts]:
    labels = len(COUNT_COLUMNS)
    minutes = len(header) - labels
    expected = [str(minute) for minute in range(1, minutes + 1)]
    if not minutes or header[labels:] != expected:
        raise InputError(f"{path}:1: the columns after Trigger are not 1, 2, 3, …", _HINT)
    functions: list[MinuteCounts] = []
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            problem = f"{len(row)} columns, where the header has {len(header)}"
            raise InputError(f"{path}:{rows.line_num}: {problem}", "give one count for each minute")
        name = row[2].strip() or f"line {rows.line_num}"
        functions.append(MinuteCounts(name, _counts(path, rows.line_num, row[labels:])))
        if len(functions) > FUNCTIONS_MOST:
            raise InputError(f"{path}:{rows.line_num}: more than {FUNCTIONS_MOST} functions", "cut the file")
    if not any(any(function.counts) for function in functions):
        raise InputError(f"{path}: no requests in it", "give at least one line with a count above 0")
    return functions


def _counts(path: Path, line: int, cells: list[str]) -> "array[int]":
    try:
        counts = array("q", map(int, cells))
    except (ValueError, OverflowError):
        counts = array("q", (-1,))
    if min(counts) < 0 or max(counts) > COUNT_MOST:
        minute = next(number for number, cell in enumerate(cells, 1) if not _is_count(cell))
        problem = f'{path}:{line}: minute {minute} is "{cells[minute - 1]:.40}"'
        raise InputError(problem, f"give a whole number from 0 to {COUNT_MOST}")
    return counts


def _is_count(cell: str) -> bool:
    try:
        return 0 <= int(cell) <= COUNT_MOST
    except ValueError:
        return False
