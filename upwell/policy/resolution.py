"""The settings that are in force for one revision: the cluster's, unless its annotations say otherwise.

`resolve` never fails: an annotation that cannot be read counts as not set, since a revision that got past admission,
under an older rule say, must still scale. `Settings` is all that the rest of the policy needs to know about a
revision. Source: contract, autoscaler.md 2.2.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from upwell.policy import annotations as keys
from upwell.policy.autoscaler_config import TARGET_MINIMUM, TARGET_UTILISATION_OTHER, AutoscalerConfig
from upwell.policy.collector import METRIC_CONCURRENCY, METRIC_RPS, WEIGHTED_EXPONENTIAL, CollectionSpec
from upwell.policy.decider import DeciderSpec
from upwell.policy.durations import parse_duration, seconds
from upwell.policy.quantities import parse_float, parse_int32

__all__ = ["UNREACHABLE", "Settings", "initial_scale", "metric_name", "normalised_aggregation", "resolve"]

UNREACHABLE: Final = "Unreachable"
PANIC_WINDOW_MINIMUM: Final = 1.0
"""Seconds."""

DEFAULT_METRICS: Final = {keys.CLASS_KPA: METRIC_CONCURRENCY, keys.CLASS_HPA: "cpu"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the policy needs to know about one revision."""

    decider: DeciderSpec
    collection: CollectionSpec
    initial_scale: int
    min_scale: int
    """0 for an unreachable revision, whatever was asked for."""
    max_scale: int
    """0 means no maximum."""
    activator_capacity: float
    last_pod_retention: float
    """Seconds that the last pod stays at least; 0 for an unreachable revision."""
    enable_scale_to_zero: bool
    scale_to_zero_grace_period: float
    """Seconds."""
    progress_deadline: float
    """Seconds that pods may take to become ready."""

    def active_threshold(self, initialized: bool) -> int:
        """Ready pods from which the revision counts as active; `initialized` once it had its initial scale."""
        return max(self.min_scale, 1 if initialized else self.initial_scale)

    def fresh_excess_burst_capacity(self) -> int:
        """The room for a burst to assume before the first decision: that of the initial pods, idle."""
        burst = self.decider.target_burst_capacity
        if burst in (0, -1):
            return int(burst)
        return math.trunc(self.initial_scale * self.decider.total_value - burst)


def resolve(
    config: AutoscalerConfig,
    annotations: Mapping[str, str],
    *,
    container_concurrency: int = 0,
    reachability: str = "",
    progress_deadline: float = 600.0,
) -> Settings:
    """The settings in force; `progress_deadline` is the cluster's, in seconds."""
    reachable = reachability != UNREACHABLE
    stable_window = _get(annotations, keys.WINDOW, _seconds, config.stable_window)
    metric = metric_name(annotations)
    target, total = _target(config, annotations, metric, container_concurrency)
    decider = DeciderSpec(
        metric=metric,
        target_value=target,
        total_value=total,
        target_burst_capacity=_get(annotations, keys.TARGET_BURST_CAPACITY, parse_float, config.target_burst_capacity),
        panic_threshold=_get(annotations, keys.PANIC_THRESHOLD, parse_float, config.panic_threshold_percentage) / 100,
        max_scale_up_rate=config.max_scale_up_rate,
        max_scale_down_rate=config.max_scale_down_rate,
        stable_window=stable_window,
        scale_down_delay=_get(annotations, keys.SCALE_DOWN_DELAY, _seconds, config.scale_down_delay),
        activation_scale=_get(annotations, keys.ACTIVATION_SCALE, parse_int32, 0),
        reachable=reachable,
    )
    retention = _get(annotations, keys.RETENTION, _seconds, config.scale_to_zero_pod_retention_period)
    return Settings(
        decider=decider,
        collection=_collection(config, annotations, decider),
        initial_scale=initial_scale(config, annotations),
        min_scale=_get(annotations, keys.MIN_SCALE, parse_int32, config.min_scale) if reachable else 0,
        max_scale=_get(annotations, keys.MAX_SCALE, parse_int32, config.max_scale),
        activator_capacity=config.activator_capacity,
        last_pod_retention=retention if reachable else 0.0,
        enable_scale_to_zero=config.enable_scale_to_zero,
        scale_to_zero_grace_period=config.scale_to_zero_grace_period,
        progress_deadline=_get(annotations, keys.PROGRESS_DEADLINE, _seconds, progress_deadline),
    )


def initial_scale(config: AutoscalerConfig, annotations: Mapping[str, str]) -> int:
    """Pods that a new revision starts with; a 0 that the cluster does not allow counts as not set."""
    pods = _get(annotations, keys.INITIAL_SCALE, parse_int32, config.initial_scale)
    return pods if pods > 0 or config.allow_zero_initial_scale else config.initial_scale


def metric_name(annotations: Mapping[str, str]) -> str:
    """What to scale on: as asked for, else the class's default (no class is kpa); empty for a class not our own."""
    asked = annotations.get(keys.METRIC[0])
    if asked is not None:
        return asked
    return DEFAULT_METRICS.get(annotations.get(keys.CLASS[0]) or keys.CLASS_KPA, "")


def normalised_aggregation(name: str) -> str:
    """The one spelling of the ways to average."""
    return WEIGHTED_EXPONENTIAL if name == "weightedExponential" else name


def _target(
    config: AutoscalerConfig, annotations: Mapping[str, str], metric: str, container_concurrency: int
) -> tuple[float, float]:
    """Load per pod to aim for, and what a pod can bear.

    With containerConcurrency 10 and the default share of 0.7, a pod bears 10 and 7 is aimed for.
    """
    if metric == METRIC_RPS:
        total, share = config.requests_per_second_target_default, TARGET_UTILISATION_OTHER
    else:
        total = container_concurrency or config.container_concurrency_target_default
        share = config.container_concurrency_target_fraction
    asked = _get(annotations, keys.TARGET, parse_float, None)
    if asked is not None:
        limited = metric == METRIC_CONCURRENCY and container_concurrency != 0
        total = min(asked, container_concurrency) if limited else asked
    percentage = _get(annotations, keys.UTILISATION, parse_float, None)
    if percentage is not None:
        share = percentage / 100
    return max(TARGET_MINIMUM, total * share), total


def _collection(config: AutoscalerConfig, annotations: Mapping[str, str], decider: DeciderSpec) -> CollectionSpec:
    percentage = _get(annotations, keys.PANIC_WINDOW, parse_float, config.panic_window_percentage)
    aggregation = keys.lookup(annotations, keys.AGGREGATION)
    return CollectionSpec(
        stable_window=decider.stable_window,
        panic_window=max(PANIC_WINDOW_MINIMUM, math.floor(decider.stable_window * percentage / 100 + 0.5)),
        scrapes_pods=decider.target_burst_capacity != -1,
        aggregation=normalised_aggregation(aggregation[1]) if aggregation else "",
    )


def _get(annotations: Mapping[str, str], names: keys.Keys, parse: Callable[[str], T], default: T) -> T:
    found = keys.lookup(annotations, names)
    if found is None:
        return default
    try:
        return parse(found[1])
    except (ValueError, OverflowError):
        return default


def _seconds(text: str) -> float:
    return seconds(parse_duration(text))
