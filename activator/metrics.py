"""What the activator counts. Names and labels are the contract's (activator.md 12); `upwell_` marks our own."""

from typing import Final

from activator.cold_start import PHASES
from upwell.telemetry.metrics import Registry

__all__ = ["Metrics"]

_REVISION: Final = ("kn_service_name", "kn_configuration_name", "kn_revision_name", "k8s_namespace_name")
_SHORT: Final = ("k8s_namespace_name", "kn_revision_name")
PHASE_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds; finer than the contract's for requests, because two of the phases take a few milliseconds."""


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
        )
        self.stats_errors = self.registry.counter(
            "kn_activator_stats_conn_errors", "Connections to an autoscaler that were lost.", ("peer",)
        )
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
