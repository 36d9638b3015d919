"""What `kubectl get` shows."""

from typing import Any

import pytest

from tests.unit.local.apiserver.world import POD, SERVICE, World, pod, service
from upwell.api.objects import Object
from upwell.api.resources import CORE_SERVICE, DEPLOYMENT, EVENT, RESOURCES, REVISION, Resource
from upwell.local.apiserver.columns import age
from upwell.local.apiserver.tables import table

START = "2000-01-01T00:00:00Z"
START_SECONDS = 946_684_800


def cells(resource: Resource, obj: Object) -> dict[str, Any]:
    obj["metadata"] = {"name": "x", "resourceVersion": "1", "creationTimestamp": START, **obj.get("metadata", {})}
    shown = table(resource, [obj], "meta.k8s.io/v1")
    return dict(zip((one["name"] for one in shown["columnDefinitions"]), shown["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (11_100, "3h5m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
    ],
)
def test_ages_are_written_as_kubectl_writes_them(seconds: int, text: str) -> None:
    assert age(START, START_SECONDS + seconds) == text


def test_no_time_is_an_unknown_age() -> None:
    assert age(None) == "<unknown>"


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.plural)
def test_every_kind_has_a_row_even_when_it_is_bare(resource: Resource) -> None:
    assert cells(resource, {})


def test_a_service_shows_its_url_its_revisions_and_its_readiness() -> None:
    conditions = [{"type": "Ready", "status": "False", "reason": "RevisionMissing"}]
    status = {"url": "http://x", "latestCreatedRevisionName": "x-2", "latestReadyRevisionName": "x-1"}

    row = cells(SERVICE, {"status": {**status, "conditions": conditions}})

    assert row == {
        "Name": "x",
        "URL": "http://x",
        "LatestCreated": "x-2",
        "LatestReady": "x-1",
        "Ready": "False",
        "Reason": "RevisionMissing",
    }


def test_a_custom_resource_without_status_has_empty_cells(world: World) -> None:
    row = cells(SERVICE, world.create(SERVICE, service("hello")))

    assert row["URL"] is None
    assert row["Ready"] is None


def test_a_revision_shows_its_configuration_and_its_replicas() -> None:
    labels = {"serving.knative.dev/configuration": "x", "serving.knative.dev/configurationGeneration": "3"}

    row = cells(REVISION, {"metadata": {"labels": labels}, "status": {"actualReplicas": 1, "desiredReplicas": 2}})

    assert (row["Config Name"], row["Generation"]) == ("x", "3")
    assert (row["Actual Replicas"], row["Desired Replicas"]) == (1, 2)


@pytest.mark.parametrize(
    ("status", "metadata", "text"),
    [
        ({"phase": "Running"}, {}, "Running"),
        ({"phase": "Running"}, {"deletionTimestamp": START}, "Terminating"),
        ({"phase": "Failed", "reason": "Evicted"}, {}, "Evicted"),
        (
            {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
            {},
            "CrashLoopBackOff",
        ),
        ({"containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}, {}, "ExitCode:3"),
    ],
)
def test_the_status_of_a_pod_is_its_most_telling_state(status: Object, metadata: Object, text: str) -> None:
    assert cells(POD, {"metadata": metadata, "status": status, "spec": {}})["Status"] == text


def test_a_pod_shows_its_ready_containers_and_restarts() -> None:
    statuses = [{"ready": True, "restartCount": 2}, {"ready": False, "restartCount": 1}]
    spec = {"containers": [{"name": "a"}, {"name": "b"}]}

    row = cells(POD, {"spec": spec, "status": {"containerStatuses": statuses}})

    assert (row["Ready"], row["Restarts"]) == ("1/2", "3")


def test_a_deployment_shows_ready_of_wanted() -> None:
    row = cells(DEPLOYMENT, {"spec": {"replicas": 3}, "status": {"readyReplicas": 2, "updatedReplicas": 3}})

    assert (row["Ready"], row["Up-to-date"], row["Available"]) == ("2/3", 3, 0)


def test_a_service_shows_its_ports_and_addresses() -> None:
    ports = [{"port": 80, "protocol": "TCP"}, {"port": 443, "nodePort": 30001}]

    row = cells(CORE_SERVICE, {"spec": {"type": "LoadBalancer", "clusterIP": "10.96.1.2", "ports": ports}})

    assert (row["Port(s)"], row["External-IP"]) == ("80/TCP,443:30001/TCP", "<pending>")


def test_an_event_shows_how_often_it_was_seen() -> None:
    row = cells(
        EVENT,
        {"count": 3, "firstTimestamp": START, "lastTimestamp": START, "involvedObject": {"kind": "Pod", "name": "p"}},
    )

    assert "(x3 over" in row["Last Seen"]
    assert row["Object"] == "pod/p"


def test_rows_carry_what_was_asked_for(world: World) -> None:
    obj = world.create(POD, pod("p"))

    def row(include: str) -> Object:
        found: Object = table(POD, [obj], "meta.k8s.io/v1", include)["rows"][0]
        return found

    assert "object" not in row("None")
    assert row("Object")["object"] == obj
    assert row("")["object"]["kind"] == "PartialObjectMetadata"
