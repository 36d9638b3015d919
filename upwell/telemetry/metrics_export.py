"""Metrics on their way to a collector, by OpenTelemetry's exporters (OTLP over gRPC, or over HTTP).

Loaded only when they are pushed; the packages come with the extra `upwell[tracing]`. What is counted stays in the
plain slots of `metrics`: at each interval they are read, on the loop that counts and hence all at one moment, and a
thread sends what was read. A request pays nothing. A collector that is away costs the figures of no interval, because
they are totals since the start; the exporter retries for a while, and the next interval sends newer ones.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from upwell.clock import Clock
from upwell.ports import ConfigError
from upwell.telemetry import log
from upwell.telemetry.export_settings import MetricsExport, with_path
from upwell.telemetry.metrics import Counter, Gauge, Histogram, Labels, Metric

try:
    from opentelemetry.sdk.metrics import export as otel
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
except ImportError as missing:
    raise ConfigError(f"pushing metrics needs more packages ({missing}); install upwell[tracing]") from missing

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter

__all__ = ["MetricsSender", "Naming", "metrics_data"]

CUMULATIVE: Final = otel.AggregationTemporality.CUMULATIVE
UNITS: Final = (("_seconds", "s"), ("_bytes", "By"))
SCOPE_LABELS: Final = ("otel_scope_name", "otel_scope_version", "otel_scope_schema_url")

_log = log.get("metrics export")


class Naming:
    """OpenTelemetry's names of what has Prometheus' names here."""

    def __init__(self, scope: str, metrics: Mapping[str, str], attributes: Mapping[str, str]) -> None:
        """`scope` measures what names no scope of its own. `metrics` has names without unit and `_total`.

        A metric or label that is not listed keeps its name.
        """
        self.scope = scope
        self._metrics = metrics
        self._attributes = attributes

    def metric(self, name: str) -> tuple[str, str]:
        """Name and unit."""
        bare = name.removesuffix("_total")
        for suffix, unit in UNITS:
            if bare.endswith(suffix):
                bare = bare.removesuffix(suffix)
                return self._metrics.get(bare, bare), unit
        return self._metrics.get(bare, bare), ""

    def attributes(self, labels: Labels) -> dict[str, str | int]:
        """Statuses are numbers there."""
        return {
            self._attributes.get(name, name): int(value) if name.endswith("status_code") and value.isdigit() else value
            for name, value in labels
        }


class MetricsSender:
    """Pushes at each interval, and once more at the end."""

    def __init__(
        self,
        settings: MetricsExport,
        read: Callable[[], Iterable[Metric]],
        naming: Naming,
        resource: Mapping[str, str],
        clock: Clock,
    ) -> None:
        """`read` gives the metrics of this moment; raise ConfigError when the exporter's packages are missing."""
        self._interval = settings.interval
        self._read = read
        self._naming = naming
        self._resource = Resource(resource)
        self._clock = clock
        self._started = time.time_ns()
        self._exporter = _make_exporter(settings)
        self._one_at_a_time = threading.Lock()

    async def run(self) -> None:
        """Push, for ever. An exporter that takes longer than the interval delays the next push and no more."""
        while True:
            await self._clock.sleep(self._interval)
            await asyncio.to_thread(self._send, self.collect())

    def collect(self) -> otel.MetricsData:
        """What would be sent now; to be called where the counting is done."""
        return metrics_data(self._read(), self._naming, self._resource, self._started, time.time_ns())

    def close(self, last: otel.MetricsData) -> None:
        """Send this and stop; blocks, for as long as a collector takes."""
        self._send(last)
        self._exporter.shutdown()

    def _send(self, data: otel.MetricsData) -> None:
        with self._one_at_a_time:
            try:
                self._exporter.export(data)
            except Exception:
                # A defect of an exporter must not end a process that serves requests; the next push may succeed.
                _log.exception("metrics could not be pushed")


def metrics_data(
    metrics: Iterable[Metric], naming: Naming, resource: Resource, started: int, now: int
) -> otel.MetricsData:
    """The metrics in OpenTelemetry's form, by scope; times are nanoseconds since 1970."""
    scopes: dict[str, list[otel.Metric]] = {}
    for metric in metrics:
        if metric.name == "target_info":
            continue  # the resource says it
        scope = dict(metric.fixed).get("otel_scope_name", naming.scope)
        scopes.setdefault(scope, []).append(_metric(metric, naming, started, now))
    found = [otel.ScopeMetrics(InstrumentationScope(scope), made, "") for scope, made in scopes.items()]
    return otel.MetricsData([otel.ResourceMetrics(resource, found, "")])


def _metric(metric: Metric, naming: Naming, started: int, now: int) -> otel.Metric:
    name, unit = naming.metric(metric.name)
    own = tuple(pair for pair in metric.fixed if pair[0] not in SCOPE_LABELS)
    points = [(naming.attributes((*labels, *own)), value) for labels, value in metric.points()]
    data: otel.Sum | otel.Gauge | otel.Histogram
    if metric.kind == "histogram":
        data = otel.Histogram(
            [_histogram(value, at, started, now) for at, value in points if isinstance(value, Histogram)], CUMULATIVE
        )
    else:
        numbers = [otel.NumberDataPoint(at, started, now, _number(value)) for at, value in points]
        data = otel.Sum(numbers, CUMULATIVE, True) if metric.kind == "counter" else otel.Gauge(numbers)
    return otel.Metric(name, metric.about, unit, data)


def _number(value: Counter | Gauge | Histogram | float) -> float:
    assert not isinstance(value, Histogram), "those have a form of their own"
    return value.value if isinstance(value, Counter | Gauge) else value


def _histogram(value: Histogram, at: Mapping[str, str | int], started: int, now: int) -> otel.HistogramDataPoint:
    extremes: Any = None  # not kept; absent in the protocol, which the class's types do not foresee
    return otel.HistogramDataPoint(
        at, started, now, value.count, value.sum, tuple(value.counts), tuple(value.bounds), extremes, extremes
    )


def _make_exporter(settings: MetricsExport) -> "MetricExporter":
    where = settings.endpoint or None
    try:
        if settings.protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc

            return grpc.OTLPMetricExporter(endpoint=where)
        from opentelemetry.exporter.otlp.proto.http import metric_exporter as http

        return http.OTLPMetricExporter(endpoint=where and with_path(where, "/v1/metrics"))
    except ImportError as missing:
        raise ConfigError(
            f"pushing metrics by {settings.protocol} needs more packages ({missing}); install upwell[tracing]"
        ) from missing
