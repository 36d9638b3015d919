"""Metrics as plain numbers in slots, turned into Prometheus text only when somebody scrapes.

    registry = Registry()
    requests = registry.counter("upwell_requests", "Requests served.", ("code",))
    requests.labels("200").inc()
    body = registry.render()                                    # served with CONTENT_TYPE

Counting is one addition; keep the child that `labels` returns where the label values are known beforehand. A metric
that is known elsewhere already (a queue's length, say) is registered with `gauge_from` and read at the scrape.
prometheus_client writes the text and is imported at the first scrape, so a process nobody scrapes never pays for it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Generic, TypeVar, overload

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["CONTENT_TYPE", "LATENCY_BOUNDS", "Counter", "Family", "Gauge", "Histogram", "Registry"]

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
LATENCY_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds; the bucket boundaries of the contract (queue-proxy.md 10.1)."""


class Counter:
    """Only goes up."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        self.value += amount


class Gauge:
    """Goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def set(self, value: float) -> None:
        self.value = value

    def inc(self, amount: float = 1) -> None:
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        self.value -= amount


class Histogram:
    """How many observations fell below each boundary, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)


Child = TypeVar("Child", Counter, Gauge, Histogram)


class Family(Generic[Child]):
    """All metrics of one name, one for each combination of label values."""

    __slots__ = ("_make", "about", "children", "label_names", "name")

    def __init__(self, name: str, about: str, label_names: Sequence[str], make: Callable[[], Child]) -> None:
        self.name = name
        self.about = about
        self.label_names = tuple(label_names)
        self.children: dict[tuple[str, ...], Child] = {}
        self._make: Callable[[], Child] = make

    def labels(self, *values: str) -> Child:
        """The metric with these label values, made at the first call."""
        child = self.children.get(values)
        if child is None:
            if len(values) != len(self.label_names):
                raise ValueError(f"{self.name} has the labels {self.label_names}, not {values}")
            child = self.children[values] = self._make()
        return child

    def remove(self, *values: str) -> None:
        """Forget the metric with these label values, if it exists."""
        self.children.pop(values, None)


class Registry:
    """The metrics of one endpoint, in order of registration."""

    def __init__(self) -> None:
        self._writers: list[Callable[[], Metric]] = []

    @overload
    def counter(self, name: str, about: str) -> Counter: ...
    @overload
    def counter(self, name: str, about: str, labels: Sequence[str]) -> Family[Counter]: ...
    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter | Family[Counter]:
        """Without `labels` the counter itself; with them its family. The exposed name ends in `_total`."""
        family = self._add(Family(name, about, labels, Counter), _write_counters)
        return family if labels else family.labels()

    @overload
    def gauge(self, name: str, about: str) -> Gauge: ...
    @overload
    def gauge(self, name: str, about: str, labels: Sequence[str]) -> Family[Gauge]: ...
    def gauge(self, name: str, about: str, labels: Sequence[str] = ()) -> Gauge | Family[Gauge]:
        """Without `labels` the gauge itself; with them its family."""
        family = self._add(Family(name, about, labels, Gauge), _write_gauges)
        return family if labels else family.labels()

    @overload
    def histogram(self, name: str, about: str, *, bounds: Sequence[float] = ...) -> Histogram: ...
    @overload
    def histogram(
        self, name: str, about: str, labels: Sequence[str], *, bounds: Sequence[float] = ...
    ) -> Family[Histogram]: ...
    def histogram(
        self,
        name: str,
        about: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float] = LATENCY_BOUNDS,
    ) -> Histogram | Family[Histogram]:
        """Without `labels` the histogram itself; with them its family."""
        family = self._add(Family(name, about, labels, lambda: Histogram(bounds)), _write_histograms)
        return family if labels else family.labels()

    def gauge_from(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A gauge whose value `read` gives at each scrape."""

        def write() -> "Metric":
            from prometheus_client.metrics_core import GaugeMetricFamily

            return GaugeMetricFamily(name, about, value=read())

        self._writers.append(write)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        from prometheus_client.exposition import generate_latest

        return generate_latest(self)

    def collect(self) -> Iterator["Metric"]:
        """What prometheus_client asks of a registry."""
        for write in self._writers:
            yield write()

    def _add(self, family: Family[Child], write: "Callable[[Family[Child]], Metric]") -> Family[Child]:
        self._writers.append(lambda: write(family))
        return family


def _write_counters(family: Family[Counter]) -> "Metric":
    from prometheus_client.metrics_core import CounterMetricFamily

    metric = CounterMetricFamily(family.name, family.about, labels=family.label_names)
    for values, counter in family.children.items():
        metric.add_metric(values, counter.value)
    return metric


def _write_gauges(family: Family[Gauge]) -> "Metric":
    from prometheus_client.metrics_core import GaugeMetricFamily

    metric = GaugeMetricFamily(family.name, family.about, labels=family.label_names)
    for values, gauge in family.children.items():
        metric.add_metric(values, gauge.value)
    return metric


def _write_histograms(family: Family[Histogram]) -> "Metric":
    from prometheus_client.metrics_core import HistogramMetricFamily

    metric = HistogramMetricFamily(family.name, family.about, labels=family.label_names)
    for values, histogram in family.children.items():
        metric.add_metric(values, list(_cumulative(histogram)), histogram.sum)
    return metric


def _cumulative(histogram: Histogram) -> Iterable[tuple[str, float]]:
    total = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        total += count
        yield str(bound), total
    yield "+Inf", histogram.count
