"""What the activator counts. Names and labels are the contract's (activator.md 12); `upwell_` marks our own.

Series of a revision go when the revision goes. A method outside the known ones counts as `_OTHER`: it is the client's
to choose, and every value would stay in memory.
"""

from typing import Final

from activator.cold_start import PHASES
from activator.revisions import Revision
from upwell.http import Exchange, Outcome
from upwell.telemetry.metrics import Histogram, Registry

__all__ = ["Metrics", "RevisionMetrics"]

_REVISION: Final = ("kn_service_name", "kn_configuration_name", "kn_revision_name", "k8s_namespace_name")
_SHORT: Final = ("k8s_namespace_name", "kn_revision_name")
PHASE_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds; finer than the contract's for requests, because some phases take a few milliseconds."""
METHODS: Final = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"QUERY")
)
CLIENT_GONE: Final = 499


class Metrics:
    """All families of one process, and the registry that shows them."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.concurrency = self.registry.gauge(
            "kn_revision_request_concurrency", "Concurrency of a revision as last reported.", _REVISION
        )
        self.queued = self.registry.gauge("kn_revision_request_queued", "Requests that wait for capacity.", _SHORT)
        self.active = self.registry.gauge("kn_revision_request_active", "Requests being proxied.", _SHORT)
        self.durations = self.registry.histogram(
            "http_server_request_duration_seconds",
            "Time from a request's arrival to its end.",
            (*_REVISION, "http_request_method", "http_response_status_code"),
        )
        self.stats_reachable = self.registry.gauge(
            "kn_activator_stats_conn_reachable", "Whether an autoscaler is connected.", ("peer",)
        ).labels("autoscaler")
        self.stats_errors = self.registry.counter(
            "kn_activator_stats_conn_errors", "Connections to an autoscaler that were lost.", ("peer",)
        ).labels("autoscaler")
        phases = self.registry.histogram(
            "upwell_activator_cold_start_phase_seconds",
            "Time that a request which found no pod spent in each phase.",
            ("phase",),
            bounds=PHASE_BOUNDS,
        )
        self.cold_start_phases = {phase: phases.labels(phase) for phase in PHASES}
        self.retries = self.registry.counter(
            "upwell_activator_retries", "Requests sent again after a pod could not take them.", _SHORT
        )


class RevisionMetrics:
    """The series of one revision."""

    def __init__(self, metrics: Metrics, revision: Revision) -> None:
        self._metrics = metrics
        self._labels = revision.metric_labels
        self._short = (revision.key.namespace, revision.key.name)
        self._durations: dict[tuple[bytes, int], Histogram] = {}
        self.queued = metrics.queued.labels(*self._short)
        self.active = metrics.active.labels(*self._short)
        self.retries = metrics.retries.labels(*self._short)

    def ended(self, exchange: Exchange, seconds: float) -> None:
        """An exchange is over, after so long."""
        method = exchange.request.method if exchange.request.method in METHODS else b"_OTHER"
        status = exchange.status or (CLIENT_GONE if exchange.outcome is Outcome.CLIENT_GONE else 0)
        histogram = self._durations.get((method, status))
        if histogram is None:
            histogram = self._metrics.durations.labels(*self._labels, method.decode(), str(status))
            self._durations[method, status] = histogram
        histogram.observe(seconds)

    def close(self) -> None:
        """The revision is gone: its series go too."""
        for family in (self._metrics.queued, self._metrics.active, self._metrics.retries):
            family.remove(*self._short)
        for method, status in self._durations:
            self._metrics.durations.remove(*self._labels, method.decode(), str(status))
