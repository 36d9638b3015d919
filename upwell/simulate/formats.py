"""Outcomes as files for programs: JSON and CSV.

JSON of one policy is an object with the figures of `Outcome.figures`, `pods` as [[t, ready], …] at each change and
`timeline`, columns and rows of at most some thousand points. Several policies are that object each, in a list
`policies`. CSV has all points of the timeline, one a line, the policy's name in front. Both are described in
docs/reference/simulate.md.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from upwell.simulate.recording import Outcome, Point, Timeline

__all__ = ["as_json", "thinned", "write_csv", "write_json"]

JSON_POINTS: Final = 2000


def as_json(outcome: Outcome) -> dict[str, Any]:
    """One policy's object."""
    return {
        **outcome.figures(),
        "pods": [[round(t, 3), ready] for t, ready in outcome.pods],
        "timeline": {
            "columns": Point._fields,
            "rows": [[round(value, 4) for value in point] for point in thinned(outcome.timeline, JSON_POINTS)],
        },
        **({"revisions": list(outcome.revisions)} if outcome.revisions else {}),
    }


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")


def write_csv(path: Path, outcomes: Sequence[Outcome]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["policy", *Point._fields])
        for outcome in outcomes:
            writer.writerows([outcome.policy, *(f"{value:.6g}" for value in point)] for point in outcome.timeline)


def thinned(timeline: Timeline, most: int) -> list[Point]:
    """At most about `most` points: of each stretch that becomes one, the highest load and the pods there were then."""
    points = list(timeline)
    stretch = -(-len(points) // most) if points else 1
    if stretch == 1:
        return points
    kept = []
    for begin in range(0, len(points), stretch):
        part = points[begin : begin + stretch]
        busiest = max(part, key=lambda point: (point.queued, point.concurrency, point.ready))
        kept.append(busiest._replace(arrivals=sum(point.arrivals for point in part)))
    return kept
