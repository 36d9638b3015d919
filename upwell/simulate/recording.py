"""What a simulation came to: every request's latency, the pods over time, and the numbers made of them.

A `Timeline` has a point for each second in which something went on; where two points lie further apart, nothing
changed between them. `Outcome` is what all formats show: the two models (request by request, minute by minute) both
end in one.
"""

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, NamedTuple

__all__ = ["PERCENTILES", "Latencies", "Outcome", "Point", "Timeline", "latency_over_time", "percentile"]

PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
"""What is reported."""
_LEVELS: Final = (*map(float, range(100)), 99.5, 99.9, 99.95, 99.99, 100.0)
"""What is kept, enough to draw the distribution."""


LATENCY_BINS: Final = 400


class Point(NamedTuple):
    """How it stands at a moment."""

    t: float
    """Seconds since the start."""
    ready: float
    starting: float
    draining: float
    desired: float
    """What the decider wants, before minimum and maximum."""
    concurrency: float
    """Requests that are somewhere in the system, averaged over the second before."""
    queued: float
    """Those of them that wait, in the activator or a sidecar, at this moment."""
    arrivals: float
    """Requests that arrived since the last point."""
    panic: int
    """1 in panic mode."""
    proxied: int
    """1 while requests go through the activator."""


class Timeline:
    """Points in columns, so that a day of seconds takes some megabytes."""

    def __init__(self) -> None:
        self._columns: tuple[array[float], ...] = tuple(array("d") for _ in Point._fields)

    def __len__(self) -> int:
        return len(self._columns[0])

    def __iter__(self) -> Iterator[Point]:
        return (Point(*row) for row in zip(*self._columns, strict=True))

    def add(self, point: Point) -> None:
        for column, value in zip(self._columns, point, strict=True):
            column.append(value)

    def column(self, name: str) -> "array[float]":
        return self._columns[Point._fields.index(name)]


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long requests took, in seconds."""

    count: int
    mean: float
    at: Mapping[float, float] = field(repr=False)
    """By percentage, of `_LEVELS`, the latency that so many do not exceed; all 0 when there are none."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Latencies":
        ordered = sorted(values)
        mean = sum(ordered) / len(ordered) if ordered else 0.0
        return cls(len(ordered), mean, {level: percentile(ordered, level) for level in _LEVELS})

    @classmethod
    def weighted(cls, values: Iterable[tuple[float, float]]) -> "Latencies":
        """Of (latency, how many) pairs."""
        pairs = sorted(values)
        reached = list(accumulate(weight for _, weight in pairs))
        total = reached[-1] if reached else 0.0
        mean = sum(value * weight for value, weight in pairs) / total if total else 0.0
        last = len(pairs) - 1
        places = {level: min(last, bisect_left(reached, total * level / 100)) for level in _LEVELS}
        return cls(round(total), mean, {level: pairs[place][0] if pairs else 0.0 for level, place in places.items()})

    def as_json(self) -> dict[str, float]:
        return {
            **{f"p{level:g}": round(self.at[level], 6) for level in PERCENTILES},
            "mean": round(self.mean, 6),
            "max": round(self.at[100.0], 6),
        }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value at `percent` of ascending values, between neighbours as a straight line; 0 when there are none."""
    if not ordered:
        return 0.0
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def latency_over_time(arrivals: Sequence[float], latencies: Sequence[float]) -> list[tuple[float, float, float]]:
    """(begin, median, p99) for bins of equal time; arrivals are in order, so each bin is a slice.

    A negative latency is that of a request that was not answered; bins without an answer are left out.
    """
    width = max(1.0, arrivals[-1] / LATENCY_BINS)
    bins: list[tuple[float, float, float]] = []
    begin = 0
    for number in range(math.floor(arrivals[-1] / width) + 1):
        end = bisect_left(arrivals, (number + 1) * width, begin)
        ordered = sorted(latency for latency in latencies[begin:end] if latency >= 0)
        if ordered:
            bins.append((number * width, percentile(ordered, 50), percentile(ordered, 99)))
        begin = end
    return bins


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy on one trace."""

    policy: str
    settings: Mapping[str, str]
    """What the policy says other than the cluster."""
    trace: str
    model: str
    """`requests` or `minutes`."""
    seconds: float
    """Length of the simulation: to the last answer, and until the pods are at rest again."""
    requests: int
    failed: Mapping[str, int]
    """Requests that were not answered, by the reason."""
    cold_starts: int
    """Requests that arrived when no pod was ready, and waited for the first one."""
    pods_started: int
    pod_seconds: float
    """From the moment a pod is asked for until it is gone, summed over all pods."""
    idle_seconds: float
    """The part of it in which a pod had no request."""
    busy_request_seconds: float
    """Time that the app worked, summed over requests."""
    peak_pods: int
    panics: int
    latency: Latencies
    cold_latency: Latencies
    """Of the cold starts alone."""
    pods: Sequence[tuple[float, float]] = field(repr=False)
    """(t, ready pods) at the start, at each change, and at the end."""
    timeline: Timeline = field(repr=False)
    latency_over_time: Sequence[tuple[float, float, float]] = field(default=(), repr=False)
    """(t, median, p99) of the requests that arrived from t on, until the next."""
    revisions: Sequence[Mapping[str, object]] = field(default=(), repr=False)
    """For counts of many functions: each one's own figures."""

    @property
    def answered(self) -> int:
        return self.requests - sum(self.failed.values())

    @property
    def wasted_share(self) -> float:
        """Share of the pod-seconds in which the pod had nothing to do; 0 without pods."""
        return self.idle_seconds / self.pod_seconds if self.pod_seconds else 0.0

    def figures(self) -> dict[str, object]:
        """The numbers, without what they were over time."""
        return {
            "policy": self.policy,
            "settings": dict(self.settings),
            "trace": self.trace,
            "model": self.model,
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "answered": self.answered,
            "failed": sum(self.failed.values()),
            "failures": dict(self.failed),
            "cold_starts": self.cold_starts,
            "cold_start_share": round(self.cold_starts / self.requests, 6) if self.requests else 0.0,
            "pods_started": self.pods_started,
            "peak_pods": self.peak_pods,
            "pod_seconds": round(self.pod_seconds, 3),
            "wasted_share": round(self.wasted_share, 6),
            "busy_request_seconds": round(self.busy_request_seconds, 3),
            "panics": self.panics,
            "latency_s": self.latency.as_json(),
            "cold_start_latency_s": self.cold_latency.as_json(),
        }
