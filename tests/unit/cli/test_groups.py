"""`upwell service|revision|route|domain`: words that are off, files in place of a cluster, how things are described."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from upwell.api.resources import REVISION, SERVICE
from upwell.cli.describe import described
from upwell.cli.domain import domain_mapping
from upwell.cli.errors import CommandError
from upwell.cli.main import main
from upwell.cli.output import print_objects
from upwell.cli.session import default_namespace, find_kubeconfig
from upwell.cli.waiting import told_state

KUBECONFIG = """
{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}],
 users: [{name: u, user: {}}],
 contexts: [{name: a, context: {cluster: c, user: u}}, {name: b, context: {cluster: c, user: u, namespace: team}}]}
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    return path


@pytest.mark.parametrize(
    "words", [["service"], ["service", "grow"], ["route", "delete", "a"], ["domain", "create", "a.b"]]
)
def test_verbs_that_are_none_end_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)

    assert caught.value.code == 2
    assert f"usage: upwell {words[0]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["service", "create", "a"], "Error: service a: nothing says what to run"),
        (["service", "create", "--image", "x"], "Error: service create: nothing says its name"),
        (["service", "delete"], "Error: service delete: say what, in one way\nTry: NAME …, or --all"),
        (["revision", "delete", "a", "--prune", "b"], "Error: revision delete: say what, in one way"),
        (["domain", "create", "a.b", "--ref", "pod:x"], "Error: --ref pod:x: refers to nothing"),
    ],
)
def test_words_that_say_too_little_or_too_much_are_one_line_and_a_hint(
    words: list[str], said: str, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*words, "--kubeconfig", str(kubeconfig)])

    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith(said)
    assert "\nTry: " in error


@pytest.mark.parametrize(
    "words", [["service", "list"], ["route", "describe", "a"], ["service", "update", "a", "-e", "A=1"]]
)
def test_a_server_that_is_away_is_one_line(
    words: list[str], kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--kubeconfig", str(kubeconfig)]) == 1
    assert "the API server does not answer" in capsys.readouterr().err


def test_a_target_gets_the_service_as_a_file_and_no_cluster_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["service", "create", "hello", "--image", "example.local/hello", "-n", "team", "--target"]

    assert main([*words, "out"]) == 0
    assert main([*words, "one.json"]) == 0
    capsys.readouterr()
    assert main([*words, "-"]) == 0

    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["metadata"] == {"name": "hello", "namespace": "team"}
    assert yaml.safe_load((tmp_path / "out" / "team" / "ksvc" / "hello.yaml").read_text()) == printed
    assert json.loads((tmp_path / "one.json").read_text()) == printed


def test_a_file_can_be_started_from_and_flags_have_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "service.yaml").write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: hello}\n"
        "spec: {template: {spec: {containers: [{image: example.local/hello, env: [{name: A, value: '1'}]}]}}}\n"
    )
    monkeypatch.chdir(tmp_path)

    assert main(["service", "apply", "-f", "service.yaml", "-e", "B=2", "--target", "-"]) == 0
    spec = yaml.safe_load(capsys.readouterr().out)["spec"]["template"]["spec"]
    assert [entry["name"] for entry in spec["containers"][0]["env"]] == ["A", "B"]
    assert main(["service", "apply", "other", "-f", "service.yaml", "--target", "-"]) == 2
    assert "is about hello, not other" in capsys.readouterr().err


def test_a_context_is_looked_for_where_the_user_keeps_clusters_and_brings_its_namespace(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".upwell").mkdir()
    local = tmp_path / ".upwell" / "kubeconfig"
    local.write_text(KUBECONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    assert find_kubeconfig(None) == local
    assert find_kubeconfig(None, "b") == kubeconfig
    assert default_namespace(kubeconfig, "b") == "team"
    assert default_namespace(kubeconfig, None) == "default"
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CommandError, match="there is no kubeconfig"):
        find_kubeconfig(None, "b")


def test_a_domain_refers_to_a_service_unless_told_otherwise() -> None:
    mapping = domain_mapping("hello.example.com", "default", "hello", "cert")
    route = domain_mapping("hello.example.com", "default", "kroute:hello:other")

    assert mapping["apiVersion"] == "serving.knative.dev/v1beta1"
    assert mapping["spec"] == {
        "ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello", "namespace": "default"},
        "tls": {"secretName": "cert"},
    }
    assert (route["spec"]["ref"]["kind"], route["spec"]["ref"]["namespace"]) == ("Route", "other")


def service(**status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello", "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"template": {"spec": {"containers": [{"image": "a"}]}}},
        "status": status,
    }


def test_a_described_service_shows_its_split_its_tags_and_why_it_is_not_ready() -> None:
    conditions = [
        {"type": "ConfigurationsReady", "status": "False", "reason": "RevisionFailed", "message": "no such command"},
        {"type": "Ready", "status": "False", "reason": "RevisionFailed", "message": "no such command"},
        {"type": "RoutesReady", "status": "Unknown"},
    ]
    traffic = [
        {"revisionName": "hello-1", "percent": 90, "latestRevision": False},
        {"revisionName": "hello-2", "percent": 10, "latestRevision": True, "tag": "new", "url": "http://new-hello"},
    ]

    page = described(SERVICE, service(conditions=conditions, traffic=traffic), [], verbose=False)

    assert "    90%  hello-1\n" in page
    assert "    10%  @latest (hello-2) #new\n         http://new-hello" in page
    assert [line.split()[:2] for line in page.splitlines()[-3:]] == [
        ["!!", "Ready"],
        ["!!", "ConfigurationsReady"],
        ["??", "RoutesReady"],
    ]
    assert "RevisionFailed: no such command" in page
    assert told_state(service(conditions=conditions)) == "RevisionFailed: no such command"
    assert told_state(service()) == ""


def test_a_described_revision_has_what_runs_and_how_far() -> None:
    revision = {
        **service(actualReplicas=2, desiredReplicas=3),
        "spec": {
            "containers": [
                {"image": "a", "command": ["python3"], "args": ["app.py"], "resources": {"limits": {"cpu": 1}}}
            ],
            "containerConcurrency": 4,
        },
    }

    page = described(REVISION, revision, [], verbose=False)

    assert "python3 app.py" in page
    assert "2 of 3" in page
    assert "cpu=1" in page


def test_whole_objects_are_written_without_anchors_and_names_with_their_group(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shared = service()
    print_objects(SERVICE, [shared, shared], "yaml")
    assert "&id" not in capsys.readouterr().out

    print_objects(SERVICE, [shared], "name")
    assert capsys.readouterr().out == "service.serving.knative.dev/hello\n"

    print_objects(SERVICE, [shared], "json", single=True)
    assert json.loads(capsys.readouterr().out)["kind"] == "Service"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("upwell serv", {"service"}),
        ("upwell service de", {"delete", "describe"}),
        ("upwell service create a --probe-r", {"--probe-readiness", "--probe-readiness-opts"}),
        ("upwell service list -o n", {"name"}),
        ("upwell completion f", {"fish"}),
    ],
)
def test_a_shell_completes_commands_verbs_flags_and_choices(line: str, expected: set[str], tmp_path: Path) -> None:
    # What the shell's function does: the answer comes on file descriptor 8, or in the file that is named.
    answer = tmp_path / "answer"
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": "\n"}
    env = {**os.environ, **asked, "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}

    subprocess.run([sys.executable, "-m", "upwell.cli.main"], env=env, check=True, timeout=30)

    assert {word.strip() for word in answer.read_text().split("\n") if word} == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_given_code_that_is_about_upwell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "upwell" in capsys.readouterr().out
