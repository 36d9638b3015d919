"""What the demo says at the end: a summary in words, the same as JSON, and a page with a chart."""

import html
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from upwell.charts.drawing import Chart, Line, Mark, draw
from upwell.charts.page import write_page
from upwell.charts.text import text_chart
from upwell.cli.observe import ServiceState

__all__ = ["Sample", "Summary", "cold_start_phases", "write_html", "write_json"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the demo: seconds since its start, pods, and the client's counts."""

    seconds: float
    desired: int
    ready_pods: int
    in_flight: int
    sent: int
    failed: int
    p50_ms: float
    p99_ms: float


def cold_start_phases(state: ServiceState, before: set[str], sent: float, first_byte_ms: float) -> dict[str, float]:
    """When each step of a cold start was seen, in ms after the request was sent (at `sent`, on the observer's clock).

    `decided`: the Deployment's replicas left zero. `pod_created`: the Pod appeared. `containers_started`: its
    processes run. `app_ready`: it was Ready. `first_byte`: the answer's head reached the client. The first four are
    seen through watches, which lag by some milliseconds, so a fast `app_ready` can be seen after `first_byte`.
    """
    new = [start for name, start in state.starts.items() if name not in before]
    first = min(new, key=lambda start: start.ready or float("inf"))
    seen = {
        "decided": state.scaled_up_at,
        "pod_created": first.created,
        "containers_started": first.started,
        "app_ready": first.ready,
    }
    phases = {name: round((at - sent) * 1000, 1) for name, at in seen.items() if at}
    return {**phases, "first_byte": round(first_byte_ms, 1)}


@dataclass(frozen=True, slots=True)
class Summary:
    """What happened; the fields are those of the JSON summary."""

    requests: int
    answered: int
    failed: int
    failures: dict[str, int]
    """Failed requests by kind."""
    cold_start_ms: float
    """From sending the request at zero to its first byte."""
    cold_start_phases_ms: dict[str, float]
    """See `cold_start_phases`; each counts from when the request was sent."""
    peak_pods: int
    seconds_to_zero: float
    """From the end of the burst until no pod was left."""
    seconds: float
    latency_ms: dict[str, float]
    samples: Sequence[Sample] = field(repr=False)
    marks: Sequence[Mark] = field(repr=False)

    @property
    def good(self) -> bool:
        return self.failed == 0 and self.answered == self.requests

    def curves(self) -> list[Line]:
        points = [(sample.seconds, sample) for sample in self.samples]
        return [
            Line("ready pods", [(t, s.ready_pods) for t, s in points], 0, step=True, filled=True),
            Line("desired pods", [(t, s.desired) for t, s in points], 1, step=True, dashed=True),
            Line("in flight", [(t, s.in_flight) for t, s in points], 3),
        ]

    def lines(self, page: Path | None) -> list[str]:
        """The summary as text, with the chart."""
        phases = "  ".join(f"{name} {ms:.0f}" for name, ms in self.cold_start_phases_ms.items())
        kinds = "".join(f", {count} × {kind}" for kind, count in self.failures.items())
        return [
            "",
            *text_chart(self.curves()),
            "",
            f"requests        {self.requests} sent, {self.answered} answered, {self.failed} failed{kinds}",
            f"latency         p50 {self.latency_ms['p50']:.0f} ms, p95 {self.latency_ms['p95']:.0f} ms, "
            f"p99 {self.latency_ms['p99']:.0f} ms (cold start included)",
            f"cold start      {self.cold_start_ms:.0f} ms",
            f"  its phases    {phases}  (ms after the request was sent)",
            f"peak            {self.peak_pods} pods",
            f"back to zero    {self.seconds_to_zero:.1f} s after the last request",
            f"the whole demo  {self.seconds:.0f} s" + (f"; chart in {page}" if page else ""),
        ]


def write_json(summary: Summary, path: Path) -> None:
    """The summary for programs; its fields are those of `Summary`."""
    path.write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")


def write_html(summary: Summary, path: Path) -> None:
    """One page that needs nothing else: the charts as inline SVG and the summary below them."""
    ready, desired, in_flight = summary.curves()
    lines = summary.lines(None)
    text = html.escape("\n".join(lines[lines.index("", 1) + 1 :]))
    charts = (
        Chart("Pods", "", [desired, ready], marks=summary.marks),
        Chart("Requests", "in flight", [in_flight], marks=summary.marks),
    )
    drawn = "\n".join(draw(chart, summary.seconds) for chart in charts)
    subtitle = f"{summary.requests:,} requests in {summary.seconds:.0f} s"
    title = "From zero to N and back"
    write_page(path, f"Upwell: {title}", title, subtitle, f"{drawn}\n<pre>{text}</pre>")
