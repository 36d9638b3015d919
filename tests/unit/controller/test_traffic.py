"""Which revisions a route's targets mean, and what is said when one cannot be served."""

from typing import Any

from controller.route.traffic import Traffic, Unroutable, resolve
from tests.unit.controller.objects import FAILED, READY, configuration, revision, route
from upwell.api.objects import Object

LATEST = {"configurationName": "app", "latestRevision": True}


def resolved(obj: Object, *known: Object) -> Traffic | Unroutable:
    by_kind: dict[str, dict[str, Object]] = {"Configuration": {}, "Revision": {}}
    for one in known:
        by_kind[one["kind"]][one["metadata"]["name"]] = one
    return resolve(obj, by_kind["Configuration"].get, by_kind["Revision"].get)


def groups(outcome: Traffic | Unroutable) -> dict[str, dict[str, int]]:
    assert isinstance(outcome, Traffic)
    return {tag: {one.revision: one.percent for one in group} for tag, group in outcome.groups.items()}


def ready(number: int, **more: Any) -> Object:
    return revision(f"app-{number:05d}", status=READY, **more)


def test_the_latest_ready_revision_gets_what_its_configuration_gets() -> None:
    outcome = resolved(route(), configuration(latestReadyRevisionName="app-00001"), ready(1))

    assert groups(outcome) == {"": {"app-00001": 100}}


def test_a_tag_alone_behind_its_host_gets_everything_there() -> None:
    obj = route({**LATEST, "percent": 80}, {"revisionName": "app-00001", "percent": 20, "tag": "old"})
    outcome = resolved(obj, configuration(latestReadyRevisionName="app-00002"), ready(1), ready(2))

    assert groups(outcome) == {"": {"app-00002": 80, "app-00001": 20}, "old": {"app-00001": 100}}


def test_shares_of_one_revision_add_up() -> None:
    obj = route({**LATEST, "percent": 60}, {"revisionName": "app-00001", "percent": 40, "tag": "same"})
    outcome = resolved(obj, configuration(latestReadyRevisionName="app-00001"), ready(1))

    assert groups(outcome)[""] == {"app-00001": 100}
    assert isinstance(outcome, Traffic)
    assert len(outcome.targets) == 2


def test_an_h2c_port_is_known_from_the_revision() -> None:
    speaks_h2c = ready(1, container={"ports": [{"name": "h2c", "containerPort": 9000}]})
    outcome = resolved(route(), configuration(latestReadyRevisionName="app-00001"), speaks_h2c)

    assert isinstance(outcome, Traffic)
    assert outcome.targets[0].protocol == "h2c"


def test_what_is_missing_is_said_for_good() -> None:
    assert resolved(route()) == Unroutable(
        "False", "ConfigurationMissing", 'Configuration "app" referenced in traffic not found.'
    )
    assert resolved(route({"revisionName": "gone", "percent": 100})) == Unroutable(
        "False", "RevisionMissing", 'Revision "gone" referenced in traffic not found.'
    )


def test_a_configuration_without_a_ready_revision_waits_or_has_failed() -> None:
    waiting = resolved(route(), configuration())
    failed = resolved(route(), configuration(conditions=FAILED["conditions"]))

    assert isinstance(waiting, Unroutable)
    assert isinstance(failed, Unroutable)
    assert (waiting.status, failed.status) == ("Unknown", "False")
    assert failed.message == 'Configuration "app" does not have any ready Revision.'


def test_a_failure_is_said_rather_than_a_wait() -> None:
    obj = route({**LATEST, "percent": 50}, {"revisionName": "gone", "percent": 50})
    outcome = resolved(obj, configuration())

    assert isinstance(outcome, Unroutable)
    assert outcome.status == "False"


def test_a_service_does_not_send_traffic_to_another_services_revision() -> None:
    foreign = ready(1)
    foreign["metadata"]["labels"]["serving.knative.dev/service"] = "other"
    outcome = resolved(route({"revisionName": "app-00001", "percent": 100}), foreign)

    assert isinstance(outcome, Unroutable)
    assert outcome.reason == "RevisionNotOwned"
