"""From what a user wrote to what is stored, or to a refusal that says what to change."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from upwell.api.admission import Denied, admit, apply_defaults
from upwell.api.configs import read_kinds_config
from upwell.api.objects import Object, new_object
from upwell.api.resources import CONFIG_MAP, CONFIGURATION, POD, REVISION, ROUTE, SERVICE, Resource


def settings(**maps: Mapping[str, str]) -> Any:
    return lambda name: maps.get(name.replace("-", "_"), {})


def service(spec: Any = None, container: Any = None, **metadata: Any) -> Object:
    template = {"spec": {"containers": [{"image": "dev.local/hello:1", **(container or {})}]}}
    return new_object(SERVICE, "default", "app", metadata=metadata, spec={"template": template, **(spec or {})})


def stored(obj: Object, resource: Resource = SERVICE, old: Object | None = None, **options: Any) -> Object:
    return admit(resource, obj, old, settings(), **options)


def refusal(obj: Object, resource: Resource = SERVICE, old: Object | None = None, **options: Any) -> str:
    with pytest.raises(Denied) as denied:
        stored(obj, resource, old, **options)
    return str(denied.value)


def test_a_plain_service_is_filled_in() -> None:
    spec = stored(service())["spec"]

    assert spec["traffic"] == [{"latestRevision": True, "percent": 100}]
    assert spec["template"]["spec"] == {
        "containerConcurrency": 0,
        "timeoutSeconds": 300,
        "enableServiceLinks": False,
        "containers": [
            {
                "name": "user-container",
                "image": "dev.local/hello:1",
                "resources": {},
                "readinessProbe": {"tcpSocket": {"port": 0}, "successThreshold": 1},
            }
        ],
    }


def test_defaulting_again_changes_nothing() -> None:
    once = stored(service(), user="ann")

    assert stored(deepcopy(once), old=once, user="bob") == once


def test_putting_the_same_file_in_place_again_changes_nothing() -> None:
    old = stored(service())

    assert stored(service(), old=old)["spec"] == old["spec"]


def test_what_was_given_is_not_changed() -> None:
    given = service()
    before = deepcopy(given)
    stored(given)

    assert given == before


def test_the_clusters_defaults_are_used() -> None:
    config = settings(config_defaults={"container-concurrency": "7", "revision-cpu-request": "1000m"})
    spec = admit(SERVICE, service(), None, config)["spec"]["template"]["spec"]

    assert spec["containerConcurrency"] == 7
    assert spec["containers"][0]["resources"] == {"requests": {"cpu": "1"}}


def test_a_wrong_type_names_the_field_the_value_and_the_fix() -> None:
    wrong = service({"traffic": [{"latestRevision": True, "percent": "100"}]})

    assert refusal(wrong) == 'spec.traffic[0].percent: "100" (a text) must be a whole number (without quotes)'


def test_an_annotation_without_quotes_is_explained() -> None:
    wrong = service(annotations={"x": True})

    assert refusal(wrong) == "metadata.annotations.x: true must be a text (put it in quotes)"


def test_a_missing_image_and_missing_containers_are_named() -> None:
    assert refusal(service(container={"image": ""})) == "missing field(s): spec.template.spec.containers[0].image"
    assert refusal(service({"template": {}})) == "missing field(s): spec.template.spec.containers"
    assert refusal(new_object(SERVICE, "default", "app")) == "missing field(s): spec.template.spec.containers"


def test_unknown_fields_are_refused_when_strict_and_dropped_otherwise() -> None:
    typo = service({"trafic": []})

    assert refusal(typo, strict=True) == 'strict decoding error: unknown field "spec.trafic"'
    assert "trafic" not in stored(typo)["spec"]


def test_traffic_must_add_up() -> None:
    halves = [{"revisionName": "app-1", "percent": 50}]

    assert refusal(service({"traffic": halves})) == "Traffic targets sum to 50, want 100: spec.traffic"


def test_all_problems_are_reported_together_and_sorted() -> None:
    wrong = service({"traffic": [{"percent": 101}]}, {"name": "queue-proxy", "image": ""})

    assert refusal(wrong).splitlines() == [
        '"queue-proxy" is a reserved container name: spec.template.spec.containers[0].name',
        "Traffic targets sum to 101, want 100: spec.traffic",
        "expected 0 <= 101 <= 100: spec.traffic[0].percent",
        "missing field(s): spec.template.spec.containers[0].image",
    ]


def test_autoscaling_annotations_belong_on_the_template() -> None:
    wrong = service(annotations={"autoscaling.knative.dev/min-scale": "1"})

    assert 'must be put under "spec.template.metadata.annotations"' in refusal(wrong)


def test_a_template_that_keeps_its_name_must_not_change() -> None:
    named = {"template": {"metadata": {"name": "app-one"}, "spec": {"containers": [{"image": "a:1"}]}}}
    old = stored(service(named))
    new = deepcopy(old)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "a:2"

    assert refusal(new, old=old).splitlines() == [
        "Saw the following changes without a name change (-old +new): spec.template.metadata.name",
        "spec.template.spec.containers[0].image:",
        '\t-: "a:1"',
        '\t+: "a:2"',
    ]


def test_a_revision_never_changes() -> None:
    old = stored(new_object(REVISION, "default", "app-1", spec={"containers": [{"image": "a:1"}]}), REVISION)
    new = deepcopy(old)
    new["spec"]["timeoutSeconds"] = 17

    assert stored(deepcopy(old), REVISION, old) == old
    assert refusal(new, REVISION, old).startswith("Immutable fields changed (-old +new): spec\nspec.timeoutSeconds:")


def test_how_empty_fields_are_written_is_no_change_of_a_revision() -> None:
    old = new_object(REVISION, "default", "app-1", spec={"containers": [{"image": "a:1", "args": []}]})
    new = {**deepcopy(old), "spec": {"containers": [{"image": "a:1"}]}}

    assert stored(new, REVISION, old)["spec"] == old["spec"]


def test_what_is_being_deleted_is_let_go_whatever_the_settings_say_by_now() -> None:
    old = stored(service())
    old["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}
    new = deepcopy(old)
    del new["metadata"]["finalizers"]
    stricter = settings(config_defaults={"max-revision-timeout-seconds": "10", "revision-timeout-seconds": "10"})

    with pytest.raises(Denied, match="timeoutSeconds"):
        admit(SERVICE, {**new, "metadata": {"name": "app", "namespace": "default"}}, old, stricter)
    assert "finalizers" not in admit(SERVICE, new, old, stricter)["metadata"]


def test_who_made_it_is_noted_and_cannot_be_changed() -> None:
    old = stored(service(), user="ann")
    new = deepcopy(old)
    new["spec"]["template"]["spec"]["timeoutSeconds"] = 17
    changed = stored(new, old=old, user="bob")
    forged = deepcopy(old)
    forged["metadata"]["annotations"]["serving.knative.dev/creator"] = "eve"

    annotations = changed["metadata"]["annotations"]
    assert annotations["serving.knative.dev/creator"] == "ann"
    assert annotations["serving.knative.dev/lastModifier"] == "bob"
    assert refusal(forged, old=old, user="eve").startswith("annotation value is immutable")


def test_a_route_names_exactly_one_target_each() -> None:
    both = {"configurationName": "c", "revisionName": "r", "percent": 100}
    route = new_object(ROUTE, "default", "app", spec={"traffic": [both]})

    assert refusal(route, ROUTE).startswith("expected exactly one, got both: spec.traffic[0].configurationName")


def test_config_that_cannot_be_read_is_the_answer() -> None:
    config = settings(config_defaults={"revision-timeout-seconds": "soon"})

    with pytest.raises(Denied, match=r'config-defaults: revision-timeout-seconds="soon"'):
        admit(SERVICE, service(), None, config)


def test_what_was_stored_without_admission_is_read_with_defaults() -> None:
    bare = new_object(REVISION, "default", "app-1", spec={"containers": [{"image": "a:1"}]})

    spec = apply_defaults(REVISION, bare, read_kinds_config(lambda _: {}))["spec"]

    assert (spec["containers"][0]["name"], spec["containers"][0]["resources"]) == ("", {})


def test_kinds_of_others_pass_as_they_are() -> None:
    pod = new_object(POD, "default", "x", spec={"anything": 1})

    assert stored(pod, POD) is pod
    assert stored(new_object(CONFIG_MAP, "default", "x"), CONFIG_MAP)["metadata"]["name"] == "x"


def test_a_configuration_with_a_services_label_must_be_that_services() -> None:
    metadata = {"labels": {"serving.knative.dev/service": "app"}}
    template = {"spec": {"containers": [{"image": "a:1"}]}}
    obj = new_object(CONFIGURATION, "default", "app", metadata=metadata, spec={"template": template})

    assert refusal(obj, CONFIGURATION) == "missing field(s): metadata.labels.serving.knative.dev/service"


@pytest.mark.parametrize("text", ["", "cookie", "header=a b"])
def test_a_stickiness_that_cannot_be_followed_is_refused_with_what_would_be_right(text: str) -> None:
    traffic = {"traffic": [{"configurationName": "app", "percent": 100}]}
    annotations = {"serving.upwell.dev/stickiness": text}
    route = new_object(ROUTE, "default", "app", metadata={"annotations": annotations}, spec=traffic)
    line = f"invalid value: {text}: metadata.annotations.serving.upwell.dev/stickiness"

    for obj, resource in ((service(annotations=annotations), SERVICE), (route, ROUTE)):
        assert refusal(obj, resource) == f'{line}\n"{text}" must be client-address, header=NAME or cookie=NAME'


@pytest.mark.parametrize("text", ["client-address", "header=X-User", "cookie=session"])
def test_a_stickiness_that_can_be_followed_is_kept(text: str) -> None:
    annotations = {"serving.upwell.dev/stickiness": text}

    assert stored(service(annotations=annotations))["metadata"]["annotations"] == annotations
