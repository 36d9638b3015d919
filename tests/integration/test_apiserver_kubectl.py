"""The embedded API server as kubectl sees it: the real one, without any extra flag."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.apiserver_world import PODS, ApiServer, needs_kubectl, pod
from tests.waiting import eventually_here

pytestmark = needs_kubectl

SERVICE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello}
spec:
  template:
    spec:
      containers: [{image: example/hello:1, env: [{name: GREETING, value: before}]}]
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: app, image: "example/web:before", ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


@pytest.fixture(scope="module", name="server")
def server_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path_factory.mktemp("kubectl")).start()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _nothing_left(server: ApiServer) -> Iterator[None]:
    yield
    server.kubectl("delete", "ksvc,deployments,services,configmaps,pods", "--all", "--grace-period=0", "--force")


def test_apply_creates_changes_and_leaves_alone(server: ApiServer) -> None:
    first = server.kubectl("apply", "-f", "-", stdin=WEB)
    second = server.kubectl("apply", "-f", "-", stdin=WEB)
    third = server.kubectl("apply", "-f", "-", stdin=WEB.replace("containerPort: 80", "containerPort: 81"))

    ports = server.kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].ports}")
    assert first.splitlines() == ["deployment.apps/web created", "service/web created"]
    assert second.splitlines() == ["deployment.apps/web unchanged", "service/web unchanged"]
    assert third.splitlines() == ["deployment.apps/web configured", "service/web unchanged"]
    assert json.loads(ports) == [{"containerPort": 81, "protocol": "TCP"}]


def test_get_prints_tables(server: ApiServer) -> None:
    server.kubectl("apply", "-f", "-", stdin=SERVICE)
    server.create(PODS, pod("p"))

    text = server.kubectl("get", "ksvc,revisions,pods", "-A")

    assert "URL   LATESTCREATED   LATESTREADY   READY   REASON" in text
    assert "service.serving.knative.dev/hello" in text
    assert "pod/p   0/2     Pending   0" in text


def test_get_shows_a_category_and_wide_columns(server: ApiServer) -> None:
    server.kubectl("apply", "-f", "-", stdin=WEB + "---" + SERVICE)

    everything = server.kubectl("get", "all")
    wide = server.kubectl("get", "deploy", "-o", "wide")

    for name in ("deployment.apps/web", "service/web", "service.serving.knative.dev/hello"):
        assert name in everything
    assert "CONTAINERS" in wide
    assert "example/web:before" in wide


def test_get_w_prints_changes_as_they_come(server: ApiServer) -> None:
    command = ["kubectl", "--kubeconfig", str(server.kubeconfig()), "get", "pods", "-w"]
    output = server.folder / "watched"
    with (
        output.open("w") as file,
        subprocess.Popen(command, stdout=file, env={**os.environ, "HOME": str(server.folder)}) as watching,
    ):
        server.create(PODS, pod("p"))
        eventually_here(lambda: "Pending" in output.read_text())
        patch = json.dumps({"status": {"phase": "Running"}})
        server.client.patch(f"{PODS}/p/status", content=patch, headers={"Content-Type": "application/merge-patch+json"})
        eventually_here(lambda: "Running" in output.read_text())
        watching.terminate()


def test_describe_tells_an_object_and_its_events(server: ApiServer) -> None:
    server.kubectl("apply", "-f", "-", stdin=WEB + "---" + SERVICE)
    uid = server.kubectl("get", "ksvc", "hello", "-o", "jsonpath={.metadata.uid}")
    about = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello", "namespace": "default"}
    event = {"metadata": {"name": "hello.1"}, "type": "Warning", "reason": "Tested", "message": "it was tested"}
    seen = {"firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1}
    server.create("/api/v1/namespaces/default/events", {**event, **seen, "involvedObject": {**about, "uid": uid}})

    described = server.kubectl("describe", "ksvc", "hello")
    built_in = server.kubectl("describe", "deploy,service", "web")
    listed = server.kubectl("events")

    assert "it was tested" in described
    assert "Image:         example/web:before" in built_in
    assert "Service/hello" in listed


def test_edit_and_patch_and_label_change_what_they_say(server: ApiServer) -> None:
    server.kubectl("apply", "-f", "-", stdin=WEB + "---" + SERVICE)

    server.kubectl("edit", "ksvc", "hello")
    server.kubectl("edit", "deploy", "web")
    server.kubectl(
        "patch", "deploy", "web", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"app","tty":true}]}}}}'
    )
    server.kubectl("patch", "ksvc", "hello", "--type=merge", "-p", '{"metadata":{"annotations":{"a":"b"}}}')
    server.kubectl(
        "patch", "ksvc", "hello", "--type=json", "-p", '[{"op":"add","path":"/metadata/labels","value":{"l":"1"}}]'
    )
    server.kubectl("label", "ksvc", "hello", "m=2")
    refused = server.kubectl("patch", "ksvc", "hello", "-p", "{}", code=1)

    hello = json.loads(server.kubectl("get", "ksvc", "-l", "l=1,m in (2)", "-o", "json"))["items"][0]
    web = json.loads(server.kubectl("get", "deploy", "web", "-o", "json"))
    container = web["spec"]["template"]["spec"]["containers"][0]
    assert hello["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "GREETING", "value": "after"}]
    assert hello["metadata"]["annotations"]["a"] == "b"
    assert (container["image"], container["tty"]) == ("example/web:after", True)
    assert "application/merge-patch+json" in refused


def test_scale_and_set_and_rollout_change_a_deployment(server: ApiServer) -> None:
    server.kubectl("apply", "-f", "-", stdin=WEB)

    server.kubectl("scale", "deploy", "web", "--replicas=3")
    server.kubectl("set", "image", "deploy/web", "app=example/web:2")
    server.kubectl("rollout", "restart", "deploy", "web")

    spec = json.loads(server.kubectl("get", "deploy", "web", "-o", "json"))["spec"]
    assert spec["replicas"] == 3
    assert spec["template"]["spec"]["containers"][0]["image"] == "example/web:2"
    assert "kubectl.kubernetes.io/restartedAt" in spec["template"]["metadata"]["annotations"]


def test_wait_sees_a_condition_come(server: ApiServer) -> None:
    server.kubectl("apply", "-f", "-", stdin=SERVICE)
    command = [
        "kubectl",
        "--kubeconfig",
        str(server.kubeconfig()),
        "wait",
        "--for=condition=Ready",
        "ksvc/hello",
        "--timeout=30s",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "HOME": str(server.folder)}
    ) as waiting:
        patch = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
        server.kubectl("patch", "ksvc", "hello", "--subresource=status", "--type=merge", "-p", patch)
        output, _ = waiting.communicate(timeout=40)

    assert "condition met" in output


def test_logs_come_from_the_file_of_the_container(server: ApiServer) -> None:
    server.create(PODS, pod("p"))
    folder = server.logs / "default" / "p"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.log").write_text("one\ntwo\n")
    (folder / "sidecar.log").write_text("three\n")

    assert "two" in server.kubectl("logs", "p", "--tail=1")
    assert server.kubectl("logs", "p", "-c", "sidecar") == "three\n"
    assert "container nope is not valid for pod p" in server.kubectl("logs", "p", "-c", "nope", code=1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["explain", "ksvc.spec.template.spec.containerConcurrency"], "Requests that one pod may serve at once"),
        (["explain", "deployment.spec.template.spec.containers.image"], "Container image name"),
        (["explain", "revision", "--recursive"], "containerConcurrency"),
        (["api-resources", "--api-group=serving.knative.dev"], "ksvc"),
        (["version"], "Server Version: v1.32"),
        (["cluster-info"], "is running at"),
    ],
)
def test_what_there_is_can_be_asked(server: ApiServer, arguments: list[str], told: str) -> None:
    assert told in server.kubectl(*arguments)


def test_create_makes_the_kinds_that_it_has_words_for(server: ApiServer) -> None:
    server.kubectl("create", "namespace", "team")
    server.kubectl("-n", "team", "create", "configmap", "c", "--from-literal=a=b")
    server.kubectl("-n", "team", "create", "secret", "generic", "s", "--from-literal=x=y")
    server.kubectl("-n", "team", "create", "serviceaccount", "bot")
    server.kubectl("-n", "team", "create", "service", "clusterip", "web", "--tcp=80:8080")
    server.kubectl(
        "-n", "team", "create", "deployment", "web", "--image=example/web", "--replicas=0", "--port=80", "--", "run"
    )

    def field(kind: str, name: str, path: str) -> str:
        return server.kubectl("-n", "team", "get", kind, name, "-o", f"jsonpath={{{path}}}")

    assert field("configmap", "c", ".data.a") == "b"
    assert field("secret", "s", ".data.x") == "eQ=="
    assert field("service", "web", ".spec.ports[0].targetPort") == "8080"
    assert field("deployment", "web", ".spec.replicas") == "0"
    assert field("deployment", "web", ".spec.template.spec.containers[0].command") == '["run"]'
    server.kubectl("delete", "namespace", "team")
    assert "not found" in server.kubectl("get", "namespace", "team", code=1)


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (SERVICE.replace("template", "tempalte", 1), 'unknown field "spec.tempalte"'),
        (WEB.replace('"example/web:before"', "yes"), "spec.template.spec.containers[0].image: true is not a string"),
        (
            WEB.replace("containerPort", "containerPrt"),
            'unknown field "spec.template.spec.containers[0].ports[0].containerPrt"',
        ),
        (SERVICE.replace("hello}", "Hello}"), "RFC 1123"),
        (SERVICE.replace("kind: Service", "kind: Thing"), 'no matches for kind "Thing"'),
        (SERVICE.replace("image: example/hello:1, ", ""), "missing field(s): spec.template.spec.containers[0].image"),
    ],
)
def test_a_mistake_is_told_where_it_is(server: ApiServer, manifest: str, told: str) -> None:
    assert told in server.kubectl("apply", "-f", "-", stdin=manifest, code=1)


def test_server_side_apply_is_refused_with_one_clear_line(server: ApiServer) -> None:
    told = server.kubectl("apply", "--server-side", "-f", "-", stdin=SERVICE, code=1)

    assert len(told.splitlines()) == 1
    assert "server-side apply is not supported by this API server" in told


def test_delete_waits_until_it_is_gone(server: ApiServer) -> None:
    server.kubectl("apply", "-f", "-", stdin=SERVICE)

    server.kubectl("delete", "ksvc", "hello")

    assert "not found" in server.kubectl("get", "ksvc", "hello", code=1)


def test_diff_and_dry_run_store_nothing(server: ApiServer, tmp_path: Path) -> None:
    server.kubectl("apply", "-f", "-", stdin=WEB)
    changed = WEB.replace("containerPort: 80", "containerPort: 81")

    same = server.kubectl("diff", "-f", "-", stdin=WEB)
    different = server.kubectl("diff", "-f", "-", stdin=changed, code=1)
    server.kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed)

    assert same == ""
    assert "containerPort: 81" in different
    assert '"containerPort":80' in server.kubectl(
        "get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers}"
    )
