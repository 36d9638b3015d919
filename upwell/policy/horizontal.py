"""Class hpa: what a PodAutoscaler of that class asks of Kubernetes' HorizontalPodAutoscaler.

`horizontal_spec` makes the spec; which load per pod to aim for comes from the annotation `target` alone, and without it
Kubernetes aims for its own default, 80 % of the requested CPU. `says_the_same` compares with a stored spec, in which
the API server has filled in what was not said. Source: contract, autoscaler.md 11.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from upwell.policy import annotations as keys
from upwell.policy.quantities import INT32_MAX, parse_float
from upwell.policy.resolution import Settings

__all__ = ["horizontal_spec", "says_the_same"]

DEFAULT_METRICS: Final = [
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
]
"""What the API server fills in where no metric is named."""


def horizontal_spec(settings: Settings, annotations: Mapping[str, str], target: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of the HorizontalPodAutoscaler (autoscaling/v2) that scales `target`, a reference to a workload."""
    spec: dict[str, Any] = {"scaleTargetRef": dict(target), "maxReplicas": settings.max_scale or INT32_MAX}
    if settings.min_scale > 0:
        spec["minReplicas"] = settings.min_scale
    aim = _target(annotations)
    if aim is not None:
        spec["metrics"] = [_metric(settings.decider.metric, aim)]
    if keys.lookup(annotations, keys.WINDOW) is not None:
        window = {"stabilizationWindowSeconds": math.floor(settings.decider.stable_window)}
        spec["behavior"] = {"scaleUp": dict(window), "scaleDown": dict(window)}
    return spec


def says_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two specs ask for the same, one of them with the API server's defaults in it."""
    return _effective(one) == _effective(other)


def _target(annotations: Mapping[str, str]) -> float | None:
    found = keys.lookup(annotations, keys.TARGET)
    try:
        return None if found is None else parse_float(found[1])
    except (ValueError, OverflowError):
        return None


def _metric(name: str, target: float) -> dict[str, Any]:
    if name == "cpu":
        aim: dict[str, Any] = {"type": "Utilization", "averageUtilization": math.ceil(target)}
        return {"type": "Resource", "resource": {"name": name, "target": aim}}
    if name == "memory":
        aim = {"type": "AverageValue", "averageValue": f"{int(target)}Mi"}
        return {"type": "Resource", "resource": {"name": name, "target": aim}}
    aim = {"type": "AverageValue", "averageValue": str(int(target))}
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": aim}}


def _effective(spec: Mapping[str, Any]) -> tuple[Any, ...]:
    behavior = spec.get("behavior") or {}
    windows = [(behavior.get(way) or {}).get("stabilizationWindowSeconds") for way in ("scaleUp", "scaleDown")]
    metrics = spec.get("metrics") or DEFAULT_METRICS
    return (spec.get("scaleTargetRef"), spec.get("maxReplicas"), spec.get("minReplicas") or 1, metrics, windows)
