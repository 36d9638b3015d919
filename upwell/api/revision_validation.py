"""Whether a revision can be run: limits, annotations, and the pod (contract: control-plane.md 5.3)."""

from collections.abc import Mapping
from typing import Any, Final

from upwell.api.annotation_rules import NETWORKING_ALLOWED, NETWORKING_PREFIX
from upwell.api.configs import KindsConfig
from upwell.api.field_errors import FieldErrors, at
from upwell.api.names import ANNOTATION_PROGRESS_DEADLINE
from upwell.api.objects import Object
from upwell.api.pod_validation import validate_pod_spec
from upwell.api.quantity import QuantityError, parse_quantity
from upwell.api.template_names import template_of
from upwell.policy.annotations import validate_annotations
from upwell.policy.durations import is_whole_seconds, parse_duration
from upwell.policy.quantities import parse_float

__all__ = ["validate_revision_annotations", "validate_revision_spec", "validate_template"]

SIDECAR: Final = "queue.sidecar.serving.knative.dev/"
PERCENTAGE_KEYS: Final = (SIDECAR + "resource-percentage", SIDECAR + "resourcePercentage")
QUANTITY_KEYS: Final = tuple(
    f"{SIDECAR}{resource}-resource-{kind}"
    for resource in ("cpu", "memory", "ephemeral-storage")
    for kind in ("request", "limit")
)


def validate_template(obj: Object, config: KindsConfig, errors: FieldErrors) -> None:
    """The template of a Service or a Configuration."""
    template = template_of(obj)
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    validate_revision_annotations(annotations, "spec.template.metadata.annotations", config, errors)
    validate_revision_spec(template["spec"], "spec.template.spec", config, errors)


def validate_revision_spec(spec: Mapping[str, Any], path: str, config: KindsConfig, errors: FieldErrors) -> None:
    defaults = config.defaults
    timeout = spec.get("timeoutSeconds") or 0
    if not 0 <= timeout <= defaults.timeout_max:
        errors.out_of_bounds(timeout, 0, defaults.timeout_max, at(path, "timeoutSeconds"))
    concurrency = spec.get("containerConcurrency")
    low = 0 if defaults.allow_unlimited_concurrency else 1
    if concurrency is not None and not low <= concurrency <= defaults.container_concurrency_max:
        errors.out_of_bounds(concurrency, low, defaults.container_concurrency_max, at(path, "containerConcurrency"))
    validate_pod_spec(spec, path, config.features, errors)


def validate_revision_annotations(
    annotations: Mapping[str, str], path: str, config: KindsConfig, errors: FieldErrors
) -> None:
    """The annotations that Upwell gives a meaning."""
    for problem in validate_annotations(annotations, config.autoscaler):
        errors.add(problem.message, *(at(path, key) for key in problem.keys))
    _validate_sidecar(annotations, path, errors)
    _validate_progress_deadline(annotations, path, errors)
    for key in annotations:
        if key.startswith(NETWORKING_PREFIX) and key not in NETWORKING_ALLOWED:
            errors.invalid_key(key, path)


def _validate_sidecar(annotations: Mapping[str, str], path: str, errors: FieldErrors) -> None:
    key = next((key for key in PERCENTAGE_KEYS if key in annotations), None)
    if key is not None:
        text = annotations[key]
        try:
            if not 0.1 <= parse_float(text) <= 100:
                errors.out_of_bounds(text, 0.1, 100, f"{path}.[{key}]")
        except ValueError:
            errors.invalid(text, f"{path}.[{key}]")
    for key in QUANTITY_KEYS:
        try:
            parse_quantity(annotations.get(key, "0"))
        except QuantityError:
            errors.invalid(annotations[key], f"{path}.[{key}]")


def _validate_progress_deadline(annotations: Mapping[str, str], path: str, errors: FieldErrors) -> None:
    text = annotations.get(ANNOTATION_PROGRESS_DEADLINE)
    if text is None:
        return
    where = at(path, ANNOTATION_PROGRESS_DEADLINE)
    try:
        deadline = parse_duration(text)
    except ValueError:
        errors.invalid(text, where)
        return
    if not is_whole_seconds(deadline):
        errors.add(f"progress-deadline={text} is not at second precision", where)
    if deadline < 0:
        errors.add(f"progress-deadline={text} must be positive", where)
