"""What a real API server fills in for the built-in kinds, so that controllers meet the objects they would meet there.

Each function changes the object in place and only adds what is missing. Knative's kinds are defaulted by admission.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from upwell.api.objects import Object
from upwell.api.resources import Resource

__all__ = ["apply_defaults"]


def apply_defaults(resource: Resource, obj: Object) -> None:
    """Fill in the defaults of a built-in kind; others are left as they are."""
    default = _DEFAULTS.get((resource.group, resource.kind))
    if default is not None:
        default(obj)


def _namespace(obj: Object) -> None:
    _fill(_dict(obj, "spec"), finalizers=["kubernetes"])
    _fill(_dict(obj, "status"), phase="Active")
    _dict(obj["metadata"], "labels")["kubernetes.io/metadata.name"] = obj["metadata"]["name"]


def _service(obj: Object) -> None:
    spec = _dict(obj, "spec")
    _fill(spec, type="ClusterIP", sessionAffinity="None")
    for port in _dicts(spec, "ports"):
        _fill(port, protocol="TCP")
        if spec["type"] != "ExternalName" and "port" in port:
            _fill(port, targetPort=port["port"])
    if spec["type"] != "ExternalName":
        _fill(spec, internalTrafficPolicy="Cluster", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    if spec["type"] == "LoadBalancer":
        _fill(spec, allocateLoadBalancerNodePorts=True)
    if spec["type"] in ("LoadBalancer", "NodePort"):
        _fill(spec, externalTrafficPolicy="Cluster")
    _fill(_dict(obj, "status"), loadBalancer={})


def _deployment(obj: Object) -> None:
    spec = _dict(obj, "spec")
    _fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = _dict(spec, "strategy")
    _fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(_dict(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")
    template = _dict(spec, "template")
    _fill(_dict(template, "metadata"), creationTimestamp=None)
    _pod_spec(_dict(template, "spec"))


def _pod(obj: Object) -> None:
    spec = _dict(obj, "spec")
    _pod_spec(spec)
    _fill(spec, enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority", priority=0)
    _fill(_dict(obj, "status"), phase="Pending", qosClass=_quality(spec))


def _pod_spec(spec: Object) -> None:
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        securityContext={},
    )
    if "serviceAccountName" in spec:
        _fill(spec, serviceAccount=spec["serviceAccountName"])
    for container in (*_dicts(spec, "containers"), *_dicts(spec, "initContainers")):
        _container(container)
    for volume in _dicts(spec, "volumes"):
        _volume(volume)


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = tag in ("", "latest") and "@" not in image
    _fill(
        container,
        imagePullPolicy="Always" if latest else "IfNotPresent",
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for port in _dicts(container, "ports"):
        _fill(port, protocol="TCP")
    for variable in _dicts(container, "env"):
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if isinstance(reference, dict):
            _fill(reference, apiVersion="v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(container.get(name), dict):
            _probe(container[name])
    resources = container["resources"]
    if isinstance(resources, dict) and isinstance(resources.get("limits"), dict):
        _fill(_dict(resources, "requests"), **resources["limits"])


def _probe(probe: Object) -> None:
    _fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    if isinstance(probe.get("httpGet"), dict):
        _fill(probe["httpGet"], path="/", scheme="HTTP")
    if isinstance(probe.get("grpc"), dict):
        _fill(probe["grpc"], service="")


def _volume(volume: Object) -> None:
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(volume.get(source), dict):
            _fill(volume[source], defaultMode=420)
    sources = volume["projected"].get("sources") if isinstance(volume.get("projected"), dict) else None
    for source in sources or ():
        if isinstance(source.get("serviceAccountToken"), dict):
            _fill(source["serviceAccountToken"], expirationSeconds=3600)


def _quality(spec: Object) -> str:
    """The pod's quality-of-service class, from the requests and limits of its containers."""
    resources = [container.get("resources") or {} for container in _dicts(spec, "containers")]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    whole = all(
        {"cpu", "memory"} <= set(one.get("limits") or ()) and one.get("requests", one["limits"]) == one["limits"]
        for one in resources
    )
    return "Guaranteed" if whole else "Burstable"


def _secret(obj: Object) -> None:
    _fill(obj, type="Opaque")
    texts = obj.pop("stringData", None)
    if isinstance(texts, dict):
        data = _dict(obj, "data")
        for name, text in texts.items():
            data[name] = base64.b64encode(str(text).encode()).decode()


def _dict(parent: Object, name: str) -> Object:
    """The dictionary at `name`, made if missing; one that is something else is left for validation to refuse."""
    value = parent.get(name)
    if value is None:
        value = parent[name] = {}
    return value if isinstance(value, dict) else {}


def _dicts(parent: Mapping[str, Any], name: str) -> Iterable[Object]:
    value = parent.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _fill(target: Object, **defaults: Any) -> None:
    for name, value in defaults.items():
        if target.get(name) is None:
            target[name] = value


_DEFAULTS: Final[Mapping[tuple[str, str], Callable[[Object], None]]] = {
    ("", "Namespace"): _namespace,
    ("", "Service"): _service,
    ("", "Pod"): _pod,
    ("", "Secret"): _secret,
    ("apps", "Deployment"): _deployment,
}
