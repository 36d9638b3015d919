"""What a revision's spec gets where its author said nothing (contract: control-plane.md 5.2).

All functions change the spec in place; it has been read by its schema before.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from upwell.api.config_defaults import DefaultsConfig
from upwell.api.config_features import SECURE_POD_DEFAULTS, FeaturesConfig
from upwell.api.go_template import Template

__all__ = ["default_revision_spec", "serving_container"]

Spec = dict[str, Any]
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")
_WRITABLE_VOLUMES: Final = ("emptyDir", "persistentVolumeClaim", "ephemeral")
_PRIVILEGED_PORT_MAX: Final = 1023


def serving_container(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """The container that gets the requests: the only one, or the one with a port."""
    containers: list[dict[str, Any]] = spec.get("containers") or []
    if len(containers) == 1:
        return containers[0]
    return next((container for container in containers if container.get("ports")), None)


def default_revision_spec(
    spec: Spec,
    parent: Mapping[str, Any],
    defaults: DefaultsConfig,
    features: FeaturesConfig,
    *,
    creating: bool,
) -> None:
    """Fill in `spec`; `parent` is the metadata of the object that it belongs to, for container names."""
    _default_timeouts(spec, defaults)
    if spec.get("containerConcurrency") is None:
        spec["containerConcurrency"] = defaults.container_concurrency
    _name_containers(spec, parent, defaults)
    for container in spec.get("containers") or ():
        _default_container(container, spec, defaults)
    if creating and spec.get("enableServiceLinks") is None and defaults.enable_service_links is not None:
        spec["enableServiceLinks"] = defaults.enable_service_links
    if features.value(SECURE_POD_DEFAULTS) != "Disabled":
        _default_security(spec, non_root=features.enabled(SECURE_POD_DEFAULTS))


def _default_timeouts(spec: Spec, defaults: DefaultsConfig) -> None:
    timeout = spec["timeoutSeconds"] = spec.get("timeoutSeconds") or defaults.timeout
    for field, value in (
        ("idleTimeoutSeconds", defaults.idle_timeout),
        ("responseStartTimeoutSeconds", defaults.response_start_timeout),
    ):
        if spec.get(field) is None and value and value < timeout:
            spec[field] = value


def _name_containers(spec: Spec, parent: Mapping[str, Any], defaults: DefaultsConfig) -> None:
    values = {
        "Name": parent.get("name") or "",
        "Namespace": parent.get("namespace") or "",
        "GenerateName": parent.get("generateName") or "",
        "Labels": parent.get("labels") or {},
        "Annotations": parent.get("annotations") or {},
    }
    containers, inits = spec.get("containers") or [], spec.get("initContainers") or []
    taken = {container["name"] for container in (*containers, *inits)}
    for group, template in ((containers, defaults.container_name), (inits, defaults.init_container_name)):
        _name_group(group, taken, template, values)


def _name_group(group: list[Spec], taken: set[str], template: Template, values: Mapping[str, Any]) -> None:
    unnamed = [container for container in group if not container["name"]]
    if not unnamed:
        return
    base = template.render(values)
    if len(group) == 1 and base not in taken:
        unnamed[0]["name"] = base
        return
    free = (name for number in range(len(taken) + len(group)) if (name := f"{base}-{number}") not in taken)
    for container, name in zip(unnamed, free, strict=False):
        container["name"] = name


def _default_container(container: Spec, spec: Spec, defaults: DefaultsConfig) -> None:
    for kind, wanted in (("requests", defaults.requests), ("limits", defaults.limits)):
        missing = {name: value for name, value in wanted.items() if name not in container["resources"].get(kind, {})}
        if missing:
            container["resources"].setdefault(kind, {}).update(missing)
    if len(spec["containers"]) == 1 or container.get("ports"):
        _default_readiness(container)
    if container.get("readinessProbe") is not None:
        _default_timings(container["readinessProbe"])
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        if "grpc" in (container.get(name) or {}):
            container[name]["grpc"].setdefault("service", "")
    writable = {volume["name"] for volume in spec.get("volumes") or () if _has_any(volume, _WRITABLE_VOLUMES)}
    for mount in container.get("volumeMounts") or ():
        if mount["name"] not in writable:
            mount["readOnly"] = True


def _default_readiness(container: Spec) -> None:
    probe = container.setdefault("readinessProbe", {})
    if not _has_any(probe, _HANDLERS):
        probe["tcpSocket"] = {"port": 0}


def _default_timings(probe: Spec) -> None:
    if not probe.get("successThreshold"):
        probe["successThreshold"] = 1
    if probe.get("periodSeconds"):
        probe.setdefault("failureThreshold", 3)
        probe.setdefault("timeoutSeconds", 1)


def _default_security(spec: Spec, *, non_root: bool) -> None:
    pod = spec.get("securityContext") or {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        security = container.setdefault("securityContext", {})
        security.setdefault("allowPrivilegeEscalation", False)
        if not (pod.get("seccompProfile") or {}).get("type"):
            profile = security.setdefault("seccompProfile", {})
            profile["type"] = profile.get("type") or "RuntimeDefault"
        if "capabilities" not in security:
            security["capabilities"] = {"drop": ["ALL"]}
            ports = [port["containerPort"] for port in container.get("ports") or ()]
            if any(0 < port <= _PRIVILEGED_PORT_MAX for port in ports):
                security["capabilities"]["add"] = ["NET_BIND_SERVICE"]
        if non_root and pod.get("runAsNonRoot") is None:
            security.setdefault("runAsNonRoot", True)


def _has_any(value: Mapping[str, Any], names: Iterable[str]) -> bool:
    return any(value.get(name) is not None for name in names)
