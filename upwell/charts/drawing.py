"""Charts as SVG inside a page: lines and steps over time, with a grid, and readings under the pointer.

Colours come from the page's style sheet (`--c0`, `--c1`, …), so that a chart is legible on a dark and on a light page.
Each chart carries its points, thinned to what can be seen, as JSON for the page's script, which shows the values
where the pointer is; without a script everything but that is there.
"""

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Chart", "Line", "Mark", "Scatter", "clock", "draw", "draw_scatter"]

WIDTH: Final = 920
HEIGHT: Final = 220
LEFT, RIGHT, TOP, BOTTOM = 64, 28, 14, 28
COLUMNS: Final = 400
"""Stretches of time that a line has at most two points in."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line; with `step`, a value holds until the next point."""

    name: str
    points: Points = field(repr=False)
    """(seconds, value), in order of time."""
    colour: int = 0
    step: bool = False
    filled: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment with a name, such as the start of a phase."""

    seconds: float
    name: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Some lines over one time axis."""

    title: str
    unit: str
    lines: Sequence[Line]
    shaded: Sequence[tuple[float, float]] = ()
    """Stretches of time to mark, such as panic."""
    logarithmic: bool = False
    marks: Sequence[Mark] = ()


def draw(chart: Chart, end: float) -> str:
    """A figure, over 0 to `end` seconds."""
    lines = [(line, _thinned(line.points, end)) for line in chart.lines]
    values = [value for _, points in lines for _, value in points]
    scale = _Scale(values, chart.logarithmic)
    plot_width = WIDTH - LEFT - RIGHT

    def x(t: float) -> float:
        return LEFT + plot_width * (t / end if end else 0.0)

    parts = [
        f'<rect class="shade" x="{x(a):.1f}" y="{TOP}" width="{max(1.0, x(b) - x(a)):.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/>'
        for a, b in chart.shaded
    ]
    for value in scale.ticks:
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    parts += [
        f'<text class="axis" x="{x(t):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{clock(t)}</text>'
        for t in _time_ticks(end)
    ]
    for number, mark in enumerate(chart.marks):
        parts += _marked(mark, x(mark.seconds), number)
    for line, points in lines:
        placed = [(x(t), scale.y(value)) for t, value in points]
        parts += _path(line, placed, scale.y(scale.low))
    data = [
        [line.name, line.colour, line.step, [[round(t, 3), round(v, 4)] for t, v in points]] for line, points in lines
    ]
    return (
        f'<figure><figcaption>{html.escape(chart.title)} <span class="unit">{html.escape(chart.unit)}</span>'
        f"{_legend(chart)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(chart.title)}" '
        f'data-end="{end:g}" data-lines="{html.escape(json.dumps(data, separators=(",", ":")))}">'
        f'{"".join(parts)}<line class="cursor" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/></svg><output></output></figure>'
    )


def _marked(mark: Mark, x: float, number: int) -> list[str]:
    """A dashed line, and its name beside it, in one of two rows in turn."""
    return [
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>',
        f'<text class="axis" x="{x + 4:.1f}" y="{TOP + 10 + 14 * (number % 2)}">{html.escape(mark.name)}</text>',
    ]


def _legend(chart: Chart) -> str:
    keys = "".join(
        f'<span class="key"><i style="background:var(--c{line.colour})"></i>{html.escape(line.name)}</span>'
        for line in chart.lines
    )
    panic = '<span class="key"><i class="shade"></i>panic</span>' if chart.shaded else ""
    return f'<span class="keys">{keys}{panic}</span>'


def _path(line: Line, placed: Points, floor: float) -> list[str]:
    if not placed:
        return []
    commands = [f"M{placed[0][0]:.1f},{placed[0][1]:.1f}"]
    for x, y in placed[1:]:
        commands.append(f"H{x:.1f}V{y:.1f}" if line.step else f"L{x:.1f},{y:.1f}")
    path = "".join(commands)
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    drawn = [f'<path class="line" d="{path}" style="stroke:var(--c{line.colour})"{dash}/>']
    if line.filled:
        area = f"{path}V{floor:.1f}H{placed[0][0]:.1f}Z"
        drawn.insert(0, f'<path class="area" d="{area}" style="fill:var(--c{line.colour})"/>')
    return drawn


class _Scale:
    """From values to places in the picture, with round ticks."""

    def __init__(self, values: Sequence[float], logarithmic: bool) -> None:
        high = max(values, default=0.0)
        positive = [value for value in values if value > 0]
        self._logarithmic = logarithmic and bool(positive)
        if self._logarithmic:
            low_power = math.floor(math.log10(min(positive)) + 1e-9)
            high_power = max(low_power + 1, math.ceil(math.log10(high) - 1e-9))
            self.low, self._high = 10.0**low_power, 10.0**high_power
            stride = -(-(high_power - low_power) // 5)
            self.ticks = [10.0**power for power in range(low_power, high_power + 1, stride)]
        else:
            step = _round_step((high or 1.0) / 4)
            self.low, self._high = 0.0, step * max(1, math.ceil((high or 1.0) / step - 1e-9))
            self.ticks = [step * index for index in range(round(self._high / step) + 1)]

    def y(self, value: float) -> float:
        if self._logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self._high / self.low)
        else:
            share = value / self._high
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _time_ticks(end: float) -> list[float]:
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
    step = next((step for step in steps if end / step <= 9), math.ceil(end / 9 / 86400) * 86400)
    return [float(index * step) for index in range(int(end / step) + 1)]


def clock(seconds: float) -> str:
    """`45s`, `2:30`, `1:02:30`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:g}" if value >= 0.001 or value == 0 else f"{value:.0e}"


def _thinned(points: Points, end: float) -> list[tuple[float, float]]:
    """Of each stretch its lowest and its highest point, in the order in which they came."""
    if len(points) <= 2 * COLUMNS:
        return list(points)
    kept: list[tuple[float, float]] = []
    stretch: list[tuple[float, float]] = []
    limit = width = end / COLUMNS
    for point in points:
        while point[0] > limit:
            kept += _extremes(stretch)
            stretch = []
            limit += width
        stretch.append(point)
    return [*kept, *_extremes(stretch), points[-1]]


def _extremes(stretch: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(stretch) <= 2:
        return stretch
    low = min(range(len(stretch)), key=lambda place: stretch[place][1])
    high = max(range(len(stretch)), key=lambda place: stretch[place][1])
    return [stretch[place] for place in sorted({low, high})]


@dataclass(frozen=True, slots=True)
class Scatter:
    """Points with a name each; `marked` ones are joined."""

    title: str
    x_name: str
    y_name: str
    points: Sequence[tuple[float, float, str, bool]]
    """(x, y, name, whether it is marked)"""


def draw_scatter(scatter: Scatter) -> str:
    """A figure with x to the right and y upwards, both from 0 or the lowest decade."""
    height = 300
    across = _Scale([x for x, _, _, _ in scatter.points], logarithmic=False)
    up = _Scale([y for _, y, _, _ in scatter.points], logarithmic=True)
    stretch = (height - TOP - BOTTOM - 14) / (HEIGHT - TOP - BOTTOM)

    def place(x: float, y: float) -> tuple[float, float]:
        share = (HEIGHT - BOTTOM - across.y(x)) / (HEIGHT - TOP - BOTTOM)
        return LEFT + share * (WIDTH - LEFT - RIGHT), TOP + (up.y(y) - TOP) * stretch

    parts = []
    for value in up.ticks:
        _, y = place(0, value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    for value in across.ticks:
        x, _ = place(value, up.low)
        parts.append(f'<text class="axis" x="{x:.1f}" y="{height - 22}" text-anchor="middle">{_number(value)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{height - 4}" text-anchor="middle">{html.escape(scatter.x_name)}</text>'
    )
    frontier = sorted(place(x, y) for x, y, _, marked in scatter.points if marked)
    if frontier:
        path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in frontier)
        parts.append(f'<path class="line" d="{path}" style="stroke:var(--c0)" stroke-dasharray="5 4"/>')
    for x, y, name, marked in scatter.points:
        cx, cy = place(x, y)
        style = "fill:var(--c0)" if marked else "fill:var(--muted)"
        parts.append(
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{5 if marked else 3.5}" style="{style}">'
            f"<title>{html.escape(name)}</title></circle>"
        )
    return (
        f'<figure><figcaption>{html.escape(scatter.title)} <span class="unit">{html.escape(scatter.y_name)}</span>'
        f'</figcaption><svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(parts)}</svg></figure>'
    )
