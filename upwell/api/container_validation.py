"""Whether a container may look like this (contract: control-plane.md 5.3)."""

from collections.abc import Mapping
from typing import Any, Final

from upwell.api.config_features import SECURE_POD_DEFAULTS, FeaturesConfig
from upwell.api.field_errors import FieldErrors, at, at_index
from upwell.api.image_reference import image_reference_problem
from upwell.api.probe_validation import disallow_probe, validate_probe, validate_readiness_probe
from upwell.api.volume_validation import validate_mounts

__all__ = ["validate_init_container", "validate_serving_container", "validate_sidecar"]

Spec = Mapping[str, Any]
RESERVED_PORTS: Final = frozenset({8008, 8012, 8013, 8022, 9090, 9091})
_RESERVED_ENV: Final = frozenset({"K_SERVICE", "K_CONFIGURATION", "K_REVISION"})
_CLOSED_FIELDS: Final = (
    "lifecycle",
    "resizePolicy",
    "restartPolicy",
    "stdin",
    "stdinOnce",
    "tty",
    "volumeDevices",
)
_CLOSED_PORT_FIELDS: Final = ("hostIP", "hostPort")
_CLOSED_SECURITY_FIELDS: Final = ("appArmorProfile", "procMount", "seLinuxOptions", "windowsOptions")
_MESSAGE_POLICIES: Final = ("", "File", "FallbackToLogsOnError")
_PORT_NAMES: Final = ("", "h2c", "http1")
_ID_MAX: Final = 2**31 - 1


def validate_serving_container(
    container: Spec, path: str, volumes: Mapping[str, Spec], features: FeaturesConfig, errors: FieldErrors
) -> None:
    """The one that gets the requests."""
    port: Spec = next(iter(container.get("ports") or ()), {})
    validate_readiness_probe(container.get("readinessProbe"), at(path, "readinessProbe"), port, errors)
    validate_probe(container.get("livenessProbe"), at(path, "livenessProbe"), port, errors)
    validate_probe(container.get("startupProbe"), at(path, "startupProbe"), port, errors)
    for one in (container.get("ports") or ())[:1]:
        _validate_port(one, at(path, "ports"), errors)
    _validate_any(container, path, volumes, features, errors, serving=True)


def validate_sidecar(
    container: Spec, path: str, volumes: Mapping[str, Spec], features: FeaturesConfig, errors: FieldErrors
) -> None:
    """One beside it, whose probes need a flag."""
    probing = features.enabled("multi-container-probing")
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(field)
        if probe is None:
            continue
        if not probing:
            disallow_probe(probe, at(path, field), errors)
        elif field == "readinessProbe":
            validate_readiness_probe(probe, at(path, field), None, errors)
        else:
            validate_probe(probe, at(path, field), None, errors)
    _validate_any(container, path, volumes, features, errors, serving=False)


def validate_init_container(
    container: Spec, path: str, volumes: Mapping[str, Spec], features: FeaturesConfig, errors: FieldErrors
) -> None:
    """One that ends before the others start."""
    for field in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
        if container.get(field) is not None:
            errors.add("field not allowed in an init container", at(path, field))
    for port in container.get("ports") or ():
        _validate_port_number(port, at(path, "ports"), errors)
    _validate_any(container, path, volumes, features, errors, serving=False)


def _validate_any(
    container: Spec,
    path: str,
    volumes: Mapping[str, Spec],
    features: FeaturesConfig,
    errors: FieldErrors,
    *,
    serving: bool,
) -> None:
    """What holds for every container; `serving` ones have PORT set for them."""
    for field in _CLOSED_FIELDS:
        if container.get(field) is not None:
            errors.disallowed(at(path, field))
    if container["name"] == "queue-proxy":
        errors.add('"queue-proxy" is a reserved container name', at(path, "name"))
    _validate_env(container, path, features, errors, serving=serving)
    _validate_image(container, path, errors)
    _validate_security(container.get("securityContext") or {}, at(path, "securityContext"), features, errors)
    policy = container.get("terminationMessagePolicy", "")
    if policy not in _MESSAGE_POLICIES:
        errors.invalid(policy, at(path, "terminationMessagePolicy"))
    validate_mounts(container.get("volumeMounts") or (), volumes, at(path, "volumeMounts"), features, errors)


def _validate_env(container: Spec, path: str, features: FeaturesConfig, errors: FieldErrors, *, serving: bool) -> None:
    reserved = _RESERVED_ENV | {"PORT"} if serving else _RESERVED_ENV
    names: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        where = at_index(at(path, "env"), index)
        if variable["name"] in names:
            errors.add(f'duplicate environment variable "{variable["name"]}"', where)
        names.add(variable["name"])
        if not variable["name"]:
            errors.missing(at(where, "name"))
        elif variable["name"] in reserved:
            errors.add(f'"{variable["name"]}" is a reserved environment variable', at(where, "name"))
        for field in ("fieldRef", "resourceFieldRef"):
            gated = (variable.get("valueFrom") or {}).get(field) is not None
            if gated and not features.permitted("kubernetes.podspec-fieldref"):
                errors.disallowed(at(where, f"valueFrom.{field}"))
    for source in container.get("envFrom") or ():
        paths = [at(path, f"envFrom.{field}") for field in ("configMapRef", "secretRef")]
        count = sum(source.get(field) is not None for field in ("configMapRef", "secretRef"))
        if count == 0:
            errors.missing_one_of(*paths)
        elif count == 2:
            errors.multiple_one_of(*paths)


def _validate_image(container: Spec, path: str, errors: FieldErrors) -> None:
    image = container.get("image", "")
    if not image:
        errors.missing(at(path, "image"))
    elif problem := image_reference_problem(image):
        details = f'image: "{image}", error: {problem}'
        errors.add("Failed to parse image reference", at(path, "image"), details=details)


def _validate_port(port: Spec, path: str, errors: FieldErrors) -> None:
    """The port that gets the requests."""
    protocol, name = port["protocol"], port.get("name", "")
    if protocol != "TCP":
        errors.invalid(protocol, at(path, "protocol"))
    _validate_port_number(port, path, errors)
    if name not in _PORT_NAMES:
        details = "Name must be empty, or one of: 'h2c', 'http1'"
        errors.add(f"Port name {name} is not allowed", path, details=details)


def _validate_port_number(port: Spec, path: str, errors: FieldErrors) -> None:
    number = port["containerPort"]
    for field in _CLOSED_PORT_FIELDS:
        if port.get(field):
            errors.disallowed(at(path, field))
    if number in RESERVED_PORTS:
        problem = f"{number} is a reserved port"
        errors.invalid(problem, at(path, "containerPort"), details=f"{problem}, please use a different value")
    if not 0 <= number <= 65535:
        errors.out_of_bounds(number, 0, 65535, at(path, "containerPort"))


def _validate_security(security: Spec, path: str, features: FeaturesConfig, errors: FieldErrors) -> None:
    for field in ("privileged", *_CLOSED_SECURITY_FIELDS):
        if security.get(field):
            errors.disallowed(at(path, field))
    added = (security.get("capabilities") or {}).get("add")
    secure = features.value(SECURE_POD_DEFAULTS) != "Disabled"
    if added and not (
        features.permitted("kubernetes.containerspec-addcapabilities") or (secure and added == ["NET_BIND_SERVICE"])
    ):
        errors.disallowed(at(path, "capabilities.add"))
    for field in ("runAsUser", "runAsGroup"):
        value = security.get(field)
        if value is not None and not 0 <= value <= _ID_MAX:
            errors.out_of_bounds(value, 0, _ID_MAX, at(path, field))
