"""Pods tried on dry runs: when, with what, and what is made of the API server's answer."""

from typing import Any

import pytest

from controller.webhook.reviews import Reviews
from controller.webhook.trials import PodTrials
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.controller.ingress.ingresses import settings
from tests.unit.controller.objects import SIDECAR
from tests.unit.controller.webhook.test_reviews import patched, review
from upwell.api.names import LABEL_SERVICE
from upwell.api.objects import Object, new_object
from upwell.api.resources import CONFIGURATION, REVISION, ROUTE, SERVICE, Resource
from upwell.cluster.errors import Forbidden, Invalid

REVIEWS = Reviews(lambda _: {}, "cluster.local")
USUAL = {"queue-sidecar-image": SIDECAR}


class Case:
    """Trials over an API server that takes any pod, unless told otherwise."""

    def __init__(self, **deployment: str) -> None:
        self.api = FakeApi()
        self.trials = PodTrials(self.api, settings(deployment=deployment or USUAL), "knative-serving")

    async def ask(self, obj: Object, resource: Resource = SERVICE, **fields: Any) -> Any:
        """The response to a dry run of `obj`."""
        fields = {"dryRun": True, "namespace": "shop", **fields}
        whole = patched(REVIEWS.default(review(obj, resource, **fields)), obj)
        asked = review(whole, resource, **fields)
        return (await self.trials.judge(asked, REVIEWS.validate(asked)))["response"]


def with_template(resource: Resource = SERVICE, *, labels: Any = None, **container: Any) -> Object:
    template = {"spec": {"containers": [{"image": "a:1", **container}]}}
    return new_object(resource, "shop", "app", metadata={"labels": labels or {}}, spec={"template": template})


async def test_a_pod_with_the_containers_of_the_template_alone_is_tried() -> None:
    case = Case()

    response = await case.ask(with_template(env=[{"name": "A", "value": "b"}]))

    assert response["allowed"]
    (pod,) = case.api.tried
    assert pod["metadata"] == {"generateName": "dry-run-validation", "namespace": "shop"}
    (container,) = pod["spec"]["containers"]
    assert (container["image"], container["env"][0]) == ("a:1", {"name": "A", "value": "b"})
    assert case.api.writes == []


async def test_what_the_api_server_refuses_is_refused_in_its_words() -> None:
    case = Case()
    case.api.fail = Invalid(422, "Invalid", 'Pod "dry-run-validation" is invalid: spec.containers[0].name: too long')

    response = await case.ask(with_template())

    assert not response["allowed"]
    assert response["uid"] == "u-1"
    assert response["status"]["message"] == (
        "validation callback failed: dry run failed with "
        'Pod "dry-run-validation" is invalid: spec.containers[0].name: too long: spec.template'
    )


@pytest.mark.parametrize(
    ("obj", "resource", "fields"),
    [
        (with_template(), SERVICE, {"dryRun": False}),
        (with_template(), SERVICE, {"subResource": "status"}),
        (with_template(), SERVICE, {"operation": "DELETE"}),
        (with_template(CONFIGURATION, labels={LABEL_SERVICE: "app"}), CONFIGURATION, {}),
        (new_object(REVISION, "shop", "app-1", spec={"containers": [{"image": "a:1"}]}), REVISION, {}),
        (new_object(ROUTE, "shop", "app", spec={"traffic": [{"configurationName": "a", "percent": 100}]}), ROUTE, {}),
        (with_template(image=""), SERVICE, {}),
    ],
    ids=["in earnest", "status", "deletion", "a Service's Configuration", "Revision", "Route", "refused already"],
)
async def test_nothing_else_is_tried(obj: Object, resource: Resource, fields: Any) -> None:
    case = Case()
    case.api.fail = Forbidden(403, "Forbidden", "no pods here")

    await case.ask(obj, resource, **fields)
    case.api.fail = None

    assert case.api.tried == []


async def test_a_configuration_of_its_own_is_tried() -> None:
    case = Case()

    assert (await case.ask(with_template(CONFIGURATION), CONFIGURATION))["allowed"]
    assert len(case.api.tried) == 1


async def test_where_no_pod_can_be_tried_a_warning_says_so() -> None:
    case, unset = Case(), Case(progress_deadline="10m")
    case.api.fail = Invalid(400, "BadRequest", 'admission webhook "x" does not support dry run')

    told, without_settings = await case.ask(with_template()), await unset.ask(with_template())

    assert told["allowed"]
    assert without_settings["allowed"]
    assert told["warnings"][-1] == 'no pod was tried: admission webhook "x" does not support dry run'
    assert "queue-sidecar-image" in without_settings["warnings"][-1]
