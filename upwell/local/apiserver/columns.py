"""The columns of `kubectl get` for each kind: Knative's as its CRDs declare them, the built-in ones as kubectl's.

A column is a name, where its cell comes from, and a priority (1 means `-o wide` only). Cells of Knative's kinds stay
empty where the field is missing, as a CRD's do.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from upwell.api.names import LABEL_CONFIGURATION, LABEL_CONFIGURATION_GENERATION
from upwell.api.objects import Object, labels_of, timestamp_seconds

__all__ = ["COLUMNS", "DEFAULT", "Column", "age"]

Cell = Callable[[Object], Any]
_NONE: Final = "<none>"


class Column(NamedTuple):
    """One column: its title, how to read a cell, its type and its priority."""

    name: str
    cell: Cell
    type: str = "string"
    priority: int = 0
    description: str = ""


def _find(obj: Any, path: str) -> Any:
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def _at(path: str, missing: Any = None) -> Cell:
    def read(obj: Object) -> Any:
        value = _find(obj, path)
        return missing if value is None else value

    return read


def _condition(field: str, kind: str = "Ready") -> Cell:
    def read(obj: Object) -> Any:
        conditions = _find(obj, "status.conditions") or ()
        return next((one.get(field) for one in conditions if one.get("type") == kind), None)

    return read


def _label(name: str) -> Cell:
    return lambda obj: labels_of(obj).get(name)


def age(since: Any, now: float | None = None) -> str:
    """The time since an RFC 3339 time, as kubectl writes it: 5s, 3m12s, 7h, 2d4h."""
    if not since:
        return "<unknown>"
    seconds = max(0, int((time.time() if now is None else now) - timestamp_seconds(since)))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    steps: tuple[tuple[bool, str], ...] = (
        (seconds < 120, f"{seconds}s"),
        (minutes < 10, f"{minutes}m" + (f"{seconds % 60}s" if seconds % 60 else "")),
        (minutes < 180, f"{minutes}m"),
        (hours < 8, f"{hours}h" + (f"{minutes % 60}m" if minutes % 60 else "")),
        (hours < 48, f"{hours}h"),
        (days < 8, f"{days}d" + (f"{hours % 24}h" if hours % 24 else "")),
        (days < 730, f"{days}d"),
    )
    return next((text for fits, text in steps if fits), f"{days // 365}y")


def _created(obj: Object) -> str:
    return age(obj["metadata"].get("creationTimestamp"))


def _items(obj: Object, path: str) -> list[Any]:
    found = _find(obj, path)
    return found if isinstance(found, list) else []


def _joined(values: Iterable[Any]) -> str:
    return ",".join(str(value) for value in values) or _NONE


def _pairs(path: str) -> Cell:
    return lambda obj: _joined(f"{key}={value}" for key, value in (_find(obj, path) or {}).items())


def _pod_ready(obj: Object) -> str:
    statuses = _items(obj, "status.containerStatuses")
    return f"{sum(bool(one.get('ready')) for one in statuses)}/{len(_items(obj, 'spec.containers'))}"


def _pod_status(obj: Object) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    status = obj.get("status") or {}
    text = status.get("reason") or status.get("phase") or "Pending"
    for one in _items(obj, "status.containerStatuses"):
        state = one.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason"):
            text = waiting["reason"]
        elif terminated:
            text = terminated.get("reason") or f"ExitCode:{terminated.get('exitCode', 0)}"
    return str(text)


def _pod_restarts(obj: Object) -> str:
    statuses = _items(obj, "status.containerStatuses")
    count = sum(int(one.get("restartCount") or 0) for one in statuses)
    ends = [_find(one, "lastState.terminated.finishedAt") for one in statuses]
    last = max((end for end in ends if end), default=None)
    return f"{count} ({age(last)} ago)" if count and last else str(count)


def _service_ports(obj: Object) -> str:
    texts = []
    for port in _items(obj, "spec.ports"):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        texts.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return _joined(texts)


def _external_address(obj: Object) -> str:
    if _find(obj, "spec.type") == "ExternalName":
        return str(_find(obj, "spec.externalName"))
    ingress = _items(obj, "status.loadBalancer.ingress")
    if _find(obj, "spec.type") == "LoadBalancer":
        return _joined(one.get("ip") or one.get("hostname") for one in ingress) if ingress else "<pending>"
    return _joined(_items(obj, "spec.externalIPs"))


def _deployment_ready(obj: Object) -> str:
    return f"{_find(obj, 'status.readyReplicas') or 0}/{_find(obj, 'spec.replicas') or 0}"


def _template(field: str) -> Cell:
    return lambda obj: _joined(one.get(field, "") for one in _items(obj, "spec.template.spec.containers"))


def _slice_ports(obj: Object) -> str:
    return _joined(port.get("port", "*") for port in _items(obj, "ports"))


def _slice_addresses(obj: Object) -> str:
    return _joined(address for one in _items(obj, "endpoints") for address in one.get("addresses") or ())


def _endpoints(obj: Object) -> str:
    return _joined(
        f"{address.get('ip')}:{port.get('port')}"
        for subset in _items(obj, "subsets")
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    )


def _event_seen(obj: Object) -> str:
    first = _find(obj, "firstTimestamp") or _find(obj, "eventTime")
    last = _find(obj, "series.lastObservedTime") or _find(obj, "lastTimestamp") or first
    count = _find(obj, "series.count") or _find(obj, "count") or 1
    return f"{age(last)} (x{count} over {age(first)})" if int(count) > 1 else age(last)


def _event_object(obj: Object) -> str:
    return f"{_find(obj, 'involvedObject.kind') or ''}/{_find(obj, 'involvedObject.name') or ''}".lower()


def _event_source(obj: Object) -> str:
    source = _find(obj, "source.component") or _find(obj, "reportingComponent") or ""
    host = _find(obj, "source.host")
    return f"{source}, {host}" if host else str(source)


def _scale_target(obj: Object) -> str:
    target = _find(obj, "spec.scaleTargetRef") or {}
    return f"{target.get('kind')}/{target.get('name')}"


def _size(path: str) -> Cell:
    return lambda obj: len(_find(obj, path) or ())


_NAME: Final = Column("Name", _at("metadata.name"))
_AGE: Final = Column("Age", _created)
_READY: Final = Column("Ready", _condition("status"))
_REASON: Final = Column("Reason", _condition("reason"))
_READY_ONLY: Final = (_NAME, _READY, _REASON)
_URL: Final = (_NAME, Column("URL", _at("status.url")), _READY, _REASON)
_LATEST: Final = (
    Column("LatestCreated", _at("status.latestCreatedRevisionName")),
    Column("LatestReady", _at("status.latestReadyRevisionName")),
    _READY,
    _REASON,
)

DEFAULT: Final = (_NAME, _AGE)

_SERVING: Final = "serving.knative.dev"
_NETWORKING: Final = "networking.internal.knative.dev"

COLUMNS: Final[Mapping[tuple[str, str], tuple[Column, ...]]] = {
    (_SERVING, "Service"): (_NAME, Column("URL", _at("status.url")), *_LATEST),
    (_SERVING, "Configuration"): (_NAME, *_LATEST),
    (_SERVING, "Revision"): (
        _NAME,
        Column("Config Name", _label(LABEL_CONFIGURATION)),
        Column("Generation", _label(LABEL_CONFIGURATION_GENERATION)),
        _READY,
        _REASON,
        Column("Actual Replicas", _at("status.actualReplicas"), "integer"),
        Column("Desired Replicas", _at("status.desiredReplicas"), "integer"),
    ),
    (_SERVING, "Route"): _URL,
    (_SERVING, "DomainMapping"): _URL,
    ("autoscaling.internal.knative.dev", "PodAutoscaler"): (
        _NAME,
        Column("DesiredScale", _at("status.desiredScale"), "integer"),
        Column("ActualScale", _at("status.actualScale"), "integer"),
        _READY,
        _REASON,
    ),
    ("autoscaling.internal.knative.dev", "Metric"): _READY_ONLY,
    (_NETWORKING, "ServerlessService"): (
        _NAME,
        Column("Mode", _at("spec.mode")),
        Column("Activators", _at("spec.numActivators"), "integer"),
        Column("ServiceName", _at("status.serviceName")),
        Column("PrivateServiceName", _at("status.privateServiceName")),
        _READY,
        _REASON,
    ),
    (_NETWORKING, "Ingress"): _READY_ONLY,
    (_NETWORKING, "Certificate"): _READY_ONLY,
    ("", "Namespace"): (_NAME, Column("Status", _at("status.phase")), _AGE),
    ("", "Pod"): (
        _NAME,
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _pod_restarts),
        _AGE,
        Column("IP", _at("status.podIP", _NONE), priority=1),
        Column("Node", _at("spec.nodeName", _NONE), priority=1),
        Column("Nominated Node", _at("status.nominatedNodeName", _NONE), priority=1),
        Column("Readiness Gates", lambda _: _NONE, priority=1),
    ),
    ("", "Service"): (
        _NAME,
        Column("Type", _at("spec.type")),
        Column("Cluster-IP", _at("spec.clusterIP", _NONE)),
        Column("External-IP", _external_address),
        Column("Port(s)", _service_ports),
        _AGE,
        Column("Selector", _pairs("spec.selector"), priority=1),
    ),
    ("", "Endpoints"): (_NAME, Column("Endpoints", _endpoints), _AGE),
    ("", "ConfigMap"): (_NAME, Column("Data", _size("data"), "integer"), _AGE),
    ("", "Secret"): (_NAME, Column("Type", _at("type")), Column("Data", _size("data"), "integer"), _AGE),
    ("", "ServiceAccount"): (_NAME, Column("Secrets", _size("secrets"), "integer"), _AGE),
    ("", "Node"): (
        _NAME,
        Column("Status", lambda obj: "Ready" if _condition("status")(obj) == "True" else "NotReady"),
        Column("Roles", lambda _: _NONE),
        _AGE,
        Column("Version", _at("status.nodeInfo.kubeletVersion", "")),
    ),
    ("", "Event"): (
        Column("Last Seen", _event_seen),
        Column("Type", _at("type", "")),
        Column("Reason", _at("reason", "")),
        Column("Object", _event_object),
        Column("Subobject", _at("involvedObject.fieldPath", ""), priority=1),
        Column("Source", _event_source, priority=1),
        Column("Message", lambda obj: str(_find(obj, "message") or "").strip()),
        Column("First Seen", lambda obj: age(_find(obj, "firstTimestamp")), priority=1),
        Column("Count", lambda obj: str(_find(obj, "count") or 1), priority=1),
        Column("Name", _at("metadata.name"), priority=1),
    ),
    ("apps", "Deployment"): (
        _NAME,
        Column("Ready", _deployment_ready),
        Column("Up-to-date", _at("status.updatedReplicas", 0), "integer"),
        Column("Available", _at("status.availableReplicas", 0), "integer"),
        _AGE,
        Column("Containers", _template("name"), priority=1),
        Column("Images", _template("image"), priority=1),
        Column("Selector", _pairs("spec.selector.matchLabels"), priority=1),
    ),
    ("discovery.k8s.io", "EndpointSlice"): (
        _NAME,
        Column("AddressType", _at("addressType", "")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_addresses),
        _AGE,
    ),
    ("coordination.k8s.io", "Lease"): (_NAME, Column("Holder", _at("spec.holderIdentity", "")), _AGE),
    ("autoscaling", "HorizontalPodAutoscaler"): (
        _NAME,
        Column("Reference", _scale_target),
        Column("MinPods", _at("spec.minReplicas", 1), "integer"),
        Column("MaxPods", _at("spec.maxReplicas"), "integer"),
        Column("Replicas", _at("status.currentReplicas", 0), "integer"),
        _AGE,
    ),
}
