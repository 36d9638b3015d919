"""The environment of a container: where variables come from, and what the platform adds."""

import dataclasses
from typing import Any

import pytest

from upwell.local.runtime.environment import (
    Reference,
    VariableError,
    build_environment,
    expand,
    needs_uid,
    references,
)
from upwell.local.runtime.spec import ContainerSpec, PodSpec

POD = {
    "metadata": {
        "name": "hello-1",
        "namespace": "default",
        "uid": "u-1",
        "labels": {"app": "hello"},
        "annotations": {"note": "x"},
    },
    "spec": {"nodeName": "local"},
}
APP = ContainerSpec(name="user-container", command=("app",), first_port=20001)
SPEC = PodSpec(containers=(APP,), ports={8080: 20001, 8012: 20002})


def build(container: ContainerSpec, **changes: Any) -> dict[str, str]:
    given: dict[str, Any] = {"inherited": {"PATH": "/bin"}, "data": {}, "listen_fds": {}, **changes}
    return build_environment(container, POD, SPEC, **given)


def with_env(*env: dict[str, Any], **changes: Any) -> ContainerSpec:
    return dataclasses.replace(APP, env=env, **changes)


def test_only_a_handful_of_the_runtimes_own_variables_is_passed_on() -> None:
    env = build(APP, inherited={"PATH": "/bin", "HOME": "/home/me", "AWS_SECRET": "x", "PYTHONPATH": "y"})

    assert {"PATH", "HOME"} <= env.keys()
    assert not {"AWS_SECRET", "PYTHONPATH"} & env.keys()


def test_the_port_map_and_the_address_to_listen_on_are_added() -> None:
    env = build(APP, listen_fds={8080: 7})

    assert env["UPWELL_PORT_MAP"] == "8080=20001,8012=20002"
    assert env["UPWELL_BIND_HOST"] == "127.0.0.1"
    assert env["UPWELL_LISTEN_FDS"] == "8080=7"


def test_port_is_the_actual_port_also_when_the_specification_says_another() -> None:
    assert build(APP)["PORT"] == "20001"
    assert build(with_env({"name": "PORT", "value": "8080"}))["PORT"] == "20001"


def test_a_variable_that_refers_to_port_sees_the_actual_one() -> None:
    env = build(with_env({"name": "PORT", "value": "8080"}, {"name": "URL", "value": "http://localhost:$(PORT)/"}))

    assert env["URL"] == "http://localhost:20001/"


def test_upwells_own_processes_translate_ports_themselves() -> None:
    assert "PORT" not in build(dataclasses.replace(APP, built_in=True))


def test_a_sidecar_drains_quickly_on_a_laptop_unless_told_otherwise() -> None:
    assert build(with_env(queue_proxy=True))["UPWELL_DRAIN_QUIET_SECONDS"] == "1"
    told = with_env({"name": "UPWELL_DRAIN_QUIET_SECONDS", "value": "30"}, queue_proxy=True)
    assert build(told)["UPWELL_DRAIN_QUIET_SECONDS"] == "30"
    assert "UPWELL_DRAIN_QUIET_SECONDS" not in build(APP)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(A)/$(B)", "1/2"),
        ("$$(A)", "$(A)"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$A and $", "$A and $"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, value: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "hello-1"),
        ("metadata.namespace", "default"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "hello"),
        ("metadata.annotations['note']", "x"),
        ("metadata.labels['absent']", ""),
        ("status.podIP", "127.0.0.1"),
        ("status.hostIP", "127.0.0.1"),
        ("spec.nodeName", "local"),
    ],
)
def test_a_field_of_the_pod_becomes_a_value(path: str, value: str) -> None:
    container = with_env({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}})

    assert build(container)["X"] == value
    assert needs_uid(container) is (path == "metadata.uid")


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    container = with_env({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}})

    with pytest.raises(VariableError, match=r'env X: fieldRef "status.phase" is not known; use one of metadata.name'):
        build(container)


def test_config_maps_and_secrets_fill_variables_in_the_order_given() -> None:
    settings, passwords = Reference("ConfigMap", "settings"), Reference("Secret", "passwords")
    container = dataclasses.replace(
        APP,
        env_from=({"prefix": "S_", "configMapRef": {"name": "settings"}},),
        env=(
            {"name": "S_A", "value": "own"},
            {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "passwords", "key": "db"}}},
        ),
    )

    env = build(container, data={settings: {"A": "1", "B": "2"}, passwords: {"db": "s3"}})

    assert references(container) == {settings, passwords}
    assert (env["S_A"], env["S_B"], env["PW"]) == ("own", "2", "s3")


def test_a_missing_key_names_what_to_add() -> None:
    container = with_env({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}})

    with pytest.raises(VariableError, match='env A: ConfigMap "settings" does not exist: add it'):
        build(container)
    with pytest.raises(VariableError, match='env A: ConfigMap "settings" has no key "a": add it'):
        build(container, data={Reference("ConfigMap", "settings"): {}})


def test_an_optional_source_may_be_missing() -> None:
    selector = {"name": "settings", "key": "a", "optional": True}
    container = dataclasses.replace(
        APP,
        env=({"name": "A", "valueFrom": {"configMapKeyRef": selector}},),
        env_from=({"secretRef": {"name": "none", "optional": True}},),
    )

    assert "A" not in build(container)


def test_a_value_that_cannot_be_had_locally_is_refused() -> None:
    container = with_env({"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}})

    with pytest.raises(VariableError, match="env CPU: valueFrom resourceFieldRef cannot be resolved locally"):
        build(container)
