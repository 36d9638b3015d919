"""Metrics as plain numbers in slots, turned into Prometheus text only when somebody scrapes.

    registry = Registry()
    requests = registry.counter("upwell_requests", "Requests served.", ("code",))
    requests.labels("200").inc()
    body = registry.render()                                    # served with CONTENT_TYPE
    for part in registry.slices(): ...                          # the same bit by bit, where there may be much of it

Counting is one addition; keep the child that `labels` returns where the label values are known beforehand. A metric
that is known elsewhere already (a queue's length, say) is registered with `gauge_from` and read at the scrape.
The text is written by `exposition`; `metrics` is for exporters of other formats.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Generic, Literal, TypeVar, overload

from upwell.telemetry.exposition import heading, line_pieces, number, sample

__all__ = ["CONTENT_TYPE", "LATENCY_BOUNDS", "Counter", "Family", "Gauge", "Histogram", "Metric", "Registry"]

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
LATENCY_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds; the bucket boundaries of the contract (queue-proxy.md 10.1)."""
SLICE: Final = 1000
"""Metrics that are written in one go: some milliseconds, up to ten when their lines are made for the first time."""

Labels = Sequence[tuple[str, str]]
Kind = Literal["counter", "gauge", "histogram"]


class Counter:
    """Only goes up."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        self.value += amount

    def prefixes(self, name: str, labels: Labels) -> Iterable[str]:
        """Its lines, up to their values."""
        return (sample(name, labels),)

    def figures(self) -> Iterable[str]:
        """The values of its lines."""
        return (number(self.value),)


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

    def prefixes(self, name: str, labels: Labels) -> Iterable[str]:
        """Its lines, up to their values."""
        return (sample(name, labels),)

    def figures(self) -> Iterable[str]:
        """The values of its lines."""
        return (number(self.value),)


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

    def prefixes(self, name: str, labels: Labels) -> Iterable[str]:
        """Its lines, up to their values."""
        for bound in (*map(str, self.bounds), "+Inf"):
            yield sample(f"{name}_bucket", (*labels, ("le", bound)))
        yield sample(f"{name}_count", labels)
        yield sample(f"{name}_sum", labels)

    def figures(self) -> Iterable[str]:
        """The values of its lines: how many fell below each boundary, how many there were, and their sum."""
        cumulative = list(map(number, accumulate(self.counts)))
        return (*cumulative, cumulative[-1], number(self.sum))


Child = TypeVar("Child", Counter, Gauge, Histogram)


class Family(Generic[Child]):
    """All metrics of one name, one for each combination of label values."""

    __slots__ = ("_make", "_templates", "about", "children", "fixed", "label_names", "name")

    def __init__(
        self, name: str, about: str, label_names: Sequence[str], make: Callable[[], Child], fixed: Labels = ()
    ) -> None:
        """`fixed` are labels that every sample carries."""
        self.name = name
        self.about = about
        self.label_names = tuple(label_names)
        self.children: dict[tuple[str, ...], Child] = {}
        self._make: Callable[[], Child] = make
        self.fixed = tuple(fixed)
        self._templates: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Each child's lines in pieces, the values at the odd places; tuples, which a full collection leaves out."""

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
        self._templates.pop(values, None)

    def lines(self) -> Iterator[bytes]:
        """All samples in Prometheus' text format, those of each child together; it may go while this is read."""
        for values in list(self.children):
            child = self.children.get(values)
            if child is None:
                continue
            template = self._templates.get(values)
            if template is None:
                prefixes = child.prefixes(self.name, self._all_labels(values))
                template = self._templates[values] = tuple(line_pieces(prefixes))
            pieces = list(template)
            pieces[1::2] = child.figures()
            yield "".join(pieces).encode()

    def points(self) -> Iterator[tuple[Labels, Child]]:
        """Each child with its own labels, without the fixed ones."""
        for values, child in self.children.items():
            yield tuple(zip(self.label_names, values, strict=True)), child

    def _all_labels(self, values: tuple[str, ...]) -> Labels:
        return (*zip(self.label_names, values, strict=True), *self.fixed)


@dataclass(frozen=True, slots=True)
class Metric:
    """All that is known of one name."""

    name: str
    """As Prometheus has it."""
    about: str
    kind: Kind
    fixed: Labels
    lines: Callable[[], Iterable[bytes]]
    """Its samples in Prometheus' text format."""
    points: Callable[[], Iterable[tuple[Labels, Counter | Gauge | Histogram | float]]]
    """Its present values, each with the labels that tell it from the others."""


class Registry:
    """The metrics of one endpoint, in order of registration."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []
        self._headings: list[bytes] = []

    @overload
    def counter(self, name: str, about: str) -> Counter: ...
    @overload
    def counter(self, name: str, about: str, labels: Sequence[str]) -> Family[Counter]: ...
    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter | Family[Counter]:
        """Without `labels` the counter itself; with them its family. The exposed name ends in `_total`."""
        family = self._add(Family(f"{name}_total", about, labels, Counter), "counter")
        return family if labels else family.labels()

    @overload
    def gauge(self, name: str, about: str) -> Gauge: ...
    @overload
    def gauge(self, name: str, about: str, labels: Sequence[str]) -> Family[Gauge]: ...
    def gauge(self, name: str, about: str, labels: Sequence[str] = ()) -> Gauge | Family[Gauge]:
        """Without `labels` the gauge itself; with them its family."""
        family = self._add(Family(name, about, labels, Gauge), "gauge")
        return family if labels else family.labels()

    @overload
    def histogram(self, name: str, about: str, *, bounds: Sequence[float] = ..., fixed: Labels = ...) -> Histogram: ...
    @overload
    def histogram(
        self, name: str, about: str, labels: Sequence[str], *, bounds: Sequence[float] = ..., fixed: Labels = ...
    ) -> Family[Histogram]: ...
    def histogram(
        self,
        name: str,
        about: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float] = LATENCY_BOUNDS,
        fixed: Labels = (),
    ) -> Histogram | Family[Histogram]:
        """Without `labels` the histogram itself; with them its family. All samples carry the labels `fixed` too."""
        family = self._add(Family(name, about, labels, lambda: Histogram(bounds), fixed), "histogram")
        return family if labels else family.labels()

    def gauge_from(self, name: str, about: str, read: Callable[[], float], fixed: Labels = ()) -> None:
        """A gauge whose value `read` gives at each scrape."""
        self._add_read(name, about, "gauge", read, fixed)

    def counter_from(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A counter whose value `read` gives at each scrape; the exposed name ends in `_total`."""
        self._add_read(f"{name}_total", about, "counter", read, ())

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return b"".join(self.slices())

    def slices(self) -> Iterator[bytes]:
        """The same in parts that take a few milliseconds each; metrics may come and go in between."""
        # Encoded piece by piece: what is as large as the whole is made once, and that is half of the time.
        parts: list[bytes] = []
        for heads, metric in zip(self._headings, self.metrics, strict=True):
            parts.append(heads)
            for lines in metric.lines():
                parts.append(lines)
                if len(parts) >= SLICE:
                    yield b"".join(parts)
                    parts.clear()
        yield b"".join(parts)

    def _add(self, family: Family[Child], kind: Kind) -> Family[Child]:
        self._describe(Metric(family.name, family.about, kind, family.fixed, family.lines, family.points))
        return family

    def _add_read(self, name: str, about: str, kind: Kind, read: Callable[[], float], fixed: Labels) -> None:
        prefix = sample(name, tuple(fixed))
        self._describe(
            Metric(name, about, kind, fixed, lambda: (f"{prefix}{number(read())}\n".encode(),), lambda: (((), read()),))
        )

    def _describe(self, metric: Metric) -> None:
        self.metrics.append(metric)
        self._headings.append(heading(metric.name, metric.about, metric.kind).encode())
