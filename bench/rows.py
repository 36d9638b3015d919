"""What a row of the bench is, and how rows are told: on the terminal and in bench/RESULTS.md.

A module of rows ends with `ROWS`, a tuple of `Measure`: a name for `--only`, what it measures, the commands it needs,
and the function that measures. That function gets the `Bench` and gives back a `Row`: figures with their targets, and
what was seen of each contestant. To add rows, add such a module to the `SUITE` in `bench.queueproxy`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

__all__ = [
    "KEPT_WAITING",
    "Bench",
    "Figure",
    "Measure",
    "Row",
    "Series",
    "UnmeasuredError",
    "at_least",
    "at_most",
    "beside",
    "details",
    "summary",
]

KEPT_WAITING = "kept waiting"
"""The share of a turn that a contestant could have run, but somebody else was on its core."""
DISTURBED = 0.1
"""Of that, from where on the machine was not quiet."""


class UnmeasuredError(Exception):
    """A contestant or a tool did something that leaves nothing to measure; says who and what."""


@dataclass(frozen=True, slots=True)
class Bench:
    """How this run measures."""

    folder: Path
    """For configurations, sockets and logs of the contestants; gone afterwards."""
    rounds: int
    seconds: int
    """Length of a turn."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, and what it should be."""

    what: str
    value: float
    target: float | None
    low_is_good: bool
    form: str = "{:.2f}"
    by_the_clock: bool = True
    """Whether a busy machine changes it."""

    @property
    def met(self) -> bool | None:
        """None if there is nothing to meet."""
        if self.target is None:
            return None
        return self.value <= self.target if self.low_is_good else self.value >= self.target

    @property
    def target_text(self) -> str:
        return "" if self.target is None else f"{'≤' if self.low_is_good else '≥'} {self.form.format(self.target)}"


def at_least(what: str, value: float, target: float | None, form: str = "{:.2f}") -> Figure:
    return Figure(what, value, target, low_is_good=False, form=form)


def at_most(what: str, value: float, target: float | None, form: str = "{:.2f}", by_the_clock: bool = True) -> Figure:
    return Figure(what, value, target, low_is_good=True, form=form, by_the_clock=by_the_clock)


@dataclass(slots=True)
class Series:
    """What was measured of one contestant: {column: a value per turn}."""

    name: str
    columns: dict[str, list[float]] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        for column, value in values.items():
            self.columns.setdefault(column, []).append(value)

    def median(self, column: str) -> float:
        return median(self.columns[column])

    def share_of(self, other: "Series", column: str) -> float:
        """The median of the ratios turn by turn, since both of a turn met the same machine."""
        return median(own / theirs for own, theirs in zip(self.columns[column], other.columns[column], strict=True))

    def above(self, other: "Series", column: str) -> float:
        """The median of the differences turn by turn."""
        return median(own - theirs for own, theirs in zip(self.columns[column], other.columns[column], strict=True))


def beside(
    ours: Series, theirs: Series, column: str, target: float | None, what: str, unit: str = "request"
) -> list[Figure]:
    """Two figures: our share of their rate, and what it would be if only the CPU time per unit counted."""
    return [
        at_least(f"{what}, of {theirs.name}'s", ours.share_of(theirs, column), target),
        at_least("the same by CPU time", theirs.share_of(ours, f"CPU µs/{unit}"), None),
    ]


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of a measure."""

    figures: Sequence[Figure]
    series: Sequence[Series] = ()
    note: str = ""

    @property
    def disturbed(self) -> bool:
        return any(KEPT_WAITING in one.columns and one.median(KEPT_WAITING) > DISTURBED for one in self.series)


@dataclass(frozen=True, slots=True)
class Measure:
    """A row that can be asked for by name."""

    name: str
    about: str
    tools: Mapping[str, str]
    """{command: Debian package}"""
    run: Callable[[Bench], Row]


def summary(rows: Sequence[tuple[Measure, Row | str]]) -> str:
    """One line per figure: measured, target, verdict; for a row that was not measured the reason."""
    lines = ["| row | measure | measured | target | |", "| --- | --- | ---: | ---: | --- |"]
    for measure, row in rows:
        if isinstance(row, str):
            lines.append(f"| {measure.name} | {measure.about} | | | {row} |")
            continue
        for figure in row.figures:
            verdict = {True: "met", False: "**missed**", None: ""}[figure.met]
            if verdict and row.disturbed and figure.by_the_clock:
                verdict = "open: the machine was busy"
            value = figure.form.format(figure.value)
            lines.append(f"| {measure.name} | {figure.what} | {value} | {figure.target_text} | {verdict} |")
    return "\n".join(lines)


def details(measure: Measure, row: Row) -> str:
    """What was seen of each contestant: medians, and the spread where it is not the same every time."""
    lines = [f"### {measure.name}: {measure.about}", ""]
    columns = list(dict.fromkeys(column for series in row.series for column in series.columns))
    if columns:
        lines += ["| | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for series in row.series:
        cells = [_cell(series.columns.get(column, [])) for column in columns]
        lines.append(f"| {series.name} | " + " | ".join(cells) + " |")
    if row.note:
        lines += ["", row.note]
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    middle, low, high = (_number(value) for value in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3f}".rstrip("0").rstrip(".")
