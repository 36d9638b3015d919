"""A revision's own autoscaling settings: the annotations `autoscaling.knative.dev/...`, looked up and checked.

Most have an older spelling, `minScale` beside `min-scale`; where both are given the hyphenated one wins.
`validate_annotations` is what admission asks: it reports every problem, as a message and the keys it is about, which
are what a FieldError (upwell.api.field_errors) is made of. What a setting means when it got past admission all the
same is in `upwell.policy.resolution`. Source: contract, autoscaler.md 2.1.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from upwell.policy.autoscaler_config import TARGET_MINIMUM, WINDOW_MAXIMUM, WINDOW_MINIMUM, AutoscalerConfig
from upwell.policy.durations import format_duration, is_whole_seconds, parse_duration
from upwell.policy.quantities import INT32_MAX, parse_float, parse_int32

__all__ = [
    "ACTIVATION_SCALE",
    "AGGREGATION",
    "CLASS",
    "CLASS_HPA",
    "CLASS_KPA",
    "INITIAL_SCALE",
    "MAX_SCALE",
    "METRIC",
    "MIN_SCALE",
    "PANIC_THRESHOLD",
    "PANIC_WINDOW",
    "PREFIX",
    "PROGRESS_DEADLINE",
    "RETENTION",
    "SCALE_DOWN_DELAY",
    "TARGET",
    "TARGET_BURST_CAPACITY",
    "UTILISATION",
    "WINDOW",
    "Problem",
    "lookup",
    "validate_annotations",
]

PREFIX: Final = "autoscaling.knative.dev/"
CLASS_KPA: Final = "kpa.autoscaling.knative.dev"
CLASS_HPA: Final = "hpa.autoscaling.knative.dev"

Keys = tuple[str, ...]
"""The spellings of one annotation, the winning one first."""


class Problem(NamedTuple):
    """What is wrong, and with which annotations."""

    message: str
    keys: tuple[str, ...]


def _keys(*names: str) -> Keys:
    return tuple(PREFIX + name for name in names)


CLASS: Final = _keys("class")
METRIC: Final = _keys("metric")
MIN_SCALE: Final = _keys("min-scale", "minScale")
MAX_SCALE: Final = _keys("max-scale", "maxScale")
INITIAL_SCALE: Final = _keys("initial-scale", "initialScale")
ACTIVATION_SCALE: Final = _keys("activation-scale")
TARGET: Final = _keys("target")
UTILISATION: Final = _keys("target-utilization-percentage", "targetUtilizationPercentage")
TARGET_BURST_CAPACITY: Final = _keys("target-burst-capacity", "targetBurstCapacity")
WINDOW: Final = _keys("window")
PANIC_WINDOW: Final = _keys("panic-window-percentage", "panicWindowPercentage")
PANIC_THRESHOLD: Final = _keys("panic-threshold-percentage", "panicThresholdPercentage")
SCALE_DOWN_DELAY: Final = _keys("scale-down-delay", "scaleDownDelay")
RETENTION: Final = _keys("scale-to-zero-pod-retention-period", "scaleToZeroPodRetentionPeriod")
AGGREGATION: Final = _keys("metric-aggregation-algorithm", "metricAggregationAlgorithm")
PROGRESS_DEADLINE: Final = ("serving.knative.dev/progress-deadline",)

_KPA_METRICS: Final = ("concurrency", "rps")
_AGGREGATIONS: Final = ("", "linear", "weighted-exponential", "weightedExponential")


def lookup(annotations: Mapping[str, str], keys: Keys) -> tuple[str, str] | None:
    """The key that is in force and its value; None when no spelling is present."""
    for key in keys:
        value = annotations.get(key)
        if value is not None:
            return key, value
    return None


def validate_annotations(annotations: Mapping[str, str], config: AutoscalerConfig) -> list[Problem]:
    """Every problem of the autoscaling `annotations`, alphabetically; empty when they are fine."""
    problems = [
        *_class_errors(annotations),
        *_scale_errors(annotations, config),
        *_float_errors(annotations),
        *_duration_errors(annotations),
        *_metric_errors(annotations, config),
        *_initial_scale_errors(annotations, config),
    ]
    return sorted(problems)


def _class_errors(annotations: Mapping[str, str]) -> Iterator[Problem]:
    name = annotations.get(CLASS[0])
    if name is not None and name.endswith(".knative.dev") and name not in (CLASS_KPA, CLASS_HPA):
        yield _invalid_value(name, CLASS[0])


def _scale_errors(annotations: Mapping[str, str], config: AutoscalerConfig) -> Iterator[Problem]:
    """Problems of minimum, maximum and activation scale, which bound one another."""
    minimum, problems = _count(annotations, MIN_SCALE)
    yield from problems
    maximum, problems = _count(annotations, MAX_SCALE)
    yield from problems
    if 0 < maximum < minimum:
        message = f"max-scale={maximum} is less than min-scale={minimum}"
        yield Problem(message, (MAX_SCALE[0], MIN_SCALE[0]))
    found, limit = lookup(annotations, MAX_SCALE), config.max_scale_limit
    if found is not None and limit > 0:
        if maximum > limit:
            yield _out_of_bounds(str(maximum), "1", str(limit), found[0])
        elif maximum == 0:
            yield Problem(f"max-scale=0 (unlimited), must be less than {limit}", (found[0],))
    yield from _activation_scale_errors(annotations, minimum, maximum)


def _activation_scale_errors(annotations: Mapping[str, str], minimum: int, maximum: int) -> Iterator[Problem]:
    text = annotations.get(ACTIVATION_SCALE[0])
    if text is None:
        return
    try:
        pods = parse_int32(text)
    except (ValueError, OverflowError):
        yield _invalid_value(text, ACTIVATION_SCALE[0])
        return
    if minimum > pods:
        yield Problem(f"min-scale={minimum} is greater than activation-scale={pods}", ACTIVATION_SCALE)
    elif 0 < maximum < pods:
        yield Problem(f"max-scale={maximum} is less than activation-scale={pods}", ACTIVATION_SCALE)
    elif pods < 2:
        yield Problem(f"activation-scale={pods} must be greater than 1", ACTIVATION_SCALE)


def _count(annotations: Mapping[str, str], keys: Keys) -> tuple[int, list[Problem]]:
    """A number of pods, 0 when there is none or it is wrong."""
    found = lookup(annotations, keys)
    if found is None:
        return 0, []
    key, text = found
    try:
        pods = parse_int32(text)
    except OverflowError:
        return 0, [_out_of_bounds(text, "0", str(INT32_MAX), key)]
    except ValueError:
        return 0, [_invalid_value(text, key)]
    return (pods, []) if pods >= 0 else (0, [_out_of_bounds(text, "0", str(INT32_MAX), key)])


def _float_errors(annotations: Mapping[str, str]) -> Iterator[Problem]:
    bounds = ((PANIC_WINDOW, 1, 100), (PANIC_THRESHOLD, 110, 1000), (UTILISATION, 1, 100))
    for keys, lowest, highest in bounds:
        for key, text, value in _number(annotations, keys):
            if value is None:
                yield _invalid_value(text, key)
            elif not lowest <= value <= highest:
                yield _out_of_bounds(text, str(lowest), str(highest), key)
    for key, text, value in _number(annotations, TARGET):
        if value is None:
            yield _invalid_value(text, key)
        elif value < TARGET_MINIMUM:
            yield Problem(f"target {text} should be at least {TARGET_MINIMUM}", (key,))
    for key, text, value in _number(annotations, TARGET_BURST_CAPACITY):
        if value is None or (value < 0 and value != -1):
            yield _invalid_value(text, key)


def _number(annotations: Mapping[str, str], keys: Keys) -> Iterator[tuple[str, str, float | None]]:
    """The key, text and value (None: not a number) of a setting, if it is present."""
    found = lookup(annotations, keys)
    if found is not None:
        try:
            yield *found, parse_float(found[1])
        except ValueError:
            yield *found, None


def _duration_errors(annotations: Mapping[str, str]) -> Iterator[Problem]:
    for keys, lowest, whole in ((WINDOW, WINDOW_MINIMUM, True), (SCALE_DOWN_DELAY, 0, True), (RETENTION, 0, False)):
        found = lookup(annotations, keys)
        if found is None:
            continue
        key, text = found
        try:
            value = parse_duration(text)
        except ValueError:
            yield _invalid_value(text, key)
            continue
        if not lowest <= value <= WINDOW_MAXIMUM:
            yield _out_of_bounds(text, format_duration(lowest), format_duration(WINDOW_MAXIMUM), key)
        elif whole and not is_whole_seconds(value):
            yield Problem("must be specified with at most second precision", (key,))


def _metric_errors(annotations: Mapping[str, str], config: AutoscalerConfig) -> Iterator[Problem]:
    own_class = annotations.get(CLASS[0])
    in_force = config.pod_autoscaler_class if own_class is None else own_class
    metric = annotations.get(METRIC[0])
    if metric is not None and (
        (in_force == CLASS_KPA and metric not in _KPA_METRICS) or (in_force == CLASS_HPA and not metric)
    ):
        yield _invalid_value(metric, METRIC[0])
    found = lookup(annotations, AGGREGATION)
    if own_class == CLASS_KPA and found is not None and found[1] not in _AGGREGATIONS:
        yield _invalid_value(found[1], found[0])


def _initial_scale_errors(annotations: Mapping[str, str], config: AutoscalerConfig) -> Iterator[Problem]:
    found = lookup(annotations, INITIAL_SCALE)
    if found is None:
        return
    key, text = found
    try:
        pods = parse_int32(text)
    except (ValueError, OverflowError):
        yield _invalid_value(text, key)
        return
    if pods < 0:
        yield _invalid_value(text, f"{key} must be greater than 0")
    elif pods == 0 and not config.allow_zero_initial_scale:
        yield _invalid_value(text, f"{key}=0 not allowed by cluster")


def _invalid_value(value: str, key: str) -> Problem:
    return Problem(f"invalid value: {value}", (key,))


def _out_of_bounds(value: str, lowest: str, highest: str, key: str) -> Problem:
    return Problem(f"expected {lowest} <= {value} <= {highest}", (key,))
