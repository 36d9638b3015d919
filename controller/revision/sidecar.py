"""The queue-proxy container of a revision's pod (contract: control-plane.md 5.6; queue-proxy.md)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from controller.revision.metadata import configuration_name
from controller.revision.settings import RevisionSettings
from controller.revision.sidecar_resources import sidecar_resources
from upwell.api.names import (
    ANNOTATION_FULL_DUPLEX,
    HEADER_PROBE,
    LABEL_SERVICE,
    PORT_H2C,
    PORT_HTTP,
    PORT_NAME_STATS,
    PORT_STATS,
    PORT_TLS,
    PORT_USER_DEFAULT,
    PORT_USER_METRICS,
)
from upwell.api.objects import Object, annotations_of, labels_of, name_of, namespace_of
from upwell.api.revision_defaults import serving_container

__all__ = ["SIDECAR_NAME", "make_sidecar", "serving_protocol", "user_port"]

SIDECAR_NAME: Final = "queue-proxy"
PORT_PROFILING: Final = 8008
_PROBE_TIMINGS: Final = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def serving_protocol(revision: Object) -> str:
    """`h2c` when the app's port is named so, else `http1`."""
    container = serving_container(revision["spec"]) or {}
    return "h2c" if any(port.get("name") == "h2c" for port in container.get("ports") or ()) else "http1"


def user_port(container: Mapping[str, Any]) -> int:
    """The port that the app is told to listen on."""
    ports: Sequence[Mapping[str, Any]] = container.get("ports") or ({},)
    return int(ports[0].get("containerPort") or PORT_USER_DEFAULT)


def make_sidecar(revision: Object, settings: RevisionSettings) -> dict[str, Any]:
    app = serving_container(revision["spec"]) or {}
    port = PORT_H2C if serving_protocol(revision) == "h2c" else PORT_HTTP
    sidecar: dict[str, Any] = {
        "name": SIDECAR_NAME,
        "image": settings.deployment.sidecar_image,
        "ports": _ports(port, profiling=settings.observability.profiling),
        "env": _environment(revision, app, port, settings),
        "resources": sidecar_resources(
            settings.deployment,
            annotations_of(revision),
            app.get("resources") or {},
            use_defaults=settings.features.enabled("queueproxy.resource-defaults"),
        ),
        "securityContext": _SECURITY,
    }
    if app.get("readinessProbe"):
        sidecar["readinessProbe"] = _readiness_probe(app["readinessProbe"], port)
    return sidecar


def _ports(port: int, *, profiling: bool) -> list[dict[str, Any]]:
    named = [(PORT_NAME_STATS, PORT_STATS), ("http-usermetric", PORT_USER_METRICS)]
    if profiling:
        named.append(("profiling-port", PORT_PROFILING))
    named += [("queue-port", port), ("https-port", PORT_TLS)]
    return [{"name": name, "containerPort": number, "protocol": "TCP"} for name, number in named]


def _readiness_probe(user_probe: Mapping[str, Any], port: int) -> dict[str, Any]:
    """The user's timings, asked of the sidecar, which asks the app."""
    timings = {name: user_probe[name] for name in _PROBE_TIMINGS if user_probe.get(name)}
    headers = [{"name": HEADER_PROBE, "value": "queue"}]
    return {"httpGet": {"port": port, "httpHeaders": headers}, **timings}


def _environment(
    revision: Object, app: Mapping[str, Any], port: int, settings: RevisionSettings
) -> list[dict[str, Any]]:
    spec, tls = revision["spec"], settings.deployment.sidecar_tls
    full_duplex = annotations_of(revision).get(ANNOTATION_FULL_DUPLEX, "").lower() == "enabled"
    probing = settings.features.enabled("multi-container-probing")
    values: list[tuple[str, Any]] = [
        ("SERVING_NAMESPACE", namespace_of(revision)),
        ("SERVING_SERVICE", labels_of(revision).get(LABEL_SERVICE, "")),
        ("SERVING_CONFIGURATION", configuration_name(revision)),
        ("SERVING_REVISION", name_of(revision)),
        ("QUEUE_SERVING_PORT", port),
        ("QUEUE_SERVING_TLS_PORT", PORT_TLS),
        ("CONTAINER_CONCURRENCY", spec.get("containerConcurrency") or 0),
        ("REVISION_TIMEOUT_SECONDS", spec.get("timeoutSeconds") or 0),
        ("REVISION_RESPONSE_START_TIMEOUT_SECONDS", spec.get("responseStartTimeoutSeconds") or 0),
        ("REVISION_IDLE_TIMEOUT_SECONDS", spec.get("idleTimeoutSeconds") or 0),
        ("SERVING_POD", {"fieldPath": "metadata.name"}),
        ("SERVING_POD_IP", {"fieldPath": "status.podIP"}),
        ("SERVING_LOGGING_CONFIG", settings.logging.get("zap-logger-config", "")),
        ("SERVING_LOGGING_LEVEL", settings.logging.get("loglevel.queueproxy", "")),
        ("USER_PORT", user_port(app)),
        ("SYSTEM_NAMESPACE", settings.system_namespace),
        ("SERVING_READINESS_PROBE", probe_json(spec, app, probing=probing)),
        ("HOST_IP", {"fieldPath": "status.hostIP"}),
        ("ENABLE_HTTP2_AUTO_DETECTION", settings.features.enabled("autodetect-http2")),
        ("ENABLE_HTTP_FULL_DUPLEX", full_duplex),
        ("ROOT_CA", settings.deployment.sidecar_root_ca),
        ("QUEUE_PROXY_TLS_MIN_VERSION", tls.get("min-version", "")),
        ("QUEUE_PROXY_TLS_MAX_VERSION", tls.get("max-version", "")),
        ("QUEUE_PROXY_TLS_CIPHER_SUITES", tls.get("cipher-suites", "")),
        ("QUEUE_PROXY_TLS_CURVE_PREFERENCES", tls.get("curve-preferences", "")),
        ("ENABLE_MULTI_CONTAINER_PROBES", probing),
        ("OBSERVABILITY_CONFIG", settings.observability.sidecar_json()),
    ]
    return [_variable(name, value) for name, value in values]


def _variable(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", **value}}}
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return {"name": name, "value": text} if text else {"name": name}


def probe_json(spec: Mapping[str, Any], app: Mapping[str, Any], *, probing: bool) -> str:
    """SERVING_READINESS_PROBE: how the sidecar asks the app; a list when other containers are asked too."""
    own = app.get("readinessProbe")
    if not probing:
        return _json(_local_probe(own, user_port(app))) if own else ""
    others = [container.get("readinessProbe") for container in spec.get("containers") or () if container is not app]
    # What runs a command is asked by the kubelet itself, and only the app's own probe has a port to stand in for it.
    asked = [_local_probe(probe, 0) for probe in others if probe and "exec" not in probe]
    return _json([*([_local_probe(own, user_port(app))] if own else []), *asked])


def _local_probe(probe: Mapping[str, Any], port: int) -> dict[str, Any]:
    """The probe with its host and port spelled out, in the reference's order of fields."""
    result: dict[str, Any] = {}
    if "httpGet" in probe:
        get = {"scheme": "HTTP", **probe["httpGet"], "host": "127.0.0.1"}
        result["httpGet"] = {**get, "port": get.get("port") or port}
        if isinstance(result["httpGet"]["port"], str):
            result["httpGet"]["port"] = port
    elif "grpc" in probe:
        result["grpc"] = {**probe["grpc"], "port": probe["grpc"].get("port") or port}
    else:
        given = (probe.get("tcpSocket") or {}).get("port")
        result["tcpSocket"] = {"port": given if isinstance(given, int) and given else port, "host": "127.0.0.1"}
    result.update({name: probe[name] for name in _PROBE_TIMINGS if probe.get(name)})
    if result.get("periodSeconds", 0) > 0 and result.get("timeoutSeconds", 0) < 1:
        result["timeoutSeconds"] = 1
    return result


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
