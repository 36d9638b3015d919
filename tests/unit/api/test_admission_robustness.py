"""Whatever a user writes, admission accepts it or refuses it with words; it never breaks."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upwell.api.admission import Denied, admit
from upwell.api.objects import Object, new_object
from upwell.api.resources import (
    CONFIG_MAP,
    CONFIGURATION,
    INGRESS,
    METRIC,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVERLESS_SERVICE,
    SERVICE,
    Resource,
)

POD: dict[str, Any] = {
    "containerConcurrency": 1,
    "timeoutSeconds": 10,
    "serviceAccountName": "me",
    "imagePullSecrets": [{"name": "s"}],
    "securityContext": {"runAsUser": 1},
    "initContainers": [{"image": "i"}],
    "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}, {"name": "e", "emptyDir": {}}],
    "containers": [
        {
            "image": "dev.local/a:1",
            "ports": [{"containerPort": 8080, "name": "h2c"}],
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "envFrom": [{"configMapRef": {"name": "c"}}],
            "resources": {"requests": {"cpu": "1"}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "e", "mountPath": "/e"}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
            "livenessProbe": {"grpc": {"port": 8080}},
            "securityContext": {"capabilities": {"drop": ["ALL"]}, "runAsUser": 1},
        },
        {"image": "b", "readinessProbe": {"exec": {"command": ["x"]}}},
    ],
}
TEMPLATE = {"metadata": {"name": "app-one", "annotations": {"autoscaling.knative.dev/window": "10s"}}, "spec": POD}
TRAFFIC = [{"percent": 100, "revisionName": "app-one", "tag": "t"}]
SPLIT = {"serviceName": "a", "serviceNamespace": "shop", "servicePort": 80, "percent": 100}
RULE = {"hosts": ["h"], "http": {"paths": [{"splits": [SPLIT], "headers": {"h": {"exact": "x"}}}]}}
REFERENCE = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
SPECS: list[tuple[Resource, dict[str, Any]]] = [
    (SERVICE, {"template": TEMPLATE, "traffic": TRAFFIC}),
    (CONFIGURATION, {"template": TEMPLATE}),
    (REVISION, POD),
    (ROUTE, {"traffic": TRAFFIC}),
    (INGRESS, {"rules": [RULE], "tls": [{"secretName": "s", "secretNamespace": "n"}]}),
    (POD_AUTOSCALER, {"scaleTargetRef": REFERENCE, "protocolType": "http1"}),
    (METRIC, {"stableWindow": 1, "scrapeTarget": "x"}),
    (SERVERLESS_SERVICE, {"objectRef": REFERENCE, "protocolType": "http1", "mode": "Proxy"}),
]
FEATURES = {
    "kubernetes.podspec-init-containers": "Enabled",
    "kubernetes.podspec-securitycontext": "Enabled",
    "multi-container-probing": "Enabled",
    "secure-pod-defaults": "AllowRootBounded",
}
Path = tuple[str | int, ...]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(part, (*path, name))


def placed(value: Any, path: Path, new: Any) -> Any:
    """A copy of `value` with `new` at `path`."""
    if not path:
        return new
    result = deepcopy(value)
    target = result
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = new
    return result


def review(resource: Resource, obj: Object, old: Object | None = None) -> Object | None:
    """What admission makes of it; None when it is refused."""
    try:
        return admit(resource, obj, old, lambda name: FEATURES if name == "config-features" else {}, user="ann")
    except Denied as denied:
        return None if str(denied) else {"refused": "without a word"}


@pytest.mark.parametrize(("resource", "spec"), SPECS, ids=lambda value: getattr(value, "kind", ""))
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_value_anywhere_is_accepted_or_refused_with_words(
    resource: Resource, spec: dict[str, Any], data: st.DataObject
) -> None:
    metadata = {
        "labels": {"serving.knative.dev/service": "app"},
        "annotations": {"serving.knative.dev/rollout-duration": "1s"},
        "ownerReferences": [{"kind": "Service", "name": "app", "uid": "u"}],
    }
    plain = new_object(resource, "shop", "app", metadata=metadata, spec=spec)
    candidates = [path for path in paths(plain) if path[:1] in (("spec",), ("metadata",)) and path != ("metadata",)]
    path = data.draw(st.sampled_from([one for one in candidates if one not in (("metadata", "name"),)]))
    changed = placed(plain, path, data.draw(JSON))

    stored = review(resource, changed)

    if stored is not None:
        assert "refused" not in stored
        assert review(resource, deepcopy(stored), stored) == stored
    old = review(resource, plain)
    if old is not None:
        review(resource, changed, old)


KEYS = {
    "config-autoscaler": ["enable-scale-to-zero", "stable-window", "max-scale-up-rate", "initial-scale"],
    "config-defaults": [
        "revision-timeout-seconds",
        "revision-cpu-limit",
        "container-name-template",
        "container-concurrency",
    ],
    "config-deployment": [
        "progress-deadline",
        "runtime-class-name",
        "default-affinity-type",
        "queue-sidecar-cpu-request",
    ],
    "config-domain": ["example.com"],
    "config-gc": ["retain-since-create-time", "max-non-active-revisions"],
    "config-leader-election": ["lease-duration", "buckets"],
    "config-logging": ["loglevel.controller"],
    "config-network": ["domain-template", "tag-template", "http-protocol", "external-port", "rollout-duration"],
    "config-observability": ["tracing-protocol", "tracing-sampling-rate", "logging.request-log-template"],
}
TEXTS = st.text(max_size=20) | st.text(alphabet="{}.:-[]\n selctorNamD1smh0,|", max_size=30)


@pytest.mark.parametrize("name", KEYS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_text_in_a_config_map_is_read_or_refused_with_words(name: str, data: st.DataObject) -> None:
    values = data.draw(st.dictionaries(st.sampled_from(KEYS[name]), TEXTS))
    labels = {"app.kubernetes.io/name": "knative-serving"}
    settings_map = new_object(CONFIG_MAP, "knative-serving", name, metadata={"labels": labels}, data=values)

    assert review(CONFIG_MAP, settings_map) != {"refused": "without a word"}
