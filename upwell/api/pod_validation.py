"""Whether a pod may look like this: which fields are open to users, and how containers and volumes fit together.

Fields of Kubernetes that could break what Knative promises are closed, or opened by a flag in config-features
(contract: control-plane.md 5.3, 11.3). Containers are looked at in `container_validation`, volumes in
`volume_validation`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from upwell.api.config_features import SECURE_POD_DEFAULTS, FeaturesConfig
from upwell.api.container_validation import validate_init_container, validate_serving_container, validate_sidecar
from upwell.api.field_errors import FieldErrors, at, at_index
from upwell.api.name_rules import subdomain_problems
from upwell.api.volume_validation import validate_volumes

__all__ = ["validate_pod_spec"]

Spec = Mapping[str, Any]
_GATED: Final = {
    "affinity": "affinity",
    "topologySpreadConstraints": "topologyspreadconstraints",
    "hostAliases": "hostaliases",
    "nodeSelector": "nodeselector",
    "runtimeClassName": "runtimeclassname",
    "tolerations": "tolerations",
    "shareProcessNamespace": "shareprocessnamespace",
    "priorityClassName": "priorityclassname",
    "schedulerName": "schedulername",
    "initContainers": "init-containers",
    "dnsPolicy": "dnspolicy",
    "dnsConfig": "dnsconfig",
    "hostIPC": "hostipc",
    "hostPID": "hostpid",
    "hostNetwork": "hostnetwork",
}
_POD_SECURITY_FIELDS: Final = frozenset(
    {"runAsUser", "runAsGroup", "runAsNonRoot", "fsGroup", "supplementalGroups", "seccompProfile"}
)
_PLAIN_PROFILES: Final = ("RuntimeDefault", "Unconfined")
_IDS: Final = ("runAsUser", "runAsGroup", "fsGroup")
ID_MAX: Final = 2**31 - 1


def validate_pod_spec(spec: Spec, path: str, features: FeaturesConfig, errors: FieldErrors) -> None:
    for field, flag in _GATED.items():
        if spec.get(field) is not None and not features.permitted(f"kubernetes.podspec-{flag}"):
            errors.disallowed(at(path, field))
    if spec.get("automountServiceAccountToken"):
        errors.disallowed(at(path, "automountServiceAccountToken"))
    _validate_security_context(spec.get("securityContext"), at(path, "securityContext"), features, errors)
    account = spec.get("serviceAccountName") or ""
    for problem in subdomain_problems(account) if account else ():
        errors.invalid(account, at(path, "serviceAccountName"), details=problem)
    containers: Sequence[Spec] = spec.get("containers") or ()
    inits: Sequence[Spec] = spec.get("initContainers") or ()
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or ()}
    validate_volumes(spec.get("volumes") or (), (*inits, *containers), at(path, "volumes"), features, errors)
    _validate_init_containers(inits, containers, volumes, at(path, "containers"), features, errors)
    _validate_containers(containers, volumes, at(path, "containers"), features, errors)


def _validate_security_context(security: Spec | None, path: str, features: FeaturesConfig, errors: FieldErrors) -> None:
    """With the flag some fields are open; under secure defaults a plain seccomp profile always is."""
    if security is None:
        return
    secure = features.value(SECURE_POD_DEFAULTS) != "Disabled"
    permitted = features.permitted("kubernetes.podspec-securitycontext")
    if not permitted and not secure:
        errors.disallowed(path)
    for field in security:
        plain = secure and field == "seccompProfile" and security[field]["type"] in _PLAIN_PROFILES
        if not plain and not (permitted and field in _POD_SECURITY_FIELDS):
            errors.disallowed(at(path, field))
    for field in _IDS:
        _validate_id(security.get(field, 0), at(path, field), errors)
    for index, group in enumerate(security.get("supplementalGroups") or ()):
        _validate_id(group, at_index(at(path, "supplementalGroups"), index), errors)


def _validate_id(value: int, path: str, errors: FieldErrors) -> None:
    if not 0 <= value <= ID_MAX:
        errors.out_of_bounds(value, 0, ID_MAX, path)


def _validate_init_containers(
    inits: Sequence[Spec],
    others: Sequence[Spec],
    volumes: Mapping[str, Spec],
    path: str,
    features: FeaturesConfig,
    errors: FieldErrors,
) -> None:
    if not inits:
        return
    if not features.enabled("kubernetes.podspec-init-containers"):
        errors.add(f"pod spec support for init-containers is off, but found {len(inits)} init containers", "")
        return
    taken = {container["name"] for container in others}
    for index, container in enumerate(inits):
        # The contract's words name the list of the ordinary containers here.
        where = at_index(path, index)
        if container["name"] in taken:
            errors.add(f'duplicate container name "{container["name"]}"', at(where, "name"))
        validate_init_container(container, where, volumes, features, errors)


def _validate_containers(
    containers: Sequence[Spec], volumes: Mapping[str, Spec], path: str, features: FeaturesConfig, errors: FieldErrors
) -> None:
    if not containers:
        errors.missing(path)
        return
    _validate_port_count(containers, path, errors)
    if len(containers) == 1:
        validate_serving_container(containers[0], at_index(path, 0), volumes, features, errors)
        return
    if not features.enabled("multi-container"):
        errors.add(f"multi-container is off, but found {len(containers)} containers", "")
        return
    names: set[str] = set()
    for index, container in enumerate(containers):
        where = at_index(path, index)
        if container["name"] in names:
            errors.add(f'duplicate container name "{container["name"]}"', at(where, "name"))
        names.add(container["name"])
        if container.get("ports"):
            validate_serving_container(container, where, volumes, features, errors)
        else:
            validate_sidecar(container, where, volumes, features, errors)


def _validate_port_count(containers: Sequence[Spec], path: str, errors: FieldErrors) -> None:
    count = sum(len(container.get("ports") or ()) for container in containers)
    where = at(at_index(path, "*"), "ports")
    if count > 1:
        details = "Only a single port is allowed across all containers"
        errors.add("more than one container port is set", where, details=details)
    elif count == 0 and len(containers) > 1:
        errors.missing(where)
