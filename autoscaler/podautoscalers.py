"""Reconciling PodAutoscalers of class kpa: from what the decider wants to what the cluster is told.

In the order of the contract (autoscaler.md 8): make the ServerlessService; set up the decider and the Metric; scale
the workload; choose Serve or Proxy and the number of activators; say all that in the status. The scale comes
before the other writes, because a waiting request depends on it.

One departure: a revision that is active keeps its mode until the first decision is there. Knative sends it through
the activator then, so that a restarted autoscaler moves the traffic of every busy revision at once.
"""

from dataclasses import dataclass
from typing import Any, Final, assert_never

from autoscaler.cluster_settings import ClusterSettings
from autoscaler.deciders import Decider, Deciders
from autoscaler.metrics import AutoscalerMetrics, RevisionLabels
from autoscaler.pods import Pods
from autoscaler.scaler import Scaler
from upwell.api import metric, podautoscaler, serverlessservice
from upwell.api.conditions import FALSE, READY, TRUE, Conditions, keep_transition_times
from upwell.api.names import CLASS_KPA, LABEL_CONFIGURATION, LABEL_REVISION, LABEL_SERVICE
from upwell.api.objects import (
    Key,
    Object,
    annotations_of,
    is_controlled_by,
    is_deleting,
    key_of,
    labels_of,
    mutable,
    name_of,
    namespace_of,
)
from upwell.api.resources import METRIC, POD_AUTOSCALER, SERVERLESS_SERVICE, Resource
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists
from upwell.cluster.informer import Informer
from upwell.cluster.status import apply_status
from upwell.policy.capacity import num_activators
from upwell.policy.decider import UNKNOWN_SCALE
from upwell.policy.resolution import Settings, resolve
from upwell.policy.scale_to_zero import ACTIVATING, ACTIVE, INACTIVE, Activity, Outlook, next_activity

__all__ = ["NotOwned", "PodAutoscalers"]

FEWEST_ACTIVATORS: Final = 2


class NotOwned(Exception):  # noqa: N818  # it is what is wrong with the object
    """An object with the name that ours would have belongs to somebody else."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one pass came to."""

    want: int
    look_again_after: float | None = None


class PodAutoscalers:
    """See the module; `reconcile` is for a Reconciler."""

    def __init__(
        self,
        client: Client,
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
        self._client = client
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
        status: dict[str, Any] = {
            "serviceName": "",
            "metricsServiceName": "",
            **mutable(autoscaler.get("status") or {}),
        }
        conditions = _begin(autoscaler, status, self._clock.now())
        try:
            outcome = await self._bring_up_to_date({**autoscaler, "status": status}, status, conditions)
        except Exception:
            # The status says what went wrong, and for which generation.
            await self._write_status(autoscaler, status)
            raise
        await self._write_status(autoscaler, status)
        return outcome.look_again_after

    async def _write_status(self, autoscaler: Object, status: dict[str, Any]) -> None:
        status["observedGeneration"] = autoscaler["metadata"].get("generation", 0)
        keep_transition_times((autoscaler.get("status") or {}).get("conditions") or (), status)
        await apply_status(self._client, POD_AUTOSCALER, autoscaler, status)

    async def _bring_up_to_date(self, autoscaler: Object, status: dict[str, Any], conditions: Conditions) -> _Outcome:
        key = key_of(autoscaler)
        settings = self._resolve(autoscaler)
        service = self._services.get(*key)
        private = serverlessservice.private_service_name(service) if service is not None else ""
        if service is None or not private:
            await self._apply_service(autoscaler, service, serverlessservice.PROXY, FEWEST_ACTIVATORS, conditions)
            conditions.mark_unknown(podautoscaler.SKS_READY, "NotReady", "No Private Service Name")
            outcome = _Outcome(UNKNOWN_SCALE)
        else:
            status["metricsServiceName"] = private
            decider = self._deciders.update(key, settings, _labels(autoscaler))
            activity = _activity(conditions)
            step = await self._scaler.scale(autoscaler, service, settings, activity, decider.desired_scale)
            self._note_poke(decider)
            outcome = _Outcome(step.scale, step.look_again_after)
            await self._apply_metric(autoscaler, settings, private, conditions)
            mode = self._mode(service, decider, activity, outcome.want)
            service = await self._apply_service(autoscaler, service, mode, self._activators(key, settings), conditions)
            _mark_service(status, conditions, service)
        self._report(key, settings, status, conditions, outcome.want)
        return outcome

    def _note_poke(self, decider: Decider) -> None:
        if decider.poked_at is not None:
            self._metrics.poke_to_scale_seconds.observe(self._clock.monotonic() - decider.poked_at)
            decider.poked_at = None

    def _resolve(self, autoscaler: Object) -> Settings:
        return resolve(
            self._settings.autoscaler,
            annotations_of(autoscaler),
            container_concurrency=podautoscaler.container_concurrency(autoscaler),
            reachability=podautoscaler.reachability(autoscaler),
            progress_deadline=self._settings.progress_deadline,
        )

    def _mode(self, service: Object, decider: Decider, activity: Activity, want: int) -> str:
        if want == UNKNOWN_SCALE and activity is ACTIVE:
            return serverlessservice.mode_of(service)
        return serverlessservice.SERVE if want > 0 and decider.excess_burst_capacity >= 0 else serverlessservice.PROXY

    def _activators(self, key: Key, settings: Settings) -> int:
        ready = self._pods.counts(key).ready
        spec = settings.decider
        return num_activators(ready, spec.total_value, spec.target_burst_capacity, settings.activator_capacity)

    async def _apply_service(
        self, autoscaler: Object, known: Object | None, mode: str, activators: int, conditions: Conditions
    ) -> Object:
        spec = serverlessservice.serverless_service_spec(autoscaler, mode, activators)
        if known is None:
            wanted = serverlessservice.new_serverless_service(autoscaler, spec)
            return await self._create(SERVERLESS_SERVICE, wanted, autoscaler, conditions)
        _check_owner(autoscaler, known, conditions)
        if known["spec"] == spec:
            return known
        return await self._client.update(SERVERLESS_SERVICE, {**known, "spec": spec})

    async def _apply_metric(self, autoscaler: Object, settings: Settings, private: str, conditions: Conditions) -> None:
        collection = settings.collection
        target = private if collection.scrapes_pods else ""
        spec = metric.metric_spec(collection.stable_window, collection.panic_window, target)
        known = self._collected.get(namespace_of(autoscaler), name_of(autoscaler))
        if known is None:
            await self._create(METRIC, metric.new_metric(autoscaler, spec), autoscaler, conditions)
            return
        _check_owner(autoscaler, known, conditions)
        if known["spec"] != spec:
            await self._client.update(METRIC, {**known, "spec": spec})

    async def _create(self, resource: Resource, wanted: Object, autoscaler: Object, conditions: Conditions) -> Object:
        try:
            return await self._client.create(resource, wanted)
        except AlreadyExists:
            # Our copy is behind, or it is somebody else's; a difference to what is wanted shows when it catches up.
            found = await self._client.get(resource, name_of(wanted), namespace_of(wanted))
            _check_owner(autoscaler, found, conditions)
            return found

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


def _begin(autoscaler: Object, status: dict[str, Any], now: float) -> Conditions:
    """The conditions at the start of a pass (contract: control-plane.md 1)."""
    conditions = podautoscaler.CONDITIONS.manage(status, now)
    conditions.init()
    if status.get("observedGeneration") != autoscaler["metadata"].get("generation"):
        conditions.mark_unknown(READY, "NewObservedGenFailure", "unsuccessfully observed a new generation")
    return conditions


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


def _check_owner(autoscaler: Object, known: Object, conditions: Conditions) -> None:
    if not is_controlled_by(known, autoscaler):
        podautoscaler.mark_not_owned(conditions, known["kind"], name_of(known))
        raise NotOwned(f"{known['kind']} {key_of(known)} is not controlled by PodAutoscaler {name_of(autoscaler)}")
