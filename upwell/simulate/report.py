"""The page: figures side by side and charts below, in one file that needs nothing else and no network."""

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from upwell.charts.drawing import Chart, Line, Scatter, clock, draw, draw_scatter
from upwell.charts.page import write_page
from upwell.simulate.recording import Outcome
from upwell.simulate.sweep import Axis, Trial

__all__ = ["ROWS", "in_words", "write_report"]

CHARTS_MOST: Final = 6
"""Policies of one page with lines of their own; as many as there are colours to tell apart."""


def in_words(seconds: float) -> str:
    """`850 ms`, `2.31 s`, `3:20`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else clock(seconds)


def _pod_time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 100_000 else f"{seconds / 3600:,.0f} h"


ROWS: Final[Sequence[tuple[str, Callable[[Outcome], str]]]] = (
    ("requests", lambda outcome: f"{outcome.requests:,}"),
    ("failed", lambda outcome: f"{sum(outcome.failed.values()):,}"),
    ("cold starts", lambda outcome: f"{outcome.cold_starts:,}"),
    ("latency p50", lambda outcome: in_words(outcome.latency.at[50.0])),
    ("latency p95", lambda outcome: in_words(outcome.latency.at[95.0])),
    ("latency p99", lambda outcome: in_words(outcome.latency.at[99.0])),
    ("latency max", lambda outcome: in_words(outcome.latency.at[100.0])),
    ("cold start median", lambda outcome: in_words(outcome.cold_latency.at[50.0])),
    ("pods peak", lambda outcome: f"{outcome.peak_pods:,}"),
    ("pods started", lambda outcome: f"{outcome.pods_started:,}"),
    ("pod-seconds", lambda outcome: _pod_time(outcome.pod_seconds)),
    ("wasted share", lambda outcome: f"{outcome.wasted_share:.1%}"),
    ("panics", lambda outcome: f"{outcome.panics:,}"),
)
"""What is said of an outcome, in the terminal and on the page."""
LOWER_IS_BETTER: Final = frozenset(
    ("failed", "cold starts", "latency p50", "latency p95", "latency p99", "pod-seconds", "wasted share")
)


def write_report(
    path: Path, outcomes: Sequence[Outcome], trials: Sequence[Trial] = (), axes: Sequence[Axis] = ()
) -> None:
    """Write the page for one or more outcomes on the same traffic, and for a sweep's trials if there are any."""
    shown = outcomes[:CHARTS_MOST]
    end = max((outcome.seconds for outcome in shown), default=1.0) or 1.0
    first = shown[0]
    names = "frontier of the sweep" if trials else ", ".join(outcome.policy for outcome in shown)
    model = "request by request" if first.model == "requests" else "minute by minute"
    sections = [_frontier_chart(trials, axes)] if trials else []
    if not trials:
        sections += [_settings(outcomes), _cards(first) if len(outcomes) == 1 else _table(outcomes)]
    else:
        sections.append(_trials_table(trials, axes))
    charts = _charts_of_one(first) if len(shown) == 1 else _charts_of_many(shown)
    sections += ["" if trials else draw(chart, end) for chart in charts]
    subtitle = f"{first.requests:,} requests of {first.trace}, simulated {model} over {clock(end)}"
    write_page(path, f"Upwell: {names}", names, subtitle, "\n".join(filter(None, sections)))


def _cards(outcome: Outcome) -> str:
    cards = "".join(f"<div><dt>{label}</dt><dd>{value(outcome)}</dd></div>" for label, value in ROWS)
    return f'<dl class="cards">{cards}</dl>'


def _settings(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for index, outcome in enumerate(outcomes):
        chips = "".join(
            f"<code>{html.escape(name)}: {html.escape(value)}</code>" for name, value in outcome.settings.items()
        )
        key = f'<i style="background:var(--c{index})"></i>' if len(outcomes) > 1 else ""
        rows.append(f'<p class="policy">{key}<b>{html.escape(outcome.policy)}</b> {chips or "as the cluster says"}</p>')
    return "".join(rows)


def _table(outcomes: Sequence[Outcome]) -> str:
    head = "".join(f"<th>{html.escape(outcome.policy)}</th>" for outcome in outcomes)
    rows = []
    for label, value in ROWS:
        cells = [value(outcome) for outcome in outcomes]
        best = _best(label, outcomes)
        tds = "".join(f"<td{' class=best' if index in best else ''}>{cell}</td>" for index, cell in enumerate(cells))
        rows.append(f"<tr><th>{label}</th>{tds}</tr>")
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _best(label: str, outcomes: Sequence[Outcome]) -> set[int]:
    """The columns to point out: the lowest ones, unless all are equal."""
    figures: dict[str, Callable[[Outcome], float]] = {
        "failed": lambda outcome: sum(outcome.failed.values()),
        "cold starts": lambda outcome: outcome.cold_starts,
        "latency p50": lambda outcome: outcome.latency.at[50.0],
        "latency p95": lambda outcome: outcome.latency.at[95.0],
        "latency p99": lambda outcome: outcome.latency.at[99.0],
        "pod-seconds": lambda outcome: outcome.pod_seconds,
        "wasted share": lambda outcome: outcome.wasted_share,
    }
    if label not in figures:
        return set()
    values = [figures[label](outcome) for outcome in outcomes]
    return {index for index, value in enumerate(values) if value == min(values)} if len(set(values)) > 1 else set()


def _charts_of_one(outcome: Outcome) -> list[Chart]:
    timeline = outcome.timeline
    times = timeline.column("t")

    def over_time(name: str) -> list[tuple[float, float]]:
        return list(zip(times, timeline.column(name), strict=True))

    pods = [Line("ready", outcome.pods, 0, step=True, filled=True)]
    if outcome.model == "requests":
        pods.append(Line("wanted", over_time("desired"), 1, step=True, dashed=True))
    pods.append(Line("starting", over_time("starting"), 2, step=True))
    load = [Line("in the system", over_time("concurrency"), 0), Line("waiting", over_time("queued"), 3)]
    charts = [Chart("Pods", "", pods, _panics(outcome)), Chart("Requests", "at once", load)]
    charts.append(_rate_chart([(outcome, 0)]))
    if outcome.latency_over_time:
        p50 = [(t, median) for t, median, _ in outcome.latency_over_time]
        p99 = [(t, high) for t, _, high in outcome.latency_over_time]
        lines = [Line("p99", p99, 3, step=True), Line("median", p50, 0, step=True)]
        charts.append(Chart("Latency", "seconds, by time of arrival", lines, logarithmic=True))
    return charts


def _charts_of_many(outcomes: Sequence[Outcome]) -> list[Chart]:
    charts = [
        Chart(
            "Ready pods", "", [Line(outcome.policy, outcome.pods, i, step=True) for i, outcome in enumerate(outcomes)]
        )
    ]
    waiting = []
    for index, outcome in enumerate(outcomes):
        timeline = outcome.timeline
        points = list(zip(timeline.column("t"), timeline.column("queued"), strict=True))
        waiting.append(Line(outcome.policy, points, index))
    charts.append(Chart("Waiting requests", "", waiting))
    latencies = [
        Line(outcome.policy, [(t, high) for t, _, high in outcome.latency_over_time], index, step=True)
        for index, outcome in enumerate(outcomes)
    ]
    if any(line.points for line in latencies):
        charts.append(Chart("Latency p99", "seconds, by time of arrival", latencies, logarithmic=True))
    charts.append(_rate_chart([(outcomes[0], 0)]))
    return charts


def _rate_chart(outcomes: Sequence[tuple[Outcome, int]]) -> Chart:
    lines = []
    for outcome, colour in outcomes:
        timeline = outcome.timeline
        times, arrivals = timeline.column("t"), timeline.column("arrivals")
        period = 60.0 if outcome.model == "minutes" else 1.0
        lines.append(Line("arrivals", [(t, count / period) for t, count in zip(times, arrivals, strict=True)], colour))
    return Chart("Traffic", "requests per second", lines)


def _panics(outcome: Outcome) -> list[tuple[float, float]]:
    """Stretches of panic."""
    spans: list[tuple[float, float]] = []
    since: float | None = None
    for t, panic in zip(outcome.timeline.column("t"), outcome.timeline.column("panic"), strict=True):
        if panic and since is None:
            since = t
        elif not panic and since is not None:
            spans.append((since, t))
            since = None
    return [*spans, (since, outcome.seconds)] if since is not None else spans


def _frontier_chart(trials: Sequence[Trial], axes: Sequence[Axis]) -> str:
    points = [
        (
            trial.outcome.pod_seconds,
            trial.outcome.latency.at[99.0],
            ", ".join(f"{axis.name}={value}" for axis, value in zip(axes, trial.values, strict=True)),
            trial.on_frontier,
        )
        for trial in trials
    ]
    return draw_scatter(Scatter("Cost and latency", "pod-seconds", "p99 latency, seconds", points))


def _trials_table(trials: Sequence[Trial], axes: Sequence[Axis]) -> str:
    chosen = [row for row in ROWS if row[0] in LOWER_IS_BETTER]
    head = "".join(
        f"<th>{html.escape(name)}</th>" for name in (*(axis.name for axis in axes), *(row[0] for row in chosen))
    )
    rows = []
    for trial in trials:
        cells = (*map(html.escape, trial.values), *(value(trial.outcome) for _, value in chosen))
        rows.append(
            f"<tr{' class=best' if trial.on_frontier else ''}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
