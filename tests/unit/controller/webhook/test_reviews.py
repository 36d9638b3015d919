"""What the webhook answers to an API server, review by review."""

import base64
import json
from typing import Any

import jsonpatch
import pytest

from controller.webhook.reviews import ReviewError, Reviews
from upwell.api.admission import admit
from upwell.api.objects import Object, new_object
from upwell.api.resources import CONFIG_MAP, POD, REVISION, SERVICE, Resource

REVIEWS = Reviews(lambda _: {}, "cluster.local")


def service(image: str = "a:1", **spec: Any) -> Object:
    template = {"spec": {"containers": [{"image": image}]}}
    return new_object(SERVICE, "default", "app", spec={"template": template, **spec})


def review(obj: Object | None, resource: Resource = SERVICE, old: Object | None = None, **fields: Any) -> Object:
    request = {
        "uid": "u-1",
        "resource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
        "operation": "CREATE" if old is None else "UPDATE",
        "userInfo": {"username": "ann"},
        "object": obj,
        "oldObject": old,
        **fields,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def patched(answer: Object, obj: Object) -> Object:
    response = answer["response"]
    if "patch" not in response:
        return obj
    assert response["patchType"] == "JSONPatch"
    result: Object = jsonpatch.apply_patch(obj, json.loads(base64.b64decode(response["patch"])))
    return result


def test_defaults_come_back_as_a_patch_that_makes_what_admission_makes() -> None:
    answer = REVIEWS.default(review(service()))

    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert (answer["response"]["uid"], answer["response"]["allowed"]) == ("u-1", True)
    assert patched(answer, service()) == admit(SERVICE, service(), None, lambda _: {}, user="ann")


def test_what_has_its_defaults_gets_no_patch() -> None:
    full = admit(SERVICE, service(), None, lambda _: {}, user="ann")

    assert "patch" not in REVIEWS.default(review(full, old=full))["response"]


def test_wrong_types_are_refused_before_anything_is_filled_in() -> None:
    status = REVIEWS.default(review(service(traffic="all")))["response"]["status"]

    assert (status["code"], status["reason"]) == (400, "BadRequest")
    assert status["message"] == 'mutation failed: spec.traffic: "all" (a text) must be a list'


def test_what_is_wrong_is_told_line_by_line() -> None:
    bad = patched(REVIEWS.default(review(service(image=""))), service(image=""))

    response = REVIEWS.validate(review(bad))["response"]

    assert not response["allowed"]
    assert response["status"]["message"] == (
        "validation failed: missing field(s): spec.template.spec.containers[0].image"
    )


def test_an_object_that_did_not_go_through_defaulting_is_judged_all_the_same() -> None:
    assert REVIEWS.validate(review(service()))["response"]["allowed"]
    assert "containers[0].image" in REVIEWS.validate(review(service(image="")))["response"]["status"]["message"]


def test_a_revision_may_not_change_and_is_left_as_it_is() -> None:
    old = new_object(REVISION, "default", "app-1", spec={"containers": [{"image": "a:1", "args": []}]})
    labelled = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    changed = {**old, "spec": {"containers": [{"image": "a:2"}]}}

    assert "patch" not in REVIEWS.default(review(labelled, REVISION, old))["response"]
    assert REVIEWS.validate(review(labelled, REVISION, old))["response"]["allowed"]
    assert (
        "Immutable fields changed" in REVIEWS.validate(review(changed, REVISION, old))["response"]["status"]["message"]
    )


def test_insecure_values_are_accepted_with_a_warning_when_they_are_written() -> None:
    full = patched(REVIEWS.default(review(service())), service())
    revision = new_object(REVISION, "default", "app-1", spec={"containers": [{"image": "a:1"}]})
    whole = patched(REVIEWS.default(review(revision, REVISION)), revision)

    (told,) = REVIEWS.validate(review(full))["response"]["warnings"]

    assert "spec.template.spec.containers[0].securityContext.runAsNonRoot" in told
    assert REVIEWS.validate(review(whole, REVISION))["response"]["warnings"]
    assert "warnings" not in REVIEWS.validate(review(whole, REVISION, whole))["response"]


def test_config_maps_of_ours_are_read_as_components_read_them() -> None:
    labels = {"labels": {"app.kubernetes.io/name": "knative-serving"}}
    wrong = new_object(
        CONFIG_MAP, "knative-serving", "config-gc", metadata=labels, data={"retain-since-create-time": "x"}
    )

    assert "retain-since-create-time" in REVIEWS.validate(review(wrong, CONFIG_MAP))["response"]["status"]["message"]
    assert REVIEWS.validate(review({**wrong, "data": {}}, CONFIG_MAP))["response"]["allowed"]


@pytest.mark.parametrize(
    "request_of_others",
    [
        review(new_object(POD, "default", "x"), POD),
        review(None, operation="DELETE"),
        review(service(traffic="all"), subResource="status"),
    ],
)
def test_what_is_not_ours_to_judge_is_allowed(request_of_others: Object) -> None:
    assert REVIEWS.default(request_of_others)["response"] == {"uid": "u-1", "allowed": True}
    assert REVIEWS.validate(request_of_others)["response"] == {"uid": "u-1", "allowed": True}


@pytest.mark.parametrize("body", [None, [], {}, {"request": {}}, {"request": {"uid": 5}}])
def test_what_is_no_review_is_told_so(body: Any) -> None:
    with pytest.raises(ReviewError):
        REVIEWS.default(body)


def test_an_object_in_an_old_version_gets_todays_spec_with_its_defaults() -> None:
    old = {**service(), "apiVersion": "serving.knative.dev/v1alpha1"}
    template = old.pop("spec")["template"]
    old["spec"] = {"runLatest": {"configuration": {"revisionTemplate": template}}}

    stored = patched(REVIEWS.default(review(old)), old)

    assert stored["spec"] == admit(SERVICE, service(), None, lambda _: {})["spec"]
    assert REVIEWS.validate(review(stored))["response"]["allowed"]
    manual = {**old, "spec": {"manual": {}}}
    assert "write a Configuration and a Route" in REVIEWS.default(review(manual))["response"]["status"]["message"]


def test_old_versions_are_converted_and_what_cannot_be_is_said() -> None:
    old = {"apiVersion": "serving.knative.dev/v1alpha1", "kind": "Service", "metadata": {"name": "a"}}
    latest = {**old, "spec": {"runLatest": {"configuration": {}}}}
    wanted = {"uid": "c-1", "desiredAPIVersion": "serving.knative.dev/v1"}

    good = REVIEWS.convert({"request": {**wanted, "objects": [latest]}})["response"]
    bad = REVIEWS.convert({"request": {**wanted, "objects": [{**old, "spec": {"manual": {}}}]}})["response"]

    assert good["result"] == {"status": "Success"}
    assert good["convertedObjects"][0]["apiVersion"] == "serving.knative.dev/v1"
    assert bad["result"]["status"] == "Failure"
    assert "spec.manual" in bad["result"]["message"]
