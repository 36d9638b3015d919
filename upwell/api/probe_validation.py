"""Whether a probe can be made (contract: control-plane.md 5.3).

A port of None stands for a container that gets no requests, whose probes need a flag and must say their own port.
"""

from collections.abc import Mapping
from typing import Any, Final

from upwell.api.field_errors import FieldErrors, at

__all__ = ["disallow_probe", "validate_probe", "validate_readiness_probe"]

Spec = Mapping[str, Any]
_HANDLERS: Final = ("httpGet", "tcpSocket", "exec", "grpc")
_TIMES: Final = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_NAME_OF_NO_NAME: Final = "http"
"""By which a probe may call a port that has no name."""
_INT32_MAX: Final = 2**31 - 1


def disallow_probe(probe: Spec, path: str, errors: FieldErrors) -> None:
    """Refuse what a probe says, field by field; one that says nothing is no mistake."""
    if any(probe.get(name) is not None for name in _HANDLERS):
        errors.disallowed(path)
    for name in _TIMES:
        if probe.get(name):
            errors.disallowed(at(path, name))


def validate_probe(probe: Spec | None, path: str, port: Spec | None, errors: FieldErrors) -> None:
    """Exactly one way to ask, at a port that is the container's."""
    if probe is None:
        return
    handlers = [name for name in _HANDLERS if probe.get(name) is not None]
    if not handlers:
        errors.missing_one_of(*(at(path, name) for name in _HANDLERS))
    elif len(handlers) > 1:
        # The contract's words write grpc in this way here.
        errors.multiple_one_of(*(at(path, "gRPC" if name == "grpc" else name) for name in handlers))
    for name in ("httpGet", "tcpSocket"):
        if probe.get(name) is not None:
            _validate_port(probe[name].get("port", 0), at(path, f"{name}.port"), port, errors)


def validate_readiness_probe(probe: Spec | None, path: str, port: Spec | None, errors: FieldErrors) -> None:
    """As any probe; a period of zero asks for the fastest possible, which leaves nothing else to say."""
    if probe is None:
        return
    validate_probe(probe, path, port, errors)
    for field, low in (("periodSeconds", 0), ("initialDelaySeconds", 0), ("successThreshold", 1)):
        _validate_least(probe, field, low, path, errors)
    for field in ("failureThreshold", "timeoutSeconds"):
        if probe.get("periodSeconds"):
            _validate_least(probe, field, 1, path, errors)
        elif probe.get(field):
            errors.add(f"{field} is disallowed when periodSeconds is zero", at(path, field))


def _validate_least(probe: Spec, field: str, low: int, path: str, errors: FieldErrors) -> None:
    value = probe.get(field) or 0
    if value < low:
        errors.out_of_bounds(value, low, _INT32_MAX, at(path, field))


def _validate_port(wanted: int | str, path: str, port: Spec | None, errors: FieldErrors) -> None:
    if port is None:
        if not wanted:
            errors.invalid(wanted, path, details="Probe port must be specified")
    elif isinstance(wanted, str) and wanted and wanted != (port.get("name") or _NAME_OF_NO_NAME):
        errors.invalid(wanted, path, details="Probe port must match container port")
