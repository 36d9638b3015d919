"""Reconciling PodAutoscalers of class kpa: from what the decider wants to what the cluster is told.

In the order of the contract (autoscaler.md 8): make the ServerlessService; set up the decider and the Metric; scale
the workload; choose Serve or Proxy and the number of activators; say all that in the status. The scale comes
before the other writes, because a waiting request depends on it.

One departure: a revision that is active keeps its mode until the first decision is there. Knative sends it through
the activator then, so that a restarted autoscaler moves the traffic of every busy revision at once.
"""

from dataclasses import dataclass
from typing import Any, assert_never

from autoscaler.children import Children
from autoscaler.cluster_settings import ClusterSettings
from autoscaler.deciders import Decider, Deciders
from autoscaler.metrics import AutoscalerMetrics, RevisionLabels
from autoscaler.pods import Pods
from autoscaler.scaler import Scaler
from upwell.api import metric, podautoscaler, serverlessservice
from upwell.api.conditions import FALSE, TRUE, Conditions
from upwell.api.names import CLASS_KPA, LABEL_CONFIGURATION, LABEL_REVISION, LABEL_SERVICE
from upwell.api.objects import (
    Key,
    Object,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
)
from upwell.api.resources import METRIC
from upwell.clock import Clock
from upwell.cluster.informer import Informer
from upwell.cluster.progress import earliest
from upwell.policy.capacity import num_activators
from upwell.policy.decider import UNKNOWN_SCALE
from upwell.policy.resolution import Settings
from upwell.policy.scale_to_zero import ACTIVATING, ACTIVE, INACTIVE, Activity, Outlook, next_activity
from upwell.policy.standing import serves

__all__ = ["PodAutoscalers"]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one pass came to."""

    want: int
    look_again_after: float | None = None


class PodAutoscalers:
    """See the module; `reconcile` is for a Reconciler."""

    def __init__(
        self,
        children: Children,
        autoscalers: Informer,
        services: Informer,
        collected: Informer,
        *,
        settings: ClusterSettings,
        deciders: Deciders,
        pods: Pods,
        scaler: Scaler,
        metrics: AutoscalerMetrics,
        clock: Clock,
    ) -> None:
        """`services` are ServerlessServices, `collected` are Metrics."""
        self._children = children
        self._autoscalers = autoscalers
        self._services = services
        self._collected = collected
        self._settings = settings
        self._deciders = deciders
        self._pods = pods
        self._scaler = scaler
        self._metrics = metrics
        self._clock = clock

    async def reconcile(self, key: Key) -> float | None:
        """Bring PodAutoscaler `key` up to date; seconds after which to look again."""
        autoscaler = self._autoscalers.get(*key)
        if autoscaler is None or is_deleting(autoscaler) or podautoscaler.class_of(autoscaler) != CLASS_KPA:
            self._deciders.delete(key)
            self._scaler.forget(key)
            return None
        async with self._children.new_status(autoscaler) as draft:
            status, conditions = draft.status, draft.conditions
            outcome = await self._bring_up_to_date({**autoscaler, "status": status}, status, conditions)
        return earliest(outcome.look_again_after, draft.held)

    async def _bring_up_to_date(self, autoscaler: Object, status: dict[str, Any], conditions: Conditions) -> _Outcome:
        key = key_of(autoscaler)
        settings = self._settings.of(autoscaler)
        service = self._services.get(*key)
        private = serverlessservice.private_service_name(service) if service is not None else ""
        if service is None or not private:
            activators = self._activators(key, settings)
            await self._children.apply_service(autoscaler, service, serverlessservice.PROXY, activators, conditions)
            conditions.mark_unknown(podautoscaler.SKS_READY, "NotReady", "No Private Service Name")
            outcome = _Outcome(UNKNOWN_SCALE)
        else:
            status["metricsServiceName"] = private
            replicas = self._scaler.replicas(autoscaler) if podautoscaler.is_initialized(status) else None
            decider = self._deciders.update(key, settings, _labels(autoscaler), replicas)
            activity = _activity(conditions)
            step = await self._scaler.scale(autoscaler, service, settings, activity, decider.desired_scale)
            decider.step, decider.active = step, activity is not ACTIVATING
            self._note_poke(decider)
            outcome = _Outcome(step.scale, step.look_again_after)
            await self._apply_metric(autoscaler, settings, private, conditions)
            mode = self._mode(service, decider, activity, outcome.want)
            service = await self._children.apply_service(
                autoscaler, service, mode, self._activators(key, settings), conditions
            )
            _mark_service(status, conditions, service)
        self._report(key, settings, status, conditions, outcome.want)
        return outcome

    def _note_poke(self, decider: Decider) -> None:
        if decider.poked_at is not None:
            self._metrics.poke_to_scale_seconds.observe(self._clock.monotonic() - decider.poked_at)
            decider.poked_at = None

    def _mode(self, service: Object, decider: Decider, activity: Activity, want: int) -> str:
        if want == UNKNOWN_SCALE and activity is ACTIVE:
            return serverlessservice.mode_of(service)
        is_served = serves(want, decider.excess_burst_capacity)
        return serverlessservice.SERVE if is_served else serverlessservice.PROXY

    def _activators(self, key: Key, settings: Settings) -> int:
        ready = self._pods.counts(key).ready
        spec = settings.decider
        return num_activators(ready, spec.total_value, spec.target_burst_capacity, settings.activator_capacity)

    async def _apply_metric(self, autoscaler: Object, settings: Settings, private: str, conditions: Conditions) -> None:
        collection = settings.collection
        target = private if collection.scrapes_pods else ""
        spec = metric.metric_spec(collection.stable_window, collection.panic_window, target)
        known = self._collected.get(namespace_of(autoscaler), name_of(autoscaler))
        if known is None:
            await self._children.create(METRIC, metric.new_metric(autoscaler, spec), autoscaler, conditions)
        else:
            await self._children.update_spec(METRIC, known, spec, autoscaler, conditions)

    def _report(self, key: Key, settings: Settings, status: dict[str, Any], conditions: Conditions, want: int) -> None:
        """The scales and the condition Active, as they are now."""
        pods = self._pods.counts(key)
        status["actualScale"] = pods.ready
        if want != UNKNOWN_SCALE or status.get("desiredScale", UNKNOWN_SCALE) < 0:
            status["desiredScale"] = want
        threshold = settings.active_threshold(podautoscaler.is_initialized(status))
        if pods.ready >= threshold and status["serviceName"]:
            conditions.mark_true(podautoscaler.SCALE_TARGET_INITIALIZED)
        _mark_activity(conditions, next_activity(_activity(conditions), want, pods.ready, threshold))
        decider = self._deciders.get(key)
        if decider is not None:
            decider.metrics.show_pods(
                requested=want,
                ready=pods.ready,
                not_ready=pods.not_ready,
                pending=pods.pending,
                terminating=pods.terminating,
            )


def _mark_activity(conditions: Conditions, outlook: Outlook) -> None:
    match outlook:
        case Outlook.ACTIVE:
            conditions.mark_true(podautoscaler.ACTIVE)
        case Outlook.QUEUED:
            podautoscaler.mark_activating(conditions)
        case Outlook.NO_TRAFFIC:
            podautoscaler.mark_no_traffic(conditions)
        case Outlook.TIMED_OUT:
            podautoscaler.mark_timed_out(conditions)
        case Outlook.UNCHANGED:
            pass
        case _:
            assert_never(outlook)


def _activity(conditions: Conditions) -> Activity:
    status = conditions.status(podautoscaler.ACTIVE)
    return ACTIVE if status == TRUE else INACTIVE if status == FALSE else ACTIVATING


def _labels(autoscaler: Object) -> RevisionLabels:
    labels = labels_of(autoscaler)
    return (
        labels.get(LABEL_SERVICE, ""),
        labels.get(LABEL_CONFIGURATION, ""),
        labels.get(LABEL_REVISION) or name_of(autoscaler),
        namespace_of(autoscaler),
    )


def _mark_service(status: dict[str, Any], conditions: Conditions, service: Object) -> None:
    status["serviceName"] = serverlessservice.public_service_name(service)
    if serverlessservice.is_ready(service):
        conditions.mark_true(podautoscaler.SKS_READY)
    else:
        conditions.mark_unknown(podautoscaler.SKS_READY, "NotReady", serverlessservice.ready_message(service))
