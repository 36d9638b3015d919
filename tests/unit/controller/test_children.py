"""What a Service's children say, and how revisions are made and told apart."""

from controller.configuration import named_revision_conflict
from controller.revision_template import make_revision, revision_name
from controller.service_children import make_configuration, make_route
from tests.unit.controller.objects import configuration, revision, service

ROUTES = "serving.knative.dev/routes"


def test_a_configuration_keeps_the_other_routes_that_use_it() -> None:
    existing = configuration()
    existing["metadata"]["annotations"] = {ROUTES: "other"}

    made = make_configuration(service(), existing)

    assert made["metadata"]["annotations"] == {ROUTES: "app,other"}
    assert made["metadata"]["labels"] == {
        "serving.knative.dev/service": "app",
        "serving.knative.dev/serviceUID": "uid-service",
    }


def test_what_is_for_the_route_alone_does_not_reach_the_configuration() -> None:
    obj = service()
    obj["metadata"]["annotations"] = {
        "serving.knative.dev/rollout-duration": "10s",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "mine": "x",
    }

    assert make_configuration(obj, None)["metadata"]["annotations"] == {"mine": "x", ROUTES: "app"}
    assert make_route(obj)["metadata"]["annotations"] == {
        "mine": "x",
        "serving.knative.dev/rollout-duration": "10s",
    }


def test_traffic_without_a_revision_goes_to_the_services_own_configuration() -> None:
    targets = [{"latestRevision": True, "percent": 90}, {"revisionName": "app-00001", "percent": 10}]
    obj = service(traffic=targets)

    assert make_route(obj)["spec"]["traffic"] == [
        {"latestRevision": True, "percent": 90, "configurationName": "app"},
        {"revisionName": "app-00001", "percent": 10},
    ]
    assert obj["spec"]["traffic"] == targets


def test_a_revision_is_named_after_its_generation_unless_it_has_a_name() -> None:
    assert revision_name(configuration(generation=12)) == "app-00012"
    named = configuration()
    named["spec"]["template"]["metadata"] = {"name": "app-blue"}
    assert revision_name(named) == "app-blue"
    long = configuration()
    long["metadata"]["name"] = "a" * 60
    assert len(revision_name(long)) == 63


def test_a_revision_that_routes_ask_for_is_active_from_birth() -> None:
    wanted = configuration()
    wanted["metadata"]["annotations"] = {ROUTES: "app", "serving.knative.dev/lastModifier": "ann"}

    born = make_revision(wanted, 946_684_800)["metadata"]
    unasked = make_revision(configuration(), 946_684_800)["metadata"]

    assert born["labels"]["serving.knative.dev/routingState"] == "active"
    assert born["annotations"] == {
        ROUTES: "app",
        "serving.knative.dev/routingStateModified": "2000-01-01T00:00:00Z",
        "serving.knative.dev/creator": "ann",
    }
    assert unasked["labels"]["serving.knative.dev/routingState"] == "pending"


def test_a_name_that_another_revision_has_is_a_conflict() -> None:
    wanted = configuration(generation=2)
    wanted["spec"]["template"]["metadata"] = {"name": "app-00001"}
    foreign = revision()
    foreign["metadata"]["ownerReferences"] = []
    same = revision()
    same["spec"] = wanted["spec"]["template"]["spec"]

    assert "already exists" in named_revision_conflict(wanted, foreign)
    assert "already exists" in named_revision_conflict(wanted, revision())
    assert named_revision_conflict(wanted, same) == ""
    assert named_revision_conflict(configuration(), foreign) == ""


def test_the_route_is_born_with_the_finalizer_of_the_labeler() -> None:
    assert make_route(service())["metadata"]["finalizers"] == ["routes.serving.knative.dev"]
