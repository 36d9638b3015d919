"""From the flags of `upwell service create` and `update` to the Service that is sent, as kn would send it."""

from pathlib import Path
from typing import Any

import pytest

from upwell.api.objects import Object
from upwell.cli.errors import CommandError
from upwell.cli.main import build_parser, joined
from upwell.cli.service_edit import edited, made

SCALING = "autoscaling.knative.dev/"


def created(*flags: str, local: bool = False) -> Object:
    words = ["service", "create", "hello", "--image", "example.local/hello", "--security-context", "none", *flags]
    options = build_parser()[0].parse_args(joined(words))
    options.local = local
    return made("hello", "default", options)


def updated(service: Object, *flags: str, revision: Object | None = None) -> Object:
    options = build_parser()[0].parse_args(joined(["service", "update", "hello", *flags]))
    options.local = False
    return edited(service, options, revision)


def container(service: Object) -> dict[str, Any]:
    found: dict[str, Any] = service["spec"]["template"]["spec"]["containers"][0]
    return found


def annotations(service: Object) -> dict[str, str]:
    found: dict[str, str] = service["spec"]["template"]["metadata"]["annotations"]
    return found


def test_an_image_alone_is_a_whole_service_that_is_safe_by_default() -> None:
    options = build_parser()[0].parse_args(["service", "create", "hello", "--image", "example.com/hello"])
    options.local = False

    assert made("hello", "default", options) == {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello", "namespace": "default"},
        "spec": {
            "template": {
                "metadata": {"annotations": {"client.knative.dev/user-image": "example.com/hello"}},
                "spec": {
                    "containers": [
                        {
                            "image": "example.com/hello",
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                                "runAsNonRoot": True,
                                "seccompProfile": {"type": "RuntimeDefault"},
                            },
                        }
                    ]
                },
            }
        },
    }


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--cmd", "sh", "--cmd", "-c", "--arg", "--verbose"], {"command": ["sh", "-c"], "args": ["--verbose"]}),
        (["-e", "A=1", "--env", "B=x=y"], {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "x=y"}]}),
        (["--env-from", "cm:settings"], {"envFrom": [{"configMapRef": {"name": "settings"}}]}),
        (["--env-from", "secret:keys"], {"envFrom": [{"secretRef": {"name": "keys"}}]}),
        (
            ["--env-value-from", "K=secret:keys:k"],
            {"env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}]},
        ),
        (["-p", "9000"], {"ports": [{"containerPort": 9000}]}),
        (["--port", "h2c:9000"], {"ports": [{"name": "h2c", "containerPort": 9000}]}),
        (
            ["--request", "cpu=250m,memory=64Mi", "--limit", "cpu=1"],
            {"resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "1"}}},
        ),
        (["--user", "1001"], {"securityContext": {"runAsUser": 1001}}),
        (["--pull-policy", "always"], {"imagePullPolicy": "Always"}),
        (
            ["--probe-readiness", "http::8080:/ready", "--probe-readiness-opts", "PeriodSeconds=5"],
            {"readinessProbe": {"httpGet": {"port": 8080, "path": "/ready"}, "periodSeconds": 5}},
        ),
        (["--probe-liveness", "tcp:10.0.0.1:81"], {"livenessProbe": {"tcpSocket": {"host": "10.0.0.1", "port": 81}}}),
        (["--probe-liveness", "exec:cat,/up"], {"livenessProbe": {"exec": {"command": ["cat", "/up"]}}}),
        (
            ["--probe-liveness", "https:::/up"],
            {"livenessProbe": {"httpGet": {"port": 0, "path": "/up", "scheme": "HTTPS"}}},
        ),
    ],
)
def test_flags_of_the_container_are_its_fields(flags: list[str], expected: dict[str, Any]) -> None:
    found = container(created(*flags))

    assert {**found, "image": ""} == {"image": "", **expected}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--scale", "3"], {"min-scale": "3", "max-scale": "3"}),
        (["--scale", "1..5"], {"min-scale": "1", "max-scale": "5"}),
        (["--scale", "..5"], {"max-scale": "5"}),
        (["--scale", "2.."], {"min-scale": "2"}),
        (["--scale-min", "1", "--scale-max", "4"], {"min-scale": "1", "max-scale": "4"}),
        (["--scale-init", "0"], {"initial-scale": "0"}),
        (["--scale-activation", "2"], {"activation-scale": "2"}),
        (["--scale-target", "50", "--scale-metric", "rps"], {"target": "50", "metric": "rps"}),
        (["--scale-utilization", "80"], {"target-utilization-percentage": "80"}),
        (["--scale-window", "10s"], {"window": "10s"}),
    ],
)
def test_flags_of_scale_are_the_revisions_annotations(flags: list[str], expected: dict[str, str]) -> None:
    found = annotations(created(*flags))

    assert {name.removeprefix(SCALING): value for name, value in found.items() if name.startswith(SCALING)} == expected


def test_flags_of_the_pod_are_fields_of_the_revision() -> None:
    service = created(
        *("--concurrency-limit", "2", "--timeout", "30", "--service-account", "sa", "--pull-secret", "s"),
        *("--revision-name", "{{.Service}}-v{{.Generation}}"),
    )

    spec = service["spec"]["template"]["spec"]
    assert (spec["containerConcurrency"], spec["timeoutSeconds"], spec["serviceAccountName"]) == (2, 30, "sa")
    assert spec["imagePullSecrets"] == [{"name": "s"}]
    assert service["spec"]["template"]["metadata"]["name"] == "hello-v1"


def test_labels_and_annotations_go_to_both_or_to_the_one_that_is_named() -> None:
    service = created(
        *("-l", "team=a", "--label-service", "s=1", "--label-revision", "r=2", "--cluster-local"),
        *("-a", "note=x", "-a", f"{SCALING}metric=rps", "--annotation-service", "only=service"),
    )

    template = service["spec"]["template"]["metadata"]
    visibility = {"networking.knative.dev/visibility": "cluster-local"}
    assert service["metadata"]["labels"] == {"team": "a", "s": "1", **visibility}
    assert template["labels"] == {"team": "a", "r": "2"}
    assert service["metadata"]["annotations"] == {"note": "x", "only": "service"}
    assert (template["annotations"]["note"], template["annotations"][f"{SCALING}metric"]) == ("x", "rps")


def test_mounts_make_the_volumes_they_need_and_share_them() -> None:
    service = created(
        *("--volume", "cache=ed:size=1Gi,type=Memory", "--volume", "emptyDir:tmp", "--mount", "/cache=cache"),
        *("--mount", "/a=cm:settings", "--mount", "/b=cm:settings/sub/path", "--mount", "/c=pvc:claim:readOnly=true"),
    )

    volumes = {
        volume["name"]: {k: v for k, v in volume.items() if k != "name"}
        for volume in service["spec"]["template"]["spec"]["volumes"]
    }
    mounts = {mount["mountPath"]: mount for mount in container(service)["volumeMounts"]}
    assert volumes["cache"] == {"emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}}
    assert volumes["tmp"] == {"emptyDir": {}}
    assert mounts["/a"]["name"] == mounts["/b"]["name"] != mounts["/c"]["name"]
    assert volumes[mounts["/a"]["name"]] == {"configMap": {"name": "settings"}}
    assert volumes[mounts["/c"]["name"]] == {"persistentVolumeClaim": {"claimName": "claim"}}
    assert (mounts["/b"]["subPath"], mounts["/c"]["readOnly"]) == ("sub/path", True)

    without = updated(service, "--mount", "/c-", "--volume", "tmp-")
    kept = {volume["name"] for volume in without["spec"]["template"]["spec"]["volumes"]}
    assert kept == {"cache", mounts["/a"]["name"]}


def test_an_update_changes_what_it_speaks_of_and_nothing_else() -> None:
    before = created("-e", "A=1", "-e", "B=2", "--scale", "1..5", "-l", "team=a", "--limit", "cpu=1,memory=1Gi")

    after = updated(before, "-e", "A-", "-e", "C=3", "--scale-max", "9", "-l", "team-", "--limit", "memory-")

    assert container(after)["env"] == [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]
    assert annotations(after)[f"{SCALING}min-scale"] == "1"
    assert annotations(after)[f"{SCALING}max-scale"] == "9"
    assert container(after)["resources"] == {"limits": {"cpu": "1"}}
    assert "labels" not in after["metadata"]
    assert updated(after, "-e", "C=3") == after


def test_an_update_of_traffic_alone_makes_no_revision() -> None:
    before = created("--revision-name", "hello-one")

    after = updated(before, "--traffic", "hello-one=100", "--label-service", "a=b")

    assert after["spec"]["template"] == before["spec"]["template"]
    assert after["spec"]["traffic"] == [{"latestRevision": False, "revisionName": "hello-one", "percent": 100}]


def test_a_revisions_own_name_is_not_given_to_the_next_one() -> None:
    before = created("--revision-name", "hello-one")

    assert "name" not in updated(before, "-e", "A=1")["spec"]["template"]["metadata"]
    named = updated(
        {**before, "metadata": {**before["metadata"], "generation": 4}}, "--revision-name", "{{.Generation}}"
    )
    assert named["spec"]["template"]["metadata"]["name"] == "hello-5"


def test_a_new_setting_keeps_the_image_that_runs_unless_told_otherwise() -> None:
    before = created()
    container(before)["name"] = "user-container"
    digest = "example.local/hello@sha256:" + "a" * 64
    running = {"status": {"containerStatuses": [{"name": "user-container", "imageDigest": digest}]}}

    assert container(updated(before, "-e", "A=1", revision=running))["image"] == digest
    assert annotations(updated(before, "-e", "A=1", revision=running))["client.knative.dev/user-image"] == (
        "example.local/hello"
    )
    assert container(updated(before, "--image", "example.local/new", revision=running))["image"] == "example.local/new"
    loose = updated(before, "-e", "A=1", "--no-lock-to-digest", revision=running)
    assert container(loose)["image"] == "example.local/hello"
    assert "annotations" not in loose["spec"]["template"].get("metadata", {})


def test_on_a_laptop_a_command_runs_in_the_folder_it_is_given_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert container(created("--cmd", "./app", local=True))["workingDir"] == str(tmp_path)
    assert container(created("--cmd", "./app", "--workdir", "/srv", local=True))["workingDir"] == "/srv"
    assert "workingDir" not in container(created("--cmd", "./app"))
    assert "workingDir" not in container(created(local=True))


def test_environment_and_more_containers_can_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# settings\nA=1\n\nB=two words\n")
    (tmp_path / "more.yaml").write_text("containers:\n- name: helper\n  image: example.local/helper\n")

    service = created("--env-file", str(tmp_path / "env"), "--containers", str(tmp_path / "more.yaml"), "-p", "80")

    assert {entry["name"]: entry["value"] for entry in container(service)["env"]} == {"A": "1", "B": "two words"}
    names = [one.get("name") for one in service["spec"]["template"]["spec"]["containers"]]
    assert names == [None, "helper"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--env", "A"],
        ["--env", "=1"],
        ["--env-file", "no-such-file"],
        ["--env-from", "settings"],
        ["--env-value-from", "A=cm:settings"],
        ["--port", "http"],
        ["--port", "70000"],
        ["--request", "cpu"],
        ["--pull-policy", "sometimes"],
        ["--probe-liveness", "udp:1:2"],
        ["--probe-readiness", "tcp:80"],
        ["--probe-readiness-opts", "Period=1"],
        ["--scale", "many"],
        ["--scale", ".."],
        ["--scale", "1", "--scale-min", "1"],
        ["--revision-name", "{{.Nothing}}"],
        ["--mount", "/a=nothing"],
        ["--mount", "a=cm:b"],
        ["--mount", "/a-"],
        ["--volume", "a"],
        ["--volume", "a=disk:b"],
        ["--volume", "a=ed:big=1"],
        ["--volume", "a-"],
        ["--containers", "no-such-file"],
        ["--tag", "@latest"],
    ],
)
def test_a_flag_that_cannot_be_used_says_which_and_mostly_what_would_be_right(flags: list[str]) -> None:
    with pytest.raises(CommandError) as caught:
        created(*flags)

    assert flags[0] in str(caught.value)
    assert caught.value.hint or "cannot be read" in str(caught.value)
    assert caught.value.code in (1, 2)


def test_a_service_without_image_or_file_is_refused() -> None:
    options = build_parser()[0].parse_args(["service", "create", "hello"])
    options.local = False

    with pytest.raises(CommandError, match="nothing says what to run"):
        made("hello", "default", options)
