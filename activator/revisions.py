"""What the activator knows of a revision, and which revision a request is for.

`Revision` is the part of the object that decides about requests: read once per change, not per request. Which one
is meant is said by two headers that the ingress sets, else by a cluster-local host name (contract: activator.md 5).
"""

from dataclasses import dataclass
from typing import Any, Final

from activator.waiting_page import WaitingPage, read_waiting_page
from upwell.api import names
from upwell.api.objects import Key, Object, annotations_of, key_of, labels_of

__all__ = ["Revision", "key_from_host", "read_revision"]

DEFAULT_TIMEOUT: Final = 300.0
"""Seconds; what the API server's defaulting writes into a revision (contract: control-plane.md)."""


@dataclass(frozen=True, slots=True)
class Revision:
    """Times are in seconds, 0 means off."""

    key: Key
    private_service: Key
    container_concurrency: int
    port_name: str
    """`http` or `http2`: the name of the port that requests go to, on all of the revision's services."""
    timeout: float
    response_start_timeout: float
    idle_timeout: float
    probe_early: bool
    """Whether a pod may be used before Kubernetes says that it is ready, because its sidecar says so."""
    service: str
    configuration: str
    waiting_page: WaitingPage | None
    """What browsers are shown while no pod is ready; None: they wait as all others."""

    @property
    def metric_labels(self) -> tuple[str, str, str, str]:
        """Service, configuration, revision, namespace."""
        return (self.service, self.configuration, self.key.name, self.key.namespace)


def read_revision(obj: Object) -> Revision:
    """Read a Revision object; fields that are missing have the contract's defaults."""
    key = key_of(obj)
    labels = labels_of(obj)
    spec = obj.get("spec") or {}
    containers = spec.get("containers") or []
    serving = _serving_container(containers)
    return Revision(
        key=key,
        private_service=Key(key.namespace, names.child_name(key.name, "-private")),
        container_concurrency=int(spec.get("containerConcurrency") or 0),
        port_name=_port_name(serving),
        timeout=float(spec.get("timeoutSeconds") or DEFAULT_TIMEOUT),
        response_start_timeout=float(spec.get("responseStartTimeoutSeconds") or 0),
        idle_timeout=float(spec.get("idleTimeoutSeconds") or 0),
        probe_early=_may_probe_early(serving, containers),
        service=labels.get(names.LABEL_SERVICE, ""),
        configuration=labels.get(names.LABEL_CONFIGURATION, ""),
        waiting_page=read_waiting_page(labels.get(names.LABEL_SERVICE) or key.name, annotations_of(obj)),
    )


def _serving_container(containers: list[dict[str, Any]]) -> dict[str, Any]:
    """The one that takes requests: it alone may declare ports."""
    for container in containers:
        if container.get("ports"):
            return container
    return containers[0] if containers else {}


def _port_name(container: dict[str, Any]) -> str:
    ports = container.get("ports") or [{}]
    return names.PORT_NAME_H2C if ports[0].get("name") in ("h2c", "http2") else names.PORT_NAME_HTTP


def _may_probe_early(serving: dict[str, Any], containers: list[dict[str, Any]]) -> bool:
    # The sidecar cannot run an exec probe and knows nothing of startup probes: only the kubelet's word counts then.
    if "exec" in (serving.get("readinessProbe") or {}):
        return False
    return not any(container.get("startupProbe") for container in containers)


def key_from_host(host: bytes, cluster_domain: str) -> Key | None:
    """The revision that `NAME.NAMESPACE.svc.CLUSTER-DOMAIN[:PORT]` means; None for any other host."""
    parts = host.decode("latin-1").split(".", 3)
    if len(parts) != 4 or parts[2] != "svc" or parts[3].partition(":")[0] != cluster_domain:
        return None
    return Key(parts[1], parts[0])
