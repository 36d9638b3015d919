"""The annotation that spreads a traffic change over time."""

from typing import Final

from upwell.api.field_errors import FieldErrors
from upwell.api.names import ANNOTATION_ROLLOUT_DURATION
from upwell.api.objects import Object, annotations_of
from upwell.policy.durations import is_whole_seconds, parse_duration, seconds

__all__ = ["rollout_seconds", "validate_rollout_duration", "validate_whole_seconds"]

KEYS: Final = (ANNOTATION_ROLLOUT_DURATION, "serving.knative.dev/rolloutDuration")


def rollout_seconds(route: Object, default: int) -> int:
    """How long a change may take; `default` when the object does not say, or says what cannot be read."""
    text = next((annotations_of(route)[key] for key in KEYS if key in annotations_of(route)), "")
    try:
        wanted = int(seconds(parse_duration(text)))
    except ValueError:
        return default
    return wanted or default


def validate_rollout_duration(obj: Object, errors: FieldErrors) -> None:
    key = next((key for key in KEYS if key in annotations_of(obj)), "")
    validate_whole_seconds("rollout-duration", annotations_of(obj).get(key, ""), f"metadata.annotations.{key}", errors)


def validate_whole_seconds(what: str, text: str, path: str, errors: FieldErrors) -> None:
    """That `text`, unless it is empty, is a duration of whole seconds, at least 0; the first problem is told."""
    if not text:
        return
    try:
        duration = parse_duration(text)
    except ValueError:
        errors.invalid(text, path)
        return
    if not is_whole_seconds(duration):
        errors.add(f"{what}={text} is not at second precision", path)
    elif duration < 0:
        errors.add(f"{what}={text} must be positive", path)
