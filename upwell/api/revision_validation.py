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
from upwell.api.rollout_duration import validate_whole_seconds
from upwell.api.template_names import template_of
from upwell.policy.annotations import validate_annotations
from upwell.policy.quantities import format_float, parse_float

__all__ = [
    "validate_autoscaling",
    "validate_concurrency",
    "validate_networking",
    "validate_revision_spec",
    "validate_template",
]

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
    _validate_annotations(annotations, "spec.template.metadata.annotations", config, errors)
    validate_revision_spec(template["spec"], "spec.template.spec", config, errors)


def validate_revision_spec(spec: Mapping[str, Any], path: str, config: KindsConfig, errors: FieldErrors) -> None:
    timeout, most = spec.get("timeoutSeconds") or 0, config.defaults.timeout_max
    if not 0 <= timeout <= most:
        errors.out_of_bounds(timeout, 0, most, at(path, "timeoutSeconds"))
    validate_concurrency(spec.get("containerConcurrency"), path, config, errors)
    validate_pod_spec(spec, path, config.features, errors)


def validate_concurrency(concurrency: int | None, path: str, config: KindsConfig, errors: FieldErrors) -> None:
    """`path` is that of the spec which says it, or leaves it out."""
    low = 0 if config.defaults.allow_unlimited_concurrency else 1
    most = config.defaults.container_concurrency_max
    if concurrency is not None and not low <= concurrency <= most:
        errors.out_of_bounds(concurrency, low, most, at(path, "containerConcurrency"))


def validate_autoscaling(annotations: Mapping[str, str], path: str, config: KindsConfig, errors: FieldErrors) -> None:
    """The annotations that the autoscaler reads."""
    for problem in validate_annotations(annotations, config.autoscaler):
        errors.add(problem.message, *(at(path, key) for key in problem.keys))


def validate_networking(annotations: Mapping[str, str], path: str, errors: FieldErrors) -> None:
    """That the annotations which gateways read are those that there are."""
    for key in annotations:
        if key.startswith(NETWORKING_PREFIX) and key not in NETWORKING_ALLOWED:
            errors.invalid_key(key, path)


def _validate_annotations(annotations: Mapping[str, str], path: str, config: KindsConfig, errors: FieldErrors) -> None:
    """All annotations of a template that Upwell gives a meaning."""
    validate_autoscaling(annotations, path, config, errors)
    _validate_sidecar(annotations, path, errors)
    deadline = annotations.get(ANNOTATION_PROGRESS_DEADLINE, "")
    validate_whole_seconds("progress-deadline", deadline, at(path, ANNOTATION_PROGRESS_DEADLINE), errors)
    validate_networking(annotations, path, errors)


def _validate_sidecar(annotations: Mapping[str, str], path: str, errors: FieldErrors) -> None:
    key = next((key for key in PERCENTAGE_KEYS if key in annotations), None)
    if key is not None:
        text = annotations[key]
        try:
            value = parse_float(text)
            if not 0.1 <= value <= 100:
                errors.out_of_bounds(format_float(value), 0.1, 100, f"{path}.[{key}]")
        except ValueError:
            errors.invalid(text, f"{path}.[{key}]")
    for key in QUANTITY_KEYS:
        try:
            parse_quantity(annotations.get(key, "0"))
        except QuantityError:
            errors.invalid(annotations[key], f"{path}.[{key}]")
