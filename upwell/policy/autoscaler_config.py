"""The cluster's autoscaling settings: the config map `config-autoscaler`, parsed and checked.

`parse_autoscaler_config` takes the config map's data and returns a frozen `AutoscalerConfig`, or raises ConfigError
naming the first key that is wrong; then the whole config map counts as wrong, and whoever reads it keeps the last
good one. Unknown keys are ignored. Durations are kept in seconds. Source: contract, autoscaler.md 2.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from upwell.policy.durations import format_duration, is_whole_seconds, parse_duration, seconds
from upwell.policy.quantities import format_float, parse_bool, parse_float, parse_int32
from upwell.ports import ConfigError

__all__ = ["TARGET_MINIMUM", "WINDOW_MAXIMUM", "WINDOW_MINIMUM", "AutoscalerConfig", "parse_autoscaler_config"]

TARGET_MINIMUM: Final = 0.01
"""The lowest load per pod that may be aimed for."""
WINDOW_MINIMUM: Final = parse_duration("6s")
WINDOW_MAXIMUM: Final = parse_duration("1h")
"""Bounds of a stable window, in nanoseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalerConfig:
    """Settings for every revision that does not say otherwise."""

    pod_autoscaler_class: str = "kpa.autoscaling.knative.dev"
    enable_scale_to_zero: bool = True
    allow_zero_initial_scale: bool = False
    max_scale_up_rate: float = 1000.0
    """Not more than this many times the ready pods in one decision."""
    max_scale_down_rate: float = 2.0
    container_concurrency_target_fraction: float = 0.7
    """The share of what a pod bears that is aimed for, when scaling on concurrency."""
    container_concurrency_target_default: float = 100.0
    """What a pod without a concurrency limit is taken to bear."""
    requests_per_second_target_default: float = 200.0
    target_burst_capacity: float = 211.0
    """Room to keep before activators step in: -1 they always do, 0 never."""
    panic_window_percentage: float = 10.0
    activator_capacity: float = 100.0
    """Concurrent requests that one activator is taken to bear."""
    panic_threshold_percentage: float = 200.0
    initial_scale: int = 1
    min_scale: int = 0
    max_scale: int = 0
    """0 means no maximum."""
    max_scale_limit: int = 0
    """The highest maximum a revision may ask for; 0 means any."""
    stable_window: float = 60.0
    """Seconds."""
    scale_down_delay: float = 0.0
    """Seconds."""
    scale_to_zero_grace_period: float = 30.0
    """Seconds."""
    scale_to_zero_pod_retention_period: float = 0.0
    """Seconds that the last pod stays at least."""


TARGET_UTILISATION_OTHER: Final = 0.7
"""The share that is aimed for when scaling on anything but concurrency; not configurable."""

# The order is that in which the reference reports problems.
_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "pod-autoscaler-class": str.strip,
    "enable-scale-to-zero": parse_bool,
    "allow-zero-initial-scale": parse_bool,
    "max-scale-up-rate": parse_float,
    "max-scale-down-rate": parse_float,
    "container-concurrency-target-percentage": parse_float,
    "container-concurrency-target-default": parse_float,
    "requests-per-second-target-default": parse_float,
    "target-burst-capacity": parse_float,
    "panic-window-percentage": parse_float,
    "activator-capacity": parse_float,
    "panic-threshold-percentage": parse_float,
    "initial-scale": parse_int32,
    "min-scale": parse_int32,
    "max-scale": parse_int32,
    "max-scale-limit": parse_int32,
    "stable-window": parse_duration,
    "scale-down-delay": parse_duration,
    "scale-to-zero-grace-period": parse_duration,
    "scale-to-zero-pod-retention-period": parse_duration,
}
_PERCENTAGE: Final = "container-concurrency-target-percentage"


def parse_autoscaler_config(data: Mapping[str, str]) -> AutoscalerConfig:
    """The settings in `data`, defaults filled in; raise ConfigError for the first that is wrong."""
    values: dict[str, Any] = {}
    for key, parse in _PARSERS.items():
        if key in data:
            try:
                values[key] = parse(data[key])
            except (ValueError, OverflowError) as error:
                raise ConfigError(f'failed to parse data: failed to parse "{key}": {error}') from error
    percentage = values.pop(_PERCENTAGE, 70.0)
    # A percentage of at most 1 is taken as a fraction already: "1" means all, "0.7" what "70" does.
    fraction = percentage / 100 if percentage > 1 else percentage
    exact = {key: value for key, value in values.items() if _PARSERS[key] is parse_duration}
    settings: dict[str, Any] = {_field(key): seconds(value) if key in exact else value for key, value in values.items()}
    config = AutoscalerConfig(container_concurrency_target_fraction=fraction, **settings)
    for problem in _problems(config, exact):
        raise ConfigError(problem)
    return config


def _field(key: str) -> str:
    return key.replace("-", "_")


def _problems(config: AutoscalerConfig, exact: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with `config`, worst first; `exact` are its durations that were given, in nanoseconds."""
    yield from _duration_problems(exact)
    yield from _target_problems(config)
    if config.activator_capacity < 1:
        yield f"activator-capacity = {format_float(config.activator_capacity)}, must be at least 1"
    for key, rate in (("up", config.max_scale_up_rate), ("down", config.max_scale_down_rate)):
        if rate <= 1:
            yield f"max-scale-{key}-rate = {format_float(rate)}, must be greater than 1.0"
    yield from _window_problems(config, exact)
    yield from _scale_problems(config)


def _duration_problems(exact: Mapping[str, int]) -> Iterator[str]:
    grace = exact.get("scale-to-zero-grace-period", 1)
    if grace <= 0:
        yield f"scale-to-zero-grace-period must be positive, was: {format_duration(grace)}"
    retention = exact.get("scale-to-zero-pod-retention-period", 0)
    if retention < 0:
        yield f"scale-to-zero-pod-retention-period cannot be negative, was: {format_duration(retention)}"
    delay = exact.get("scale-down-delay", 0)
    if delay < 0:
        yield f"scale-down-delay cannot be negative, was: {format_duration(delay)}"
    if not is_whole_seconds(delay):
        yield f"scale-down-delay = {format_duration(delay)}, must be specified with at most second precision"


def _target_problems(config: AutoscalerConfig) -> Iterator[str]:
    burst, fraction = config.target_burst_capacity, config.container_concurrency_target_fraction
    if burst < 0 and burst != -1:
        yield f"target-burst-capacity must be either non-negative or -1 (for unlimited), was: {burst:f}"
    if not 0 < fraction <= 1:
        yield f"{_PERCENTAGE} = {fraction:f} is outside of valid range of (0, 100]"
    target = fraction * config.container_concurrency_target_default
    if target < TARGET_MINIMUM:
        yield (
            f"{_PERCENTAGE} and container-concurrency-target-default yield target concurrency of "
            f"{format_float(target)}, can't be less than {TARGET_MINIMUM}"
        )
    rate = config.requests_per_second_target_default
    if rate < TARGET_MINIMUM:
        yield f"requests-per-second-target-default must be at least {TARGET_MINIMUM}, was: {format_float(rate)}"


def _window_problems(config: AutoscalerConfig, exact: Mapping[str, int]) -> Iterator[str]:
    window = exact.get("stable-window", WINDOW_MINIMUM)
    if not WINDOW_MINIMUM <= window <= WINDOW_MAXIMUM:
        bounds = f"[{format_duration(WINDOW_MINIMUM)}; {format_duration(WINDOW_MAXIMUM)}]"
        yield f"stable-window = {format_duration(window)}, must be in {bounds} range"
    if not is_whole_seconds(window):
        yield f"stable-window = {format_duration(window)}, must be specified with at most second precision"
    share = config.panic_window_percentage
    if not 1 <= share <= 100:
        yield f"panic-window-percentage = {format_float(share)}, must be in [1, 100] interval"


def _scale_problems(config: AutoscalerConfig) -> Iterator[str]:
    if config.initial_scale < (0 if config.allow_zero_initial_scale else 1):
        yield (
            f"initial-scale = {config.initial_scale}, must be at least 0 "
            "(or at least 1 when allow-zero-initial-scale is false)"
        )
    limit = config.max_scale_limit
    if limit < 0:
        yield f"max-scale-limit = {limit}, must be at least 0"
    lowest, highest = (1, limit) if limit > 0 else (0, config.max_scale)
    if not lowest <= config.max_scale <= highest:
        yield f"max-scale = {config.max_scale}, must be in [{lowest}, max-scale-limit({limit})] range"
    if config.min_scale < 0:
        yield f"min-scale = {config.min_scale}, must be at least 0"
    if 0 < config.max_scale < config.min_scale:
        yield f"min-scale ({config.min_scale}) must be less than max-scale ({config.max_scale})"
