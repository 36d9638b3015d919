"""The HorizontalPodAutoscalers of the local platform: every two seconds, from the pods' processes to a scale.

Resource metrics cpu and memory are measured; anything else has no source on a laptop, which the condition ScalingActive
says. Utilization is a share of what the pod's containers request; a container that requests no CPU counts as
one whole core, since on a laptop hardly any does. Two seconds stand for a cluster's fifteen; of `behavior` the
stabilization windows count, policies do not.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, Final, Protocol

from upwell.api.conditions import keep_transition_times
from upwell.api.objects import Key, Object, key_of, mutable, timestamp
from upwell.api.quantity import QuantityError, format_quantity, parse_quantity
from upwell.api.resources import DEPLOYMENT, HPA
from upwell.clock import Clock
from upwell.cluster.client import Client, PatchType
from upwell.cluster.errors import ApiError
from upwell.cluster.informer import Informer
from upwell.cluster.status import apply_status
from upwell.local.horizontal.algorithm import (
    SCALE_DOWN_WINDOW,
    SCALE_UP_WINDOW,
    Measured,
    Stabilizer,
    bounded,
    wanted,
)
from upwell.local.horizontal.usage import Meter, Usage
from upwell.telemetry import log

__all__ = ["HorizontalController", "RunningPod"]

LOG: Final = log.get("horizontal")
PERIOD: Final = 2.0
DEFAULT_UTILIZATION: Final = 80
CPU_REQUEST: Final = 1.0
"""Cores."""
MEMORY_REQUEST: Final = 128.0 * 2**20
"""Bytes."""


class RunningPod(Protocol):
    """What is needed of a pod of this machine."""

    @property
    def obj(self) -> Object: ...
    @property
    def ready(self) -> bool: ...
    @property
    def pids(self) -> Iterable[int]: ...


PodsOf = Callable[[str], Iterable[RunningPod]]
"""The pods of the Deployment with that uid."""


class HorizontalController:
    """See the module."""

    def __init__(self, client: Client, deployments: Informer, pods_of: PodsOf, clock: Clock) -> None:
        self._client = client
        self._deployments = deployments
        self._pods_of = pods_of
        self._clock = clock
        self._autoscalers = Informer(client, HPA, clock=clock)
        self._meter = Meter()
        self._stabilizers: dict[Key, Stabilizer] = {}
        self._autoscalers.add_handler(self._changed)

    async def run(self) -> None:
        """Scale until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._autoscalers.run(), name="watch of horizontalpodautoscalers")
            while True:
                await self._clock.sleep(PERIOD)
                if self._autoscalers.list():
                    await self._round()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._stabilizers.pop(key_of(old), None)

    async def _round(self) -> None:
        targets = [(autoscaler, self._target(autoscaler)) for autoscaler in self._autoscalers.list()]
        leaders = [
            pid
            for _, target in targets
            if target is not None
            for pod in self._pods_of(target["metadata"]["uid"])
            for pid in pod.pids
        ]
        usage = await asyncio.to_thread(self._meter.measure, leaders)
        for autoscaler, target in targets:
            try:
                await self._scale(autoscaler, target, usage)
            except (ApiError, QuantityError, KeyError, TypeError, ValueError) as error:
                LOG.warning("not scaled", autoscaler=str(key_of(autoscaler)), error=str(error))

    def _target(self, autoscaler: Object) -> Object | None:
        reference = autoscaler["spec"]["scaleTargetRef"]
        if reference.get("kind") != DEPLOYMENT.kind:
            return None
        return self._deployments.get(key_of(autoscaler).namespace, str(reference.get("name")))

    async def _scale(self, autoscaler: Object, target: Object | None, usage: dict[int, Usage]) -> None:
        status = _Status(autoscaler, self._clock.now())
        if target is None:
            status.set("AbleToScale", False, "FailedGetScale", "there is no such Deployment")
            await apply_status(self._client, HPA, autoscaler, status.content)
            return
        current = int(target["spec"].get("replicas", 1))
        status.content["currentReplicas"] = current
        status.set(
            "AbleToScale", True, "SucceededGetScale", "the autoscaler was able to get the target's current scale"
        )
        desired = self._desired(autoscaler, target, usage, current, status)
        status.content["desiredReplicas"] = desired
        if desired != current:
            patch = [{"op": "add", "path": "/spec/replicas", "value": desired}]
            key = key_of(target)
            await self._client.patch(
                DEPLOYMENT, key.name, key.namespace, patch, kind=PatchType.JSON, subresource="scale"
            )
            status.content["lastScaleTime"] = timestamp(self._clock.now())
            LOG.info("scaled", autoscaler=str(key_of(autoscaler)), pods_from=current, pods_to=desired)
        await apply_status(self._client, HPA, autoscaler, status.content)

    def _desired(
        self, autoscaler: Object, target: Object, usage: dict[int, Usage], current: int, status: "_Status"
    ) -> int:
        spec = autoscaler["spec"]
        if current == 0:
            status.set(
                "ScalingActive", False, "ScalingDisabled", "scaling is disabled while the target has no replicas"
            )
            return 0
        pods = list(self._pods_of(target["metadata"]["uid"]))
        wishes, shown = [], []
        for metric in spec.get("metrics") or [_cpu(DEFAULT_UTILIZATION)]:
            wish, current_metric = _wish(metric, pods, usage, current)
            if wish is not None:
                wishes.append(wish)
                shown.append(current_metric)
        status.content["currentMetrics"] = shown
        lowest, highest = int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
        if not wishes:
            why = "no metric of the object has figures here; the local platform measures cpu and memory"
            status.set("ScalingActive", False, "FailedGetResourceMetric", why)
            return bounded(current, lowest, highest)[0]
        status.set("ScalingActive", True, "ValidMetricFound", "a replica count was calculated from the metrics")
        stabilizer = self._stabilizers.setdefault(key_of(autoscaler), Stabilizer())
        behavior = spec.get("behavior") or {}
        settled = stabilizer.settle(
            self._clock.monotonic(),
            max(wishes),
            current,
            _window(behavior, "scaleUp", SCALE_UP_WINDOW),
            _window(behavior, "scaleDown", SCALE_DOWN_WINDOW),
        )
        desired, limit = bounded(settled, lowest, highest)
        limited = "the desired count is held by a bound" if limit else "the desired count is within the bounds"
        status.set("ScalingLimited", bool(limit), limit or "DesiredWithinRange", limited)
        return desired


class _Status:
    """A new status for a HorizontalPodAutoscaler."""

    def __init__(self, autoscaler: Object, now: float) -> None:
        self._old = autoscaler.get("status") or {}
        self._now = timestamp(now)
        self.content: dict[str, Any] = mutable(self._old)
        self.content["observedGeneration"] = autoscaler["metadata"].get("generation", 0)
        self.content.setdefault("desiredReplicas", 0)

    def set(self, kind: str, holds: bool, reason: str, message: str) -> None:
        condition = {
            "type": kind,
            "status": "True" if holds else "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": self._now,
        }
        others = [one for one in self.content.get("conditions") or () if one["type"] != kind]
        self.content["conditions"] = sorted([*others, condition], key=lambda one: str(one["type"]))
        keep_transition_times(self._old.get("conditions") or (), self.content)


def _cpu(utilization: int) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": utilization}}}


def _window(behavior: dict[str, Any], way: str, default: float) -> float:
    seconds = (behavior.get(way) or {}).get("stabilizationWindowSeconds")
    return default if seconds is None else float(seconds)


def _wish(
    metric: dict[str, Any], pods: list[RunningPod], usage: dict[int, Usage], current: int
) -> tuple[int | None, dict[str, Any]]:
    """Pods that one metric of the spec asks for, None without figures; and what the status says of it."""
    resource = metric.get("resource") or {}
    name, target = resource.get("name"), resource.get("target") or {}
    if metric.get("type") != "Resource" or name not in ("cpu", "memory"):
        return None, {}
    measured = [_measured(pod, str(name), target, usage) for pod in pods]
    used = [one.used for one in measured if one.used is not None]
    average = sum(used) / len(used) if used else 0.0
    current_target: dict[str, Any] = {"averageValue": _quantity(str(name), average)}
    if "averageUtilization" in target and used:
        requested = sum(_request(pod, str(name)) for pod in pods) / len(pods)
        current_target["averageUtilization"] = round(100 * average / requested)
    return wanted(measured, current), {"type": "Resource", "resource": {"name": name, "current": current_target}}


def _measured(pod: RunningPod, name: str, target: dict[str, Any], usage: dict[int, Usage]) -> Measured:
    figures = [usage[pid] for pid in pod.pids if pid in usage]
    used = sum(getattr(one, name) for one in figures) if figures else None
    if "averageUtilization" in target:
        aim = _request(pod, name) * int(target["averageUtilization"]) / 100
    else:
        aim = float(parse_quantity(str(target["averageValue"])))
    return Measured(pod.ready, used, aim)


def _request(pod: RunningPod, name: str) -> float:
    """What the pod's containers request, in cores or bytes."""
    total = 0.0
    for container in (pod.obj.get("spec") or {}).get("containers") or ():
        asked = ((container.get("resources") or {}).get("requests") or {}).get(name)
        total += float(parse_quantity(str(asked))) if asked is not None else _default_request(container, name)
    return max(total, 0.001)


def _default_request(container: Object, name: str) -> float:
    # The sidecar's own share is small, and is measured with the app's.
    if container.get("name") == "queue-proxy":
        return 0.0
    return CPU_REQUEST if name == "cpu" else MEMORY_REQUEST


def _quantity(name: str, value: float) -> str:
    return format_quantity(Fraction(math.ceil(value * 1000), 1000) if name == "cpu" else Fraction(round(value)))
