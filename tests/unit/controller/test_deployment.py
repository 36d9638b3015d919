"""The Deployment of a revision: the user's containers, and the sidecar in front of them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from controller.revision.deployment import is_current, make_deployment, updated_deployment
from controller.revision.pod import make_pod_spec
from controller.revision.settings import RevisionSettings
from controller.revision.sidecar_resources import sidecar_resources
from tests.unit.controller.objects import SIDECAR, named, revision, revision_settings
from upwell.api.config_deployment import parse_deployment
from upwell.api.config_observability import parse_observability
from upwell.api.objects import Object, mutable


def containers(obj: Object, settings: RevisionSettings | None = None) -> dict[str, dict[str, Any]]:
    spec = make_pod_spec(obj, settings or revision_settings())
    return {container["name"]: container for container in spec["containers"]}


def test_the_app_is_told_its_port_and_who_it_is() -> None:
    app = containers(revision(container={"env": [{"name": "A", "value": "b"}]}))["user-container"]

    assert [variable["name"] for variable in app["env"]] == ["A", "PORT", "K_REVISION", "K_CONFIGURATION", "K_SERVICE"]
    assert named(app["env"])["PORT"] == "8080"
    assert app["ports"] == [{"name": "user-port", "containerPort": 8080, "protocol": "TCP"}]
    assert app["lifecycle"]["preStop"]["httpGet"] == {"path": "/wait-for-drain", "port": 8022}


def test_the_readiness_probe_moves_to_the_sidecar() -> None:
    probe = {"httpGet": {"path": "/ready", "port": 0}, "periodSeconds": 5, "successThreshold": 1}
    found = containers(revision(container={"readinessProbe": probe, "ports": [{"containerPort": 9000}]}))
    sidecar = found["queue-proxy"]

    assert "readinessProbe" not in found["user-container"]
    assert sidecar["readinessProbe"]["periodSeconds"] == 5
    assert sidecar["readinessProbe"]["httpGet"]["port"] == 8012
    assert json.loads(named(sidecar["env"])["SERVING_READINESS_PROBE"]) == {
        "httpGet": {"scheme": "HTTP", "path": "/ready", "port": 9000, "host": "127.0.0.1"},
        "periodSeconds": 5,
        "successThreshold": 1,
        "timeoutSeconds": 1,
    }


def test_a_command_as_probe_stays_and_the_sidecar_asks_the_port() -> None:
    probe = {"exec": {"command": ["true"]}, "successThreshold": 1}
    found = containers(revision(container={"readinessProbe": probe}))

    assert found["user-container"]["readinessProbe"] == probe
    asked = json.loads(named(found["queue-proxy"]["env"])["SERVING_READINESS_PROBE"])
    assert asked["tcpSocket"] == {"port": 8080, "host": "127.0.0.1"}


def test_a_named_probe_port_is_the_apps() -> None:
    probe = {"httpGet": {"path": "/", "port": "http1"}, "successThreshold": 1}
    ports = [{"name": "http1", "containerPort": 9000}]
    sidecar = containers(revision(container={"readinessProbe": probe, "ports": ports}))["queue-proxy"]

    assert json.loads(named(sidecar["env"])["SERVING_READINESS_PROBE"])["httpGet"]["port"] == 9000


def test_liveness_is_asked_at_the_port_that_the_app_was_told() -> None:
    probe = {"httpGet": {"path": "/live", "port": 1234}}
    app = containers(revision(container={"livenessProbe": probe, "ports": [{"containerPort": 9000}]}))["user-container"]

    assert app["livenessProbe"]["httpGet"]["port"] == 9000


def test_an_h2c_app_gets_the_h2c_port() -> None:
    ports = [{"name": "h2c", "containerPort": 9000}]
    sidecar = containers(revision(container={"ports": ports}))["queue-proxy"]

    assert [port["containerPort"] for port in sidecar["ports"]] == [9090, 9091, 8013, 8112]
    assert named(sidecar["env"])["QUEUE_SERVING_PORT"] == "8013"


def test_the_sidecar_is_told_the_limits_of_the_revision() -> None:
    limited = revision(containerConcurrency=3, timeoutSeconds=60, idleTimeoutSeconds=7)
    sidecar = containers(limited)["queue-proxy"]
    env = named(sidecar["env"])

    assert sidecar["image"] == SIDECAR
    assert (env["CONTAINER_CONCURRENCY"], env["REVISION_TIMEOUT_SECONDS"]) == ("3", "60")
    assert (env["REVISION_IDLE_TIMEOUT_SECONDS"], env["REVISION_RESPONSE_START_TIMEOUT_SECONDS"]) == ("7", "0")
    assert env["SERVING_POD_IP"] == {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}
    assert make_pod_spec(limited, revision_settings())["terminationGracePeriodSeconds"] == 60


def test_only_the_container_with_the_port_serves() -> None:
    pair = [
        {"name": "first", "image": "a", "resources": {}},
        {"name": "second", "image": "b", "resources": {}, "ports": [{"containerPort": 9000}]},
    ]
    found = containers(revision(containers=pair))

    assert "PORT" not in named(found["first"]["env"])
    assert named(found["second"]["env"])["PORT"] == "9000"
    assert list(found) == ["queue-proxy", "first", "second"]


def test_init_containers_are_passed_on_as_they_are() -> None:
    init = [{"name": "init", "image": "i", "resources": {}}]

    assert make_pod_spec(revision(initContainers=init), revision_settings())["initContainers"] == init


def test_pods_prefer_different_nodes_unless_told_otherwise() -> None:
    spread = make_pod_spec(revision(), revision_settings())
    anywhere = make_pod_spec(revision(), revision_settings(default_affinity_type="none"))

    assert "podAntiAffinity" in spread["affinity"]
    assert "affinity" not in anywhere


def test_a_runtime_class_is_chosen_by_labels() -> None:
    classes = "gvisor: {selector: {serving.knative.dev/service: app}}\nplain: {}"

    assert make_pod_spec(revision(), revision_settings(runtime_class_name=classes))["runtimeClassName"] == "gvisor"


def test_logs_are_collected_from_var_log_when_asked_for() -> None:
    observability = parse_observability({"logging.enable-var-log-collection": "true"})
    spec = make_pod_spec(revision(), replace(revision_settings(), observability=observability))

    assert {"name": "knative-var-log", "emptyDir": {}} in spec["volumes"]
    app = next(one for one in spec["containers"] if one["name"] == "user-container")
    assert app["volumeMounts"][0]["mountPath"] == "/var/log"


def test_tokens_and_pod_info_are_mounted_into_the_sidecar_alone() -> None:
    settings = revision_settings({"queueproxy.mount-podinfo": "Enabled"}, queue_sidecar_token_audiences="b,a")
    found = containers(revision(), settings)

    assert [mount["mountPath"] for mount in found["queue-proxy"]["volumeMounts"]] == [
        "/etc/podinfo",
        "/var/run/secrets/tokens",
    ]
    assert "volumeMounts" not in found["user-container"]


def test_autoscaling_annotations_do_not_reach_the_pods() -> None:
    obj = revision()
    obj["metadata"]["annotations"] = {
        "autoscaling.knative.dev/min-scale": "1",
        "serving.knative.dev/routes": "app",
        "mine": "x",
    }
    deployment = make_deployment(obj, revision_settings())

    assert deployment["metadata"]["annotations"] == {"mine": "x"}
    assert deployment["spec"]["template"]["metadata"]["annotations"] == {
        "mine": "x",
        "kubectl.kubernetes.io/default-container": "user-container",
    }


def test_the_first_scale_and_the_deadline_come_from_annotations() -> None:
    obj = revision()
    obj["metadata"]["annotations"] = {
        "autoscaling.knative.dev/initial-scale": "3",
        "serving.knative.dev/progress-deadline": "90s",
    }
    spec = make_deployment(obj, revision_settings())["spec"]

    assert (spec["replicas"], spec["progressDeadlineSeconds"]) == (3, 90)


def test_a_scaled_deployment_is_current_and_one_with_another_sidecar_is_not() -> None:
    existing = make_deployment(revision(), revision_settings())
    existing["spec"]["replicas"] = 7
    assert is_current(existing, make_deployment(revision(), revision_settings()))

    other = make_deployment(revision(), revision_settings(queue_sidecar_image="queue:2"))
    assert not is_current(existing, other)


def test_an_update_keeps_the_scale_and_what_others_put_there() -> None:
    existing = make_deployment(revision(), revision_settings())
    existing["spec"]["replicas"] = 7
    existing["metadata"]["labels"].update({"team": "blue", "serving.knative.dev/gone": "x"})
    existing["spec"]["template"]["metadata"]["annotations"]["mesh/inject"] = "yes"
    wanted = make_deployment(revision(), revision_settings(queue_sidecar_image="queue:2"))
    before = mutable(existing)

    result = updated_deployment(existing, wanted)

    assert existing == before
    assert result["spec"]["replicas"] == 7
    assert result["spec"]["template"]["metadata"]["annotations"]["mesh/inject"] == "yes"
    assert result["metadata"]["labels"]["team"] == "blue"
    assert "serving.knative.dev/gone" not in result["metadata"]["labels"]
    assert is_current(result, wanted)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, {"requests": {"cpu": "25m"}}),
        (
            {"queue.sidecar.serving.knative.dev/resource-percentage": "20"},
            {"requests": {"cpu": "40m", "memory": "50Mi"}, "limits": {"cpu": "200m", "memory": "214748364800m"}},
        ),
        (
            {
                "queue.sidecar.serving.knative.dev/resource-percentage": "100",
                "queue.sidecar.serving.knative.dev/cpu-resource-request": "77m",
            },
            {"requests": {"cpu": "77m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "500Mi"}},
        ),
    ],
)
def test_the_sidecars_resources_follow_the_apps_within_bounds(
    annotations: dict[str, str], expected: dict[str, Any]
) -> None:
    app = {"requests": {"cpu": "200m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    config = parse_deployment({"queue-sidecar-image": SIDECAR})

    assert sidecar_resources(config, annotations, app, use_defaults=False) == expected
