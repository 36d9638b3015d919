"""What each revision's metrics were: stats in, averages over a stable and a panic window out.

A `Collection` belongs to one revision and keeps four windows: concurrency and requests per second, each over the
stable and the panic window. Every stat counts less what already went through an activator, because the activator
reports that part itself. A `Collector` holds the collections by revision and remembers how each one's last scrape
ended.

Stats that cannot be true are to be refused before they get here: `implausible` says why. Pure: the time is an
argument. Source of the rules: contract, autoscaler.md 4.1, 5.1 and 6.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from upwell.policy.load import Load
from upwell.policy.windows import LinearWindow, WeightedWindow, Window

__all__ = [
    "METRIC_CONCURRENCY",
    "METRIC_RPS",
    "WEIGHTED_EXPONENTIAL",
    "Averages",
    "Collection",
    "CollectionSpec",
    "Collector",
    "implausible",
]

METRIC_CONCURRENCY: Final = "concurrency"
METRIC_RPS: Final = "rps"
WEIGHTED_EXPONENTIAL: Final = "weighted-exponential"

ABSURD_LOAD: Final = 1e7
"""Concurrent requests, or requests per second, that no single reporter can have seen."""
LEAST_AVERAGE: Final = 1e-6
"""What any load averages to at least; the last digit that averages are rounded to. Ours: to Knative, a request of a
millisecond within an hour is none."""

BRIDGED_SILENCE: Final = 3.0
"""Seconds without a report before a takeover that do not mean silence."""
BRIDGED_SECONDS: Final = 4
"""Seconds that the first report after a takeover may take."""


def implausible(load: Load) -> str | None:
    """Why `load` cannot be true, or None when it may be.

    A request count of -1 may be: an activator takes back the request that it announced ahead of its period.
    """
    if (  # what nearly all are, in one go; no comparison with NaN is true
        0 <= load.average_concurrent_requests <= ABSURD_LOAD
        and 0 <= load.average_proxied_concurrent_requests <= ABSURD_LOAD
        and -1 <= load.request_count <= ABSURD_LOAD
        and 0 <= load.proxied_request_count <= ABSURD_LOAD
    ):
        return None
    for name, value, lowest in (
        ("average_concurrent_requests", load.average_concurrent_requests, 0),
        ("average_proxied_concurrent_requests", load.average_proxied_concurrent_requests, 0),
        ("request_count", load.request_count, -1),
        ("proxied_request_count", load.proxied_request_count, 0),
    ):
        if not math.isfinite(value):
            return f"{name} is {value}"
        if value < lowest:
            return f"{name} is negative"
        if value > ABSURD_LOAD:
            return f"{name} is above {ABSURD_LOAD:.0f}"
    raise AssertionError("every figure is within its bounds after all")


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """What to collect for one revision."""

    stable_window: float
    """Seconds."""
    panic_window: float
    """Seconds."""
    scrapes_pods: bool = True
    """False when the activator is always in the path, so that its reports are the whole truth."""
    aggregation: str = ""
    """`weighted-exponential`; anything else averages linearly."""


class Averages(NamedTuple):
    """One metric over the two windows."""

    stable: float
    panic: float


class Collection:
    """One revision's windows."""

    __slots__ = ("_bridge", "_concurrency", "_panic_concurrency", "_panic_requests", "_requests", "last_error", "spec")

    def __init__(self, spec: CollectionSpec) -> None:
        self.spec = spec
        self.last_error: str | None = None
        """How the most recent scrape failed; None when it did not."""
        self._bridge: tuple[str, int] | None = None
        """After a `replay`, until the first report: the metric, and the last second that a gap may be closed from."""
        kind = WeightedWindow if spec.aggregation == WEIGHTED_EXPONENTIAL else LinearWindow
        self._concurrency: Window = kind(spec.stable_window)
        self._panic_concurrency: Window = kind(spec.panic_window)
        self._requests: Window = kind(spec.stable_window)
        self._panic_requests: Window = kind(spec.panic_window)

    def record(self, at: float, load: Load) -> None:
        """Take in what a reporter saw in the second of Unix time `at`."""
        if self._bridge is not None:
            self._close_gap(*self._bridge, at)
        concurrency = load.average_concurrent_requests - load.average_proxied_concurrent_requests
        self._concurrency.record(at, concurrency)
        self._panic_concurrency.record(at, concurrency)
        requests = load.request_count - load.proxied_request_count
        self._requests.record(at, requests)
        self._panic_requests.record(at, requests)

    def averages(self, metric: str, now: float) -> Averages | None:
        """Both averages of `metric` (`rps`, else concurrency); None when there is no data to tell from.

        Without scraping, silence means no traffic: then empty windows average to 0.
        """
        stable, panic = self._windows(metric)
        if self.spec.scrapes_pods and stable.is_empty(now):
            return None
        average = stable.average(now)
        if average == 0 and not stable.is_silent() and not stable.is_empty(now):
            average = LEAST_AVERAGE
        return Averages(average, panic.average(now))

    def contents(self, metric: str) -> tuple[int, list[float]]:
        """What the stable window of `metric` holds: the second of the newest bucket, and all of them, oldest first."""
        return (self._requests if metric == METRIC_RPS else self._concurrency).contents()

    def replay(self, metric: str, newest: int, values: Sequence[float], now: float) -> None:
        """Take over `contents` of another collection, of which `newest` may have been moved.

        What is between its end and the first report, if that comes soon, is no silence: nobody looked.
        """
        stable, panic = self._windows(metric)
        for second, value in enumerate(values, newest - len(values) + 1):
            stable.record(second, value)
            panic.record(second, value)
        if now - newest <= BRIDGED_SILENCE:
            self._bridge = metric, math.floor(now) + BRIDGED_SECONDS

    def _close_gap(self, metric: str, until: int, at: float) -> None:
        self._bridge = None
        stable, panic = self._windows(metric)
        newest, values = stable.contents()
        if values and newest < at <= until:
            # Of what the window still holds by then: a load that ended long before must not come back.
            held = values[max(0, math.floor(at) - newest - (math.ceil(self.spec.stable_window) - len(values))) :]
            mean = sum(held) / len(held) if held else values[-1]
            for second in range(newest + 1, math.floor(at)):
                stable.record(second, mean)
                panic.record(second, mean)

    def _windows(self, metric: str) -> tuple[Window, Window]:
        if metric == METRIC_RPS:
            return self._requests, self._panic_requests
        return self._concurrency, self._panic_concurrency

    def update(self, spec: CollectionSpec, now: float) -> None:
        """Go on with other windows or another target; the way of averaging stays what it was at the start."""
        self.spec = spec
        self._concurrency.resize(spec.stable_window, now)
        self._requests.resize(spec.stable_window, now)
        self._panic_concurrency.resize(spec.panic_window, now)
        self._panic_requests.resize(spec.panic_window, now)


K = TypeVar("K")


class Collector(Generic[K]):
    """The collections of all revisions, by whatever key their owner uses."""

    __slots__ = ("collections",)

    def __init__(self) -> None:
        self.collections: dict[K, Collection] = {}

    def update(self, key: K, spec: CollectionSpec, now: float) -> Collection:
        """Start collecting for `key`, or go on with a changed `spec`."""
        collection = self.collections.get(key)
        if collection is None:
            collection = self.collections[key] = Collection(spec)
        else:
            collection.update(spec, now)
        return collection

    def delete(self, key: K) -> None:
        """Stop collecting for `key` and forget what was seen."""
        self.collections.pop(key, None)

    def record(self, key: K, at: float, load: Load) -> bool:
        """Take in a stat for `key`; False when nothing is collected for it."""
        collection = self.collections.get(key)
        if collection is None:
            return False
        collection.record(at, load)
        return True
