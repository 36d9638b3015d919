"""Charts of pods and load over time: as text for a terminal, as SVG for a page.

Both take the same input, a list of `Series` over one time axis in seconds. The text chart is as wide as it is told
and uses eighth blocks, so a row of text shows eight levels; the SVG needs no script and no network.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Mark", "Series", "svg_chart", "text_chart"]

_BLOCKS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart; `points` are (seconds, value), in order of time."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str = "#2563eb"
    step: bool = False
    """Whether the value holds until the next point, as a number of pods does."""

    @property
    def highest(self) -> float:
        return max((value for _, value in self.points), default=0.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment with a name, such as the start of a phase."""

    seconds: float
    name: str


def _column_values(series: Series, end: float, width: int) -> list[float]:
    """The highest value in each of `width` equal slices of time; a slice without points repeats the one before."""
    columns: list[float | None] = [None] * width
    for seconds, value in series.points:
        column = min(width - 1, int(seconds / end * width)) if end > 0 else 0
        before = columns[column]
        columns[column] = value if before is None else max(before, value)
    values: list[float] = []
    for column_value in columns:
        values.append(column_value if column_value is not None else (values[-1] if values else 0.0))
    return values


def text_chart(series: Sequence[Series], *, width: int = 72, height: int = 3) -> list[str]:
    """The series one below the other as rows of blocks, with the highest value and the seconds at the borders."""
    end = max((line.points[-1][0] for line in series if line.points), default=0.0)
    label = max((len(line.name) for line in series), default=0)
    rows: list[str] = []
    for line in series:
        highest = line.highest or 1.0
        levels = [round(value / highest * height * 8) for value in _column_values(line, end, width)]
        for row in range(height, 0, -1):
            blocks = "".join(_BLOCKS[max(0, min(8, level - (row - 1) * 8))] for level in levels)
            name = line.name if row == height else ""
            axis = f"{line.highest:g}" if row == height else ("0" if row == 1 else "")
            rows.append(f"{name:>{label}} {axis:>5} │{blocks}")
    rows.append(f"{'':>{label}} {'':>5} └{'─' * width}")
    rows.append(f"{'':>{label}} {'':>5}  {'0 s':<{width - 7}}{end:>5.0f} s")
    return rows


def _path(series: Series, x_scale: float, y_scale: float, left: float, bottom: float) -> str:
    commands: list[str] = []
    before: float | None = None
    for seconds, value in series.points:
        x, y = left + seconds * x_scale, bottom - value * y_scale
        if series.step and before is not None:
            commands.append(f"L{x:.1f},{before:.1f}")
        commands.append(f"{'L' if commands else 'M'}{x:.1f},{y:.1f}")
        before = y
    return " ".join(commands)


def _panel(lines: Sequence[Series], top: float, width: float, height: float, end: float) -> list[str]:
    left, right = 48.0, 12.0
    bottom = top + height
    highest = max((line.highest for line in lines), default=0.0) or 1.0
    x_scale = (width - left - right) / (end or 1.0)
    parts = [
        f'<line x1="{left}" y1="{bottom}" x2="{width - right}" y2="{bottom}" stroke="#94a3b8"/>',
        f'<line x1="{left}" y1="{top}" x2="{left}" y2="{bottom}" stroke="#94a3b8"/>',
        f'<text x="{left - 6}" y="{top + 10}" text-anchor="end">{highest:g}</text>',
        f'<text x="{left - 6}" y="{bottom}" text-anchor="end">0</text>',
    ]
    for index, line in enumerate(lines):
        path = _path(line, x_scale, height / highest, left, bottom)
        parts.append(f'<path d="{path}" fill="none" stroke="{line.colour}" stroke-width="2"/>')
        x = left + 8 + index * 150
        parts.append(f'<text x="{x}" y="{top - 6}" fill="{line.colour}">{html.escape(line.name)}</text>')
    return parts


def svg_chart(panels: Sequence[Sequence[Series]], marks: Sequence[Mark] = (), *, width: int = 900) -> str:
    """One SVG with a panel for each group of series, over one time axis, and the marks as dashed lines."""
    panel_height, gap, top = 140, 40, 48
    end = max((line.points[-1][0] for panel in panels for line in panel if line.points), default=1.0)
    height = top + len(panels) * (panel_height + gap) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">'
    ]
    for index, mark in enumerate(marks):
        x = 48 + mark.seconds * (width - 60) / (end or 1.0)
        parts.append(
            f'<line x1="{x:.1f}" y1="24" x2="{x:.1f}" y2="{height - 40}" stroke="#cbd5e1" stroke-dasharray="4"/>'
        )
        parts.append(f'<text x="{x + 3:.1f}" y="{12 + index % 2 * 12}" fill="#475569">{html.escape(mark.name)}</text>')
    for index, panel in enumerate(panels):
        parts.extend(_panel(panel, top + index * (panel_height + gap), width, panel_height, end))
    parts.append(f'<text x="48" y="{height - 8}">0 s</text>')
    parts.append(f'<text x="{width - 12}" y="{height - 8}" text-anchor="end">{end:.0f} s</text></svg>')
    return "\n".join(parts)
