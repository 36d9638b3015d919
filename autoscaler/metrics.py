"""What the autoscaler shows to Prometheus; names and labels are the contract's (autoscaler.md 13).

Dots become underscores, as OpenTelemetry's exporter writes them. Figures that only Upwell has begin with
`upwell_autoscaler_`. `RevisionMetrics` are the gauges of one revision, looked up once, so that showing a decision is a
handful of assignments.
"""

from typing import Final

from upwell.policy.collector import METRIC_RPS
from upwell.policy.decider import Decision
from upwell.telemetry.metrics import Family, Gauge, Registry

__all__ = ["AutoscalerMetrics", "RevisionLabels", "RevisionMetrics", "ScrapeLabels"]

REVISION_LABELS: Final = ("kn_service_name", "kn_configuration_name", "kn_revision_name", "k8s_namespace_name")

RevisionLabels = tuple[str, str, str, str]
"""Service, configuration, revision, namespace."""

ScrapeLabels = tuple[str, str, str]
"""Service, configuration, namespace."""

_DECISION_GAUGES: Final = {
    "desired": ("kn_revision_pods_desired", "Pods that the last decision asked for."),
    "excess": ("kn_revision_capacity_excess", "Room for a burst beyond the target burst capacity."),
    "panic_mode": ("kn_revision_panic_mode", "1 while the revision is scaled by its panic window."),
    "requested": ("kn_revision_pods_requested", "Pods asked for within the bounds of minimum and maximum scale."),
    "ready": ("kn_revision_pods_count", "Pods that are ready."),
    "not_ready": ("kn_revision_pods_not_ready_count", "Pods that are not ready."),
    "pending": ("kn_revision_pods_pending_count", "Pods that are pending."),
    "terminating": ("kn_revision_pods_terminating_count", "Pods that are terminating."),
}
_METRIC_GAUGES: Final = {
    f"{metric}_{what}": (f"kn_revision_{metric}_{what}", f"{title} {about}")
    for metric, title in (("concurrency", "Concurrent requests"), ("rps", "Requests per second"))
    for what, about in (
        ("stable", "on average over the stable window."),
        ("panic", "on average over the panic window."),
        ("target", "per pod aimed for."),
    )
}


class RevisionMetrics:
    """The gauges of one revision."""

    def __init__(self, families: dict[str, Family[Gauge]], labels: RevisionLabels) -> None:
        self._families = families
        self._labels = labels
        self._desired = families["desired"].labels(*labels)
        self._excess = families["excess"].labels(*labels)
        self._panic_mode = families["panic_mode"].labels(*labels)
        self._metric = ""
        self._averages: tuple[Gauge, Gauge, Gauge] = (Gauge(), Gauge(), Gauge())

    def show_decision(self, decision: Decision) -> None:
        if decision.spec.metric != self._metric:
            self._use_metric(decision.spec.metric)
        self._desired.value = decision.desired
        self._excess.value = decision.excess_burst_capacity
        self._panic_mode.value = int(decision.in_panic)
        stable, panic, target = self._averages
        stable.value, panic.value = decision.observation.stable, decision.observation.panic
        target.value = decision.spec.target_value

    def show_pods(self, *, requested: int, ready: int, not_ready: int, pending: int, terminating: int) -> None:
        """`requested` -1 means not known, which leaves what was shown before."""
        if requested >= 0:
            self._families["requested"].labels(*self._labels).value = requested
        for name, value in (
            ("ready", ready),
            ("not_ready", not_ready),
            ("pending", pending),
            ("terminating", terminating),
        ):
            self._families[name].labels(*self._labels).value = value

    def remove(self) -> None:
        """The revision is gone."""
        for family in self._families.values():
            family.remove(*self._labels)

    def _use_metric(self, metric: str) -> None:
        self._metric = metric
        used, other = ("rps", "concurrency") if metric == METRIC_RPS else ("concurrency", "rps")
        for what in ("stable", "panic", "target"):
            self._families[f"{other}_{what}"].remove(*self._labels)
        stable, panic, target = (self._families[f"{used}_{what}"] for what in ("stable", "panic", "target"))
        self._averages = (stable.labels(*self._labels), panic.labels(*self._labels), target.labels(*self._labels))


class AutoscalerMetrics:
    """Every metric of the process."""

    def __init__(self, registry: Registry) -> None:
        self._families = {
            name: registry.gauge(exposed, about, REVISION_LABELS)
            for name, (exposed, about) in (_DECISION_GAUGES | _METRIC_GAUGES).items()
        }
        self.scrape_seconds = registry.histogram(
            "kn_autoscaler_scrape_duration_seconds",
            "Time to scrape the sampled pods of a revision.",
            ("kn_service_name", "kn_configuration_name", "k8s_namespace_name"),
        )
        self.scrapes_failed = registry.counter(
            "upwell_autoscaler_scrapes_failed", "Scrapes of a revision that got no figures."
        )
        self.stats_received = registry.counter(
            "upwell_autoscaler_stats_received", "Statistics taken in from activators."
        )
        self.stats_refused = registry.counter(
            "upwell_autoscaler_stats_refused", "Statistics and frames that cannot be true or be read.", ("reason",)
        )
        self.stats_forwarded = registry.counter(
            "upwell_autoscaler_stats_forwarded", "Statistics handed on to the replica that acts on them."
        )
        self.stats_dropped = registry.counter(
            "upwell_autoscaler_stats_dropped", "Statistics that could not be handed on.", ("reason",)
        )
        self.decisions = registry.counter("upwell_autoscaler_decisions", "Decisions made.")
        self.decision_seconds = registry.counter("upwell_autoscaler_decision_seconds", "Time spent on decisions.")
        self.pokes = registry.counter(
            "upwell_autoscaler_pokes", "Decisions made at once because a revision at zero got a request."
        )
        self.scale_writes = registry.counter("upwell_autoscaler_scale_writes", "Scales written to workloads.")
        self.poke_to_scale_seconds = registry.histogram(
            "upwell_autoscaler_poke_to_scale_seconds",
            "From a request's statistic for a revision at zero to the written scale.",
            bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )

    def of_revision(self, labels: RevisionLabels) -> RevisionMetrics:
        return RevisionMetrics(self._families, labels)
