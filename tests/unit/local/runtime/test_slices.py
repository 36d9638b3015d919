"""Endpoint slices: one for each Service and Pod, with the pod's own ports."""

from typing import Any

from upwell.local.runtime.ports import ANNOTATION_PORTS
from upwell.local.runtime.slices import endpoint_slice, selects

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "hello-private", "namespace": "default", "uid": "s-1"},
    "spec": {
        "selector": {"app": "hello"},
        "ports": [
            {"name": "http", "port": 80, "targetPort": 8012},
            {"name": "http-autometric", "port": 9090, "targetPort": "http-autometric"},
        ],
    },
}
POD: dict[str, Any] = {
    "metadata": {
        "name": "hello-1",
        "namespace": "default",
        "labels": {"app": "hello", "more": "x"},
        "annotations": {ANNOTATION_PORTS: "8012=20001,9090=20002"},
    },
    "spec": {
        "nodeName": "local",
        "containers": [{"name": "queue-proxy", "ports": [{"name": "http-autometric", "containerPort": 20002}]}],
    },
}


def conditions(slice_: dict[str, Any]) -> dict[str, bool]:
    found: dict[str, bool] = slice_["endpoints"][0]["conditions"]
    return found


def test_a_service_selects_pods_of_its_namespace_that_carry_its_labels() -> None:
    assert selects(SERVICE, POD)
    assert not selects({**SERVICE, "spec": {"selector": {"app": "other"}}}, POD)
    assert not selects(SERVICE, {"metadata": {**POD["metadata"], "namespace": "other"}})


def test_a_service_without_a_selector_has_slices_of_somebody_else() -> None:
    assert not selects({**SERVICE, "spec": {"ports": []}}, POD)


def test_numbers_and_names_of_target_ports_become_the_pods_actual_ports() -> None:
    found = endpoint_slice(SERVICE, POD, ready=True, terminating=False)

    assert {port["name"]: port["port"] for port in found["ports"]} == {"http": 20001, "http-autometric": 20002}


def test_a_number_that_no_container_declares_is_used_as_it_stands() -> None:
    service = {**SERVICE, "spec": {**SERVICE["spec"], "ports": [{"name": "db", "port": 5432}]}}

    assert endpoint_slice(service, POD, ready=True, terminating=False)["ports"][0]["port"] == 5432


def test_a_name_that_the_pod_does_not_have_is_left_out() -> None:
    service = {**SERVICE, "spec": {**SERVICE["spec"], "ports": [{"name": "x", "port": 1, "targetPort": "absent"}]}}

    assert endpoint_slice(service, POD, ready=True, terminating=False)["ports"] == []


def test_the_slice_belongs_to_the_service_and_points_to_the_pod() -> None:
    found = endpoint_slice(SERVICE, POD, ready=True, terminating=False)

    assert found["metadata"]["name"] == "hello-private-hello-1"
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == "hello-private"
    assert found["metadata"]["ownerReferences"][0]["uid"] == "s-1"
    assert found["endpoints"][0]["targetRef"] == {"kind": "Pod", "namespace": "default", "name": "hello-1"}


def test_a_pod_that_is_not_ready_is_listed_as_such() -> None:
    found = endpoint_slice(SERVICE, POD, ready=False, terminating=False)

    assert conditions(found) == {"ready": False, "serving": False, "terminating": False}


def test_a_pod_that_ends_is_not_ready_though_it_still_serves() -> None:
    found = endpoint_slice(SERVICE, POD, ready=True, terminating=True)

    assert conditions(found) == {"ready": False, "serving": True, "terminating": True}


def test_a_service_may_ask_for_pods_that_are_not_ready() -> None:
    service = {**SERVICE, "spec": {**SERVICE["spec"], "publishNotReadyAddresses": True}}

    assert conditions(endpoint_slice(service, POD, ready=False, terminating=False))["ready"]
