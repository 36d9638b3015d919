"""What the activator keeps of watched objects is all that it reads of them."""

import copy
from typing import Any

import pytest

from activator import kept
from activator.public_address import MANAGER
from activator.revisions import read_revision
from upwell.api import names
from upwell.api.objects import Object, new_object
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, POD_AUTOSCALER, REVISION

METADATA = {"uid": "u-1", "resourceVersion": "7", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z"}


def revision(**spec: Any) -> Object:
    container = {
        "image": "registry.example/app",
        "env": [{"name": "A", "value": "b"}],
        "ports": [{"name": "h2c", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
    }
    labels = {names.LABEL_SERVICE: "svc", names.LABEL_CONFIGURATION: "cfg", "team": "red"}
    annotations = {names.ANNOTATION_WAITING_PAGE: "true", names.ANNOTATION_WAITING_PAGE_REFRESH: "3", "note": "long"}
    return new_object(
        REVISION,
        "default",
        "app-1",
        metadata={**METADATA, "labels": labels, "annotations": annotations},
        spec={"containers": [container], "containerConcurrency": 5, "timeoutSeconds": 60, **spec},
        status={"conditions": []},
    )


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"containerConcurrency": 0, "responseStartTimeoutSeconds": 7, "idleTimeoutSeconds": 8},
        {"containers": [{"image": "a"}, {"image": "b", "ports": [{"containerPort": 1}]}]},
        {"containers": [{"image": "a", "readinessProbe": {"exec": {"command": ["true"]}}}]},
        {"containers": [{"image": "a"}, {"image": "b", "startupProbe": {"tcpSocket": {"port": 1}}}]},
        {"containers": []},
    ],
)
def test_a_trimmed_revision_is_read_as_the_whole_one(spec: dict[str, Any]) -> None:
    whole = revision(**spec)
    assert read_revision(kept.revision(copy.deepcopy(whole))) == read_revision(whole)


def test_what_nobody_reads_of_a_revision_is_dropped() -> None:
    trimmed = kept.revision(revision())
    assert set(trimmed) == {"apiVersion", "kind", "metadata", "spec"}
    assert "team" not in trimmed["metadata"]["labels"]
    assert "note" not in trimmed["metadata"]["annotations"]
    assert trimmed["spec"]["containers"] == [{"ports": [{"name": "h2c"}]}]


def test_equal_parts_of_two_objects_are_one() -> None:
    one, other = kept.revision(revision()), kept.revision(revision())
    assert one["spec"] is other["spec"]


def test_an_autoscaler_is_kept_with_its_wish_alone() -> None:
    whole = new_object(
        POD_AUTOSCALER, "default", "app-1", metadata=dict(METADATA), spec={"x": 1}, status={"desiredScale": 2, "y": 1}
    )
    trimmed = kept.autoscaler(whole)
    assert trimmed["status"] == {"desiredScale": 2}
    assert "spec" not in trimmed


def test_a_service_keeps_owner_labels_address_ports_and_selector() -> None:
    spec = {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80}], "selector": {"a": "b"}, "type": "x"}
    metadata = {**METADATA, "labels": {"a": "b"}, "annotations": {"c": "d"}, "ownerReferences": [{"uid": "o"}]}
    trimmed = kept.service(new_object(CORE_SERVICE, "default", "app-1", metadata=metadata, spec=spec, status={}))
    assert trimmed["metadata"]["labels"] == {"a": "b"}
    assert trimmed["metadata"]["ownerReferences"] == [{"uid": "o"}]
    assert trimmed["spec"] == {name: spec[name] for name in ("clusterIP", "ports", "selector")}


def test_a_slice_of_our_own_stays_whole_for_it_is_written_back() -> None:
    labels = {names.LABEL_SLICE_SERVICE: "app-1", names.LABEL_SLICE_MANAGER: MANAGER, "a": "b"}
    fields: dict[str, Any] = {"addressType": "IPv4", "ports": [{"port": 1}], "endpoints": [{"addresses": ["10.0.0.1"]}]}
    ours = new_object(ENDPOINT_SLICE, "default", "s", metadata={**METADATA, "labels": labels}, **fields)
    assert kept.endpoint_slice(copy.deepcopy(ours)) == ours
    theirs = copy.deepcopy(ours)
    del theirs["metadata"]["labels"][names.LABEL_SLICE_MANAGER]
    trimmed = kept.endpoint_slice(theirs)
    assert trimmed["metadata"]["labels"] == {names.LABEL_SLICE_SERVICE: "app-1"}
    assert {name: trimmed[name] for name in fields} == fields
