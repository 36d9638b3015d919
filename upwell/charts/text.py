"""Charts as text for a terminal: eighth blocks, so that a row of text shows eight levels."""

from collections.abc import Sequence

from upwell.charts.drawing import Line

__all__ = ["text_chart"]

_BLOCKS = " ▁▂▃▄▅▆▇█"


def text_chart(lines: Sequence[Line], *, width: int = 72, height: int = 3) -> list[str]:
    """The lines one below the other as rows of blocks, with the highest value and the seconds at the borders."""
    end = max((line.points[-1][0] for line in lines if line.points), default=0.0)
    label = max((len(line.name) for line in lines), default=0)
    rows: list[str] = []
    for line in lines:
        highest = max((value for _, value in line.points), default=0.0) or 1.0
        levels = [round(value / highest * height * 8) for value in _column_values(line, end, width)]
        for row in range(height, 0, -1):
            blocks = "".join(_BLOCKS[max(0, min(8, level - (row - 1) * 8))] for level in levels)
            name = line.name if row == height else ""
            axis = f"{highest:g}" if row == height else ("0" if row == 1 else "")
            rows.append(f"{name:>{label}} {axis:>5} │{blocks}")
    rows.append(f"{'':>{label}} {'':>5} └{'─' * width}")
    rows.append(f"{'':>{label}} {'':>5}  {'0 s':<{width - 7}}{end:>5.0f} s")
    return rows


def _column_values(line: Line, end: float, width: int) -> list[float]:
    """The highest value in each of `width` equal slices of time; a slice without points repeats the one before."""
    columns: list[float | None] = [None] * width
    for seconds, value in line.points:
        column = min(width - 1, int(seconds / end * width)) if end > 0 else 0
        before = columns[column]
        columns[column] = value if before is None else max(before, value)
    values: list[float] = []
    for column_value in columns:
        values.append(column_value if column_value is not None else (values[-1] if values else 0.0))
    return values
