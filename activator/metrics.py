"""What the activator counts. Names and labels are the contract's (activator.md 12); `upwell_` marks our own.

Series of a revision go when the revision goes. A method outside the known ones counts as `_OTHER`: it is the client's
to choose, and every value would stay in memory. Requests to pods are counted without the pod's address, for the same
reason: pods come and go by the thousand.
"""

from collections.abc import Mapping
from typing import Final

from activator.cold_start import PHASES
from activator.revisions import Revision
from upwell.http import Exchange
from upwell.policy.waiting_room import WaitingRoom
from upwell.telemetry.metrics import Histogram, Registry
from upwell.telemetry.statuses import final_status

__all__ = ["Metrics", "RevisionMetrics"]

_REVISION: Final = ("kn_service_name", "kn_configuration_name", "kn_revision_name", "k8s_namespace_name")
_SHORT: Final = ("k8s_namespace_name", "kn_revision_name")
_REQUEST: Final = ("http_request_method", "http_response_status_code", "network_protocol_version")
_NO_REVISION: Final = ("", "", "", "")
SIZE_BOUNDS: Final = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
PHASE_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds; finer than the contract's for requests, because some phases take a few milliseconds."""
METHODS: Final = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"QUERY")
)

_Request = tuple[bytes, int, tuple[int, int]]
_Server = tuple[Histogram, Histogram, Histogram]
_Client = tuple[Histogram, Histogram]


class Metrics:
    """All families of one process, and the registry that shows them."""

    def __init__(self, resource: Mapping[str, str] | None = None) -> None:
        """`resource` says what process this is, by OpenTelemetry's names."""
        registry = self.registry = Registry()
        if resource:
            labels = tuple((name.replace(".", "_"), value) for name, value in resource.items())
            registry.gauge_from("target_info", "Target metadata", lambda: 1, labels)
        self.concurrency = registry.gauge(
            "kn_revision_request_concurrency", "Concurrency of a revision as last reported.", _REVISION
        )
        self.queued = registry.gauge("kn_revision_request_queued", "Requests that wait for capacity.", _SHORT)
        self.active = registry.gauge("kn_revision_request_active", "Requests being proxied.", _SHORT)
        self._add_requests()
        self.stats_reachable = registry.gauge(
            "kn_activator_stats_conn_reachable", "Whether an autoscaler is connected.", ("peer",)
        ).labels("autoscaler")
        self.stats_errors = registry.counter(
            "kn_activator_stats_conn_errors", "Connections to an autoscaler that were lost.", ("peer",)
        ).labels("autoscaler")
        phases = registry.histogram(
            "upwell_activator_cold_start_phase_seconds",
            "Time to the first byte that a request which found no pod spent in each phase.",
            ("phase",),
            bounds=PHASE_BOUNDS,
        )
        self.cold_start_phases = {phase: phases.labels(phase) for phase in PHASES}
        self.retries = registry.counter(
            "upwell_activator_retries", "Requests sent again after a pod could not take them.", _SHORT
        )
        self.waiting_pages = registry.counter(
            "upwell_activator_waiting_pages", "Browsers that were shown a page while a revision started.", _SHORT
        )

    def show_room(self, room: WaitingRoom) -> None:
        """Show how much of what may wait here does."""
        gauge = self.registry.gauge_from
        gauge("upwell_activator_waiting_requests", "Places taken by waiting requests.", lambda: room.requests)
        gauge("upwell_activator_waiting_requests_limit", "Places for waiting requests.", lambda: room.requests_most)
        gauge("upwell_activator_waiting_bytes", "Bytes of bodies kept by waiting requests.", lambda: room.bytes)
        gauge("upwell_activator_waiting_bytes_limit", "Bytes that waiting requests may keep.", lambda: room.bytes_most)

    def _add_requests(self) -> None:
        histogram, labels = self.registry.histogram, (*_REVISION, *_REQUEST)
        self.durations = histogram(
            "http_server_request_duration_seconds", "Time from a request's arrival to its end.", labels
        )
        self.request_sizes = histogram(
            "http_server_request_body_size_bytes", "Size of request bodies.", labels, bounds=SIZE_BOUNDS
        )
        self.response_sizes = histogram(
            "http_server_response_body_size_bytes", "Size of response bodies.", labels, bounds=SIZE_BOUNDS
        )
        self._client_durations = histogram(
            "http_client_request_duration_seconds", "Time of requests to pods.", _REQUEST
        )
        self._client_sizes = histogram(
            "http_client_request_body_size_bytes", "Size of request bodies for pods.", _REQUEST, bounds=SIZE_BOUNDS
        )

    def server(self, labels: tuple[str, ...], request: _Request) -> _Server:
        """The histograms of requests like this one for the revision with these labels."""
        values = (*labels, *_values(request))
        return self.durations.labels(*values), self.request_sizes.labels(*values), self.response_sizes.labels(*values)

    def client(self, request: _Request) -> _Client:
        """The histograms of requests like this one that a pod got."""
        values = _values(request)
        return self._client_durations.labels(*values), self._client_sizes.labels(*values)

    def unknown(self, exchange: Exchange, seconds: float) -> None:
        """An exchange for no revision that there is was answered."""
        _observe(self.server(_NO_REVISION, _request_of(exchange)), exchange, seconds)


class RevisionMetrics:
    """The series of one revision."""

    def __init__(self, metrics: Metrics, revision: Revision) -> None:
        self._metrics = metrics
        self._labels = revision.metric_labels
        self._short = (revision.key.namespace, revision.key.name)
        self._series: dict[_Request, tuple[_Server, _Client]] = {}
        self.queued = metrics.queued.labels(*self._short)
        self.active = metrics.active.labels(*self._short)
        self.retries = metrics.retries.labels(*self._short)

    def ended(self, exchange: Exchange, seconds: float, proxied: float | None) -> None:
        """An exchange is over, after so long, `proxied` of it by a pod; None if it never got to one."""
        request = _request_of(exchange)
        series = self._series.get(request)
        if series is None:
            series = self._series[request] = self._metrics.server(self._labels, request), self._metrics.client(request)
        server, client = series
        _observe(server, exchange, seconds)
        if proxied is not None:
            client[0].observe(proxied)
            client[1].observe(exchange.request_bytes)

    def page_shown(self) -> None:
        """A browser was shown the waiting page."""
        self._metrics.waiting_pages.labels(*self._short).inc()

    def close(self) -> None:
        """The revision is gone: its series go too."""
        metrics = self._metrics
        for family in (metrics.queued, metrics.active, metrics.retries, metrics.waiting_pages):
            family.remove(*self._short)
        for request in self._series:
            values = (*self._labels, *_values(request))
            for histograms in (metrics.durations, metrics.request_sizes, metrics.response_sizes):
                histograms.remove(*values)


def _request_of(exchange: Exchange) -> _Request:
    request = exchange.request
    method = request.method
    return method if method in METHODS else b"_OTHER", exchange.status or final_status(exchange), request.version


def _values(request: _Request) -> tuple[str, str, str]:
    method, status, version = request
    return method.decode(), str(status), f"{version[0]}.{version[1]}"


def _observe(series: _Server, exchange: Exchange, seconds: float) -> None:
    duration, request_size, response_size = series
    duration.observe(seconds)
    request_size.observe(exchange.request_bytes)
    response_size.observe(exchange.response_bytes)
