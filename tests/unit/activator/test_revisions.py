"""What is read from a Revision, and which revision a host name means."""

from typing import Any

import pytest

from activator.revisions import key_from_host, read_revision
from upwell.api.objects import Key


def revision(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "default",
            "name": "hello-00001",
            "labels": {"serving.knative.dev/service": "hello", "serving.knative.dev/configuration": "hello-config"},
        },
        "spec": {"containers": [{"image": "app"}], **spec},
    }


def test_missing_fields_have_the_contracts_defaults() -> None:
    read = read_revision(revision())

    assert (read.timeout, read.response_start_timeout, read.idle_timeout) == (300.0, 0.0, 0.0)
    assert (read.container_concurrency, read.port_name, read.probe_early) == (0, "http", True)
    assert read.metric_labels == ("hello", "hello-config", "hello-00001", "default")


def test_timeouts_and_concurrency_are_read() -> None:
    read = read_revision(
        revision(timeoutSeconds=10, responseStartTimeoutSeconds=5, idleTimeoutSeconds=2, containerConcurrency=7)
    )

    assert (read.timeout, read.response_start_timeout, read.idle_timeout) == (10.0, 5.0, 2.0)
    assert read.container_concurrency == 7


@pytest.mark.parametrize(("name", "port_name"), [("h2c", "http2"), ("http1", "http"), ("", "http")])
def test_the_ports_name_says_the_protocol(name: str, port_name: str) -> None:
    containers = [{"image": "sidecar"}, {"image": "app", "ports": [{"name": name, "containerPort": 8080}]}]

    assert read_revision(revision(containers=containers)).port_name == port_name


@pytest.mark.parametrize(
    ("containers", "early"),
    [
        ([{"readinessProbe": {"httpGet": {"path": "/"}}}], True),
        ([{"readinessProbe": {"exec": {"command": ["true"]}}}], False),
        ([{"startupProbe": {"tcpSocket": {"port": 1}}}], False),
        ([{"ports": [{"containerPort": 1}]}, {"startupProbe": {}}], True),
        ([{"ports": [{"containerPort": 1}]}, {"startupProbe": {"tcpSocket": {"port": 1}}}], False),
        ([{"ports": [{"containerPort": 1}]}, {"readinessProbe": {"exec": {"command": ["true"]}}}], True),
    ],
)
def test_a_pod_is_used_early_only_when_its_sidecar_can_know(containers: list[dict[str, Any]], early: bool) -> None:
    assert read_revision(revision(containers=containers)).probe_early is early


def test_a_long_name_has_the_hashed_private_service() -> None:
    long = revision()
    long["metadata"]["name"] = "x" * 63

    assert len(read_revision(long).private_service.name) <= 63
    assert read_revision(revision()).private_service == Key("default", "hello-00001-private")


@pytest.mark.parametrize(
    "host", [b"hello.default.svc.cluster.local", b"hello.default.svc.cluster.local:80"], ids=["plain", "with port"]
)
def test_a_cluster_local_host_names_the_revision(host: bytes) -> None:
    assert key_from_host(host, "cluster.local") == Key("default", "hello")


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"hello",
        b"hello.default.svc",
        b"hello.default.example.com",
        b"hello.default.svc.other.domain",
        b"hello.default.pod.cluster.local",
        b"a.hello.default.svc.cluster.local",
    ],
)
def test_any_other_host_names_none(host: bytes) -> None:
    assert key_from_host(host, "cluster.local") is None
