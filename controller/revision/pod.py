"""The pod of a revision: the user's containers, told where to listen and who they are, and the sidecar in front.

Probes of readiness move to the sidecar, which counts as ready when the app does. A container that ends waits for the
sidecar to drain first. What Kubernetes would do differently by default (service links, where messages of the dead
are looked for, spreading over nodes) is set here. Source: contract, control-plane.md 5.6.
"""

from collections.abc import Mapping
from typing import Any, Final

from controller.revision.image_caches import digests_by_container
from controller.revision.metadata import child_labels, configuration_name
from controller.revision.settings import RevisionSettings
from controller.revision.sidecar import make_sidecar, user_port
from upwell.api.names import LABEL_REVISION, LABEL_SERVICE, PORT_QUEUE_ADMIN
from upwell.api.objects import Object, annotations_of, labels_of, mutable, name_of
from upwell.api.revision_defaults import serving_container

__all__ = ["make_pod_spec"]

_OWN_FIELDS: Final = (
    "containerConcurrency",
    "timeoutSeconds",
    "responseStartTimeoutSeconds",
    "idleTimeoutSeconds",
)
ANNOTATION_TOKEN: Final = "serving.upwell.dev/mount-service-account-token"
_ANNOTATION_POD_INFO: Final = "features.knative.dev/queueproxy-podinfo"
_DRAIN: Final = {"preStop": {"httpGet": {"path": "/wait-for-drain", "port": PORT_QUEUE_ADMIN}}}
_VAR_LOG: Final = "knative-var-log"


def make_pod_spec(revision: Object, settings: RevisionSettings) -> dict[str, Any]:
    source = revision["spec"]
    spec: dict[str, Any] = mutable({name: value for name, value in source.items() if name not in _OWN_FIELDS})
    app = serving_container(spec) or {}
    sidecar = make_sidecar(revision, settings)
    probing = settings.features.enabled("multi-container-probing")
    containers = [
        _user_container(container, revision, settings, serving=container is app, probing=probing)
        for container in spec["containers"]
    ]
    volumes, mounts = _sidecar_volumes(revision, settings)
    if mounts:
        sidecar["volumeMounts"] = mounts
    if settings.observability.var_log_collection:
        volumes.append({"name": _VAR_LOG, "emptyDir": {}})
    # On a node each container takes a while to make: the sidecar uses the time in which the app's is.
    spec["containers"] = [sidecar, *containers] if settings.deployment.sidecar_first else [*containers, sidecar]
    if not _wants_token(revision, settings):
        spec.setdefault("automountServiceAccountToken", False)
    if volumes:
        spec["volumes"] = [*(spec.get("volumes") or ()), *volumes]
    spec["terminationGracePeriodSeconds"] = source.get("timeoutSeconds") or settings.defaults.timeout
    if spec.get("enableServiceLinks") is None and settings.defaults.enable_service_links is not None:
        spec["enableServiceLinks"] = settings.defaults.enable_service_links
    if "affinity" not in spec and settings.deployment.spread_over_nodes:
        spec["affinity"] = _spread(name_of(revision))
    runtime_class = _runtime_class(child_labels(revision), settings.deployment.runtime_classes)
    if runtime_class and "runtimeClassName" not in spec:
        spec["runtimeClassName"] = runtime_class
    return spec


def _wants_token(revision: Object, settings: RevisionSettings) -> bool:
    """Whether pods get the token of their service account: as the revision says, else as it is usual."""
    said = annotations_of(revision).get(ANNOTATION_TOKEN, "").lower()
    if said in ("true", "false"):
        return said == "true"
    return settings.deployment.service_account_token or bool(revision["spec"].get("serviceAccountName"))


def _user_container(
    container: dict[str, Any], revision: Object, settings: RevisionSettings, *, serving: bool, probing: bool
) -> dict[str, Any]:
    """Changes the container, which is a copy, and returns it."""
    digest = digests_by_container(revision).get(container["name"])
    if digest:
        container["image"] = digest
    port = user_port(container)
    env = list(container.get("env") or ())
    if serving:
        container["ports"] = [{"name": "user-port", "containerPort": port, "protocol": "TCP"}]
        env.append({"name": "PORT", "value": str(port)})
        _direct_liveness(container.get("livenessProbe") or {}, port, only_unset=probing)
    env += _identity(revision)
    if settings.observability.var_log_collection:
        env += _log_identity()
        container.setdefault("volumeMounts", []).append(_log_mount(container["name"]))
    container["env"] = env
    container["lifecycle"] = _DRAIN
    container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    if "exec" not in (container.get("readinessProbe") or {}):
        container.pop("readinessProbe", None)
    return container


def _identity(revision: Object) -> list[dict[str, str]]:
    values = {
        "K_REVISION": name_of(revision),
        "K_CONFIGURATION": configuration_name(revision),
        "K_SERVICE": labels_of(revision).get(LABEL_SERVICE, ""),
    }
    return [{"name": name, **({"value": value} if value else {})} for name, value in values.items()]


def _direct_liveness(probe: Mapping[str, Any], port: int, *, only_unset: bool) -> None:
    """The kubelet asks the app itself, at the port that the app was told."""
    for handler in ("httpGet", "tcpSocket"):
        if handler in probe and not (only_unset and probe[handler].get("port")):
            probe[handler]["port"] = port


def _log_identity() -> list[dict[str, Any]]:
    fields = {"K_INTERNAL_POD_NAME": "metadata.name", "K_INTERNAL_POD_NAMESPACE": "metadata.namespace"}
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]


def _log_mount(container: str) -> dict[str, str]:
    path = f"$(K_INTERNAL_POD_NAMESPACE)_$(K_INTERNAL_POD_NAME)_{container}"
    return {"name": _VAR_LOG, "mountPath": "/var/log", "subPathExpr": path}


def _sidecar_volumes(revision: Object, settings: RevisionSettings) -> tuple[list[Any], list[Any]]:
    """What the sidecar may read of its surroundings, as volumes and mounts."""
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    if settings.features.active("queueproxy.mount-podinfo", annotations_of(revision).get(_ANNOTATION_POD_INFO, "")):
        items = [{"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}}]
        volumes.append({"name": "pod-info", "downwardAPI": {"items": items}})
        mounts.append({"name": "pod-info", "mountPath": "/etc/podinfo", "readOnly": True})
    audiences = settings.deployment.sidecar_token_audiences
    if audiences:
        tokens = [{"audience": name, "expirationSeconds": 3600, "path": name} for name in audiences]
        sources = [{"serviceAccountToken": token} for token in tokens]
        volumes.append({"name": "knative-token-volume", "projected": {"sources": sources}})
        mounts.append({"name": "knative-token-volume", "mountPath": "/var/run/secrets/tokens"})
    if settings.system_internal_tls:
        volumes.append({"name": "server-certs", "secret": {"secretName": "serving-certs"}})
        mounts.append({"name": "server-certs", "mountPath": "/var/lib/knative/certs", "readOnly": True})
    return volumes, mounts


def _spread(revision: str) -> dict[str, Any]:
    """Pods of one revision would rather be on different nodes."""
    term = {
        "labelSelector": {"matchLabels": {LABEL_REVISION: revision}},
        "topologyKey": "kubernetes.io/hostname",
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _runtime_class(labels: Mapping[str, str], classes: Mapping[str, Mapping[str, str]]) -> str:
    """The class whose selector matches and says most; of equals the first by name."""
    matching = [(-len(selector), name) for name, selector in classes.items() if selector.items() <= labels.items()]
    return min(matching)[1] if matching else ""
