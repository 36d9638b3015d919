"""Reconciling PodAutoscalers of class hpa: Kubernetes' HorizontalPodAutoscaler does the scaling, this sets it up.

The address always leads to the pods, there is always at least one, and the status repeats what the
HorizontalPodAutoscaler says of its scales. Nothing is collected and nothing is decided here. Source: contract,
autoscaler.md 11.
"""

from typing import Any

from autoscaler.children import Children
from autoscaler.cluster_settings import ClusterSettings
from upwell.api import podautoscaler, serverlessservice
from upwell.api.conditions import Conditions
from upwell.api.names import CLASS_HPA
from upwell.api.objects import (
    Key,
    Object,
    annotations_of,
    controller_reference,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    new_object,
)
from upwell.api.resources import HPA
from upwell.cluster.informer import Informer
from upwell.policy.horizontal import horizontal_spec, says_the_same
from upwell.policy.resolution import Settings

__all__ = ["HorizontalAutoscalers"]


class HorizontalAutoscalers:
    """See the module; `reconcile` is for a Reconciler."""

    def __init__(
        self,
        children: Children,
        autoscalers: Informer,
        services: Informer,
        horizontal: Informer,
        settings: ClusterSettings,
    ) -> None:
        """`services` are ServerlessServices, `horizontal` are HorizontalPodAutoscalers."""
        self._children = children
        self._autoscalers = autoscalers
        self._services = services
        self._horizontal = horizontal
        self._settings = settings

    async def reconcile(self, key: Key) -> float | None:
        """Bring PodAutoscaler `key` up to date, if it is of this class."""
        autoscaler = self._autoscalers.get(*key)
        if autoscaler is None or is_deleting(autoscaler) or podautoscaler.class_of(autoscaler) != CLASS_HPA:
            return None
        async with self._children.new_status(autoscaler) as draft:
            conditions = draft.conditions
            settings = self._settings.of(autoscaler)
            horizontal = await self._apply_horizontal(autoscaler, settings, conditions)
            service = await self._children.apply_service(
                autoscaler, self._services.get(*key), serverlessservice.SERVE, 0, conditions
            )
            _report(draft.status, conditions, settings, horizontal.get("status") or {}, service)
        return draft.held

    async def _apply_horizontal(self, autoscaler: Object, settings: Settings, conditions: Conditions) -> Object:
        spec = horizontal_spec(settings, annotations_of(autoscaler), autoscaler["spec"]["scaleTargetRef"])
        known = self._horizontal.get(namespace_of(autoscaler), name_of(autoscaler))
        if known is None:
            metadata = {
                "labels": dict(labels_of(autoscaler)),
                "annotations": dict(annotations_of(autoscaler)),
                "ownerReferences": [controller_reference(autoscaler)],
            }
            wanted = new_object(HPA, namespace_of(autoscaler), name_of(autoscaler), metadata=metadata, spec=spec)
            return await self._children.create(HPA, wanted, autoscaler, conditions)
        same = says_the_same(known["spec"], spec)
        return await self._children.update_spec(HPA, known, known["spec"] if same else spec, autoscaler, conditions)


def _report(
    status: dict[str, Any], conditions: Conditions, settings: Settings, scales: dict[str, Any], service: Object
) -> None:
    status["serviceName"] = serverlessservice.public_service_name(service)
    status["metricsServiceName"] = serverlessservice.private_service_name(service)
    status["desiredScale"] = int(scales.get("desiredReplicas") or 0)
    status["actualScale"] = current = int(scales.get("currentReplicas") or 0)
    conditions.mark_true(podautoscaler.ACTIVE)
    if not serverlessservice.is_ready(service):
        conditions.mark_unknown(podautoscaler.SKS_READY, "NotReady", "SKS Services are not ready yet")
        return
    conditions.mark_true(podautoscaler.SKS_READY)
    if current >= max(settings.min_scale, settings.initial_scale):
        conditions.mark_true(podautoscaler.SCALE_TARGET_INITIALIZED)
