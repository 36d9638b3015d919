"""Objects as they are in the API, for tests of what is made from them."""

from copy import deepcopy
from typing import Any

from controller.revision.settings import RevisionSettings
from upwell.api.config_deployment import parse_deployment
from upwell.api.config_features import parse_features
from upwell.api.objects import Object, controller_reference, new_object
from upwell.api.resources import CONFIGURATION, REVISION, ROUTE, SERVICE

SIDECAR = "upwell.local/queueproxy"
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
FAILED = {"conditions": [{"type": "Ready", "status": "False"}]}


def revision_settings(features: dict[str, str] | None = None, **deployment: str) -> RevisionSettings:
    keys = {key.replace("_", "-"): value for key, value in deployment.items()}
    return RevisionSettings(
        deployment=parse_deployment({"queue-sidecar-image": SIDECAR, **keys}), features=parse_features(features or {})
    )


def service(**spec: Any) -> Object:
    template = {"metadata": {}, "spec": {"containers": [{"name": "user-container", "image": "a:1"}]}}
    traffic = [{"latestRevision": True, "percent": 100}]
    metadata = {"uid": "uid-service", "generation": 1}
    return new_object(
        SERVICE, "shop", "app", metadata=metadata, spec=deepcopy({"template": template, "traffic": traffic, **spec})
    )


def configuration(generation: int = 1, **status: Any) -> Object:
    template = {"metadata": {}, "spec": {"containers": [{"name": "user-container", "image": "a:1"}]}}
    metadata = {
        "uid": "uid-configuration",
        "generation": generation,
        "labels": {"serving.knative.dev/service": "app", "serving.knative.dev/serviceUID": "uid-service"},
    }
    return new_object(CONFIGURATION, "shop", "app", metadata=metadata, spec={"template": template}, status=status)


def revision(name: str = "app-00001", *, container: Any = None, status: Any = None, **spec: Any) -> Object:
    app = {
        "name": "user-container",
        "image": "a:1",
        "resources": {},
        "readinessProbe": {"tcpSocket": {"port": 0}, "successThreshold": 1},
        **(container or {}),
    }
    metadata = {
        "uid": f"uid-{name}",
        "labels": {
            "serving.knative.dev/configuration": "app",
            "serving.knative.dev/configurationGeneration": name.rsplit("-", 1)[-1].lstrip("0") or "0",
            "serving.knative.dev/service": "app",
        },
        "annotations": {},
        "ownerReferences": [controller_reference(configuration())],
    }
    defaults = {"containerConcurrency": 0, "timeoutSeconds": 300, "enableServiceLinks": False}
    return new_object(
        REVISION,
        "shop",
        name,
        metadata=deepcopy(metadata),
        spec=deepcopy({**defaults, "containers": [app], **spec}),
        status=deepcopy(status or {}),
    )


def route(*traffic: dict[str, Any], **metadata: Any) -> Object:
    targets = list(traffic) or [{"configurationName": "app", "latestRevision": True, "percent": 100}]
    fixed = {"uid": "uid-route", "generation": 1, "labels": {"serving.knative.dev/service": "app"}}
    return new_object(ROUTE, "shop", "app", metadata={**fixed, **metadata}, spec={"traffic": targets})


def named(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A list of things with names, by name: of variables their values."""
    return {item["name"]: item.get("value", item.get("valueFrom", "")) for item in items}
