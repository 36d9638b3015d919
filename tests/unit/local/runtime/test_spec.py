"""What is read from a Pod object: commands, ports, probes, hooks; and what is wrong with it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from upwell.local.runtime.images import command_for, python_path
from upwell.local.runtime.ports import ANNOTATION_PORTS
from upwell.local.runtime.spec import ContainerSpec, parse_pod


def parse(*containers: dict[str, Any], ports: str = "", **spec: Any) -> ContainerSpec:
    annotations = {ANNOTATION_PORTS: ports}
    pod = {"metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": list(containers), **spec}}
    return parse_pod(pod).containers[0]


def test_command_and_arguments_are_one_command_line() -> None:
    assert parse({"name": "app", "command": ["python3"], "args": ["app.py"]}).command == ("python3", "app.py")


def test_a_container_without_a_command_says_what_to_add() -> None:
    problem = parse({"name": "user-container", "image": "ghcr.io/me/app"}).problem

    assert problem is not None
    assert problem.reason == "CommandMissing"
    assert (
        'container user-container has no command; locally the image "ghcr.io/me/app" is only a label' in problem.message
    )
    assert "add command: [...]" in problem.message


@pytest.mark.parametrize(
    "image", ["upwell.local/queueproxy", "upwell.local/queueproxy:v1", "upwell.local/queueproxy@sha256:0"]
)
def test_upwells_own_images_have_commands(image: str) -> None:
    assert command_for(image) == (sys.executable, "-S", "-P", "-m", "queueproxy")


def test_their_commands_find_their_packages_without_site_and_never_in_the_users_folder(tmp_path: Path) -> None:
    (tmp_path / "queueproxy.py").write_text("raise SystemExit('the wrong one')")
    env = {"PYTHONPATH": python_path(), "PATH": os.environ["PATH"]}

    command = [*command_for("upwell.local/queueproxy"), "--help"]
    found = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)

    assert "USER_PORT" in found.stdout


@pytest.mark.parametrize("image", ["queueproxy", "upwell.local/other", "example.com/upwell.local/queueproxy", ""])
def test_other_images_have_none(image: str) -> None:
    assert command_for(image) == ()


def test_a_command_of_its_own_wins_over_the_image() -> None:
    container = parse({"name": "queue-proxy", "image": "upwell.local/queueproxy", "command": ["mine"]})

    assert container.command == ("mine",)
    assert not container.built_in


def test_ports_in_probes_and_hooks_are_translated() -> None:
    container = parse(
        {
            "name": "app",
            "command": ["app"],
            "ports": [{"name": "user-port", "containerPort": 20001}],
            "readinessProbe": {"tcpSocket": {"port": 8080}},
            "livenessProbe": {"httpGet": {"port": "user-port"}},
            "lifecycle": {"preStop": {"httpGet": {"port": 8022, "path": "/wait-for-drain"}}},
        },
        ports="8080=20001,8022=20002",
    )

    assert container.first_port == 20001
    assert container.readiness is not None
    assert container.readiness.port == 20001
    assert container.liveness is not None
    assert container.liveness.port == 20001
    assert container.pre_stop is not None
    assert (container.pre_stop.port, container.pre_stop.path) == (20002, "/wait-for-drain")


def test_host_ports_are_known_by_the_declared_number() -> None:
    container = parse(
        {"name": "gateway", "command": ["g"], "ports": [{"containerPort": 20001, "hostPort": 80}]}, ports="8080=20001"
    )

    assert container.host_ports == {8080: 80}


def test_the_grace_period_may_be_zero() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [], "terminationGracePeriodSeconds": 0}}

    assert parse_pod(pod).grace == 0.0
    assert parse_pod({"metadata": {"name": "p"}, "spec": {}}).grace == 30.0
