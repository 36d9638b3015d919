"""Creating and changing objects: what the server fills in, what it refuses, and with which words."""

from typing import Any

import pytest

from tests.unit.local.apiserver.world import (
    DEPLOYMENT,
    NAMESPACE,
    POD,
    SERVICE,
    World,
    config_map,
    deployment,
    namespace,
    pod,
    service,
)
from upwell.api.objects import Object
from upwell.api.resources import CONFIG_MAP, CORE_SERVICE, LEASE
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.registry import WriteOptions


def refused(code: int, reason: str, call: Any, *arguments: Any) -> str:
    with pytest.raises(StatusError) as error:
        call(*arguments)
    assert (error.value.code, error.value.reason) == (code, reason)
    return error.value.message


def core_service(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], **spec},
    }


def test_a_new_object_gets_what_the_server_owns(world: World) -> None:
    created = world.create(DEPLOYMENT, deployment("web", uid="mine", generation=9, managedFields=[{}], selfLink="x"))

    metadata = created["metadata"]
    assert metadata["uid"] != "mine"
    assert metadata["creationTimestamp"] == "2000-01-01T00:00:00Z"
    assert metadata["generation"] == 1
    assert metadata["resourceVersion"].isdigit()
    assert metadata["namespace"] == "default"
    assert not {"managedFields", "selfLink"} & set(metadata)


def test_generate_name_makes_a_fresh_name(world: World) -> None:
    obj = pod("")
    obj["metadata"] = {"generateName": "web-"}

    name = world.create(POD, obj)["metadata"]["name"]

    assert name.startswith("web-")
    assert len(name) == len("web-") + 5


def test_an_object_without_any_name_is_invalid(world: World) -> None:
    message = refused(422, "Invalid", world.create, POD, {"spec": {}})

    assert message == 'Pod "" is invalid: metadata.name: Required value: name or generateName is required'


def test_the_same_name_twice_already_exists(world: World) -> None:
    world.create(SERVICE, service("hello"))

    message = refused(409, "AlreadyExists", world.create, SERVICE, service("hello"))

    assert message == 'services.serving.knative.dev "hello" already exists'


def test_an_unknown_object_is_not_found(world: World) -> None:
    message = refused(404, "NotFound", world.merge, SERVICE, "hello", {})

    assert message == 'services.serving.knative.dev "hello" not found'


def test_an_unknown_namespace_is_not_found(world: World) -> None:
    message = refused(404, "NotFound", world.registry.create, POD, "nowhere", pod("p"))

    assert message == 'namespaces "nowhere" not found'


def test_namespaces_can_be_made(world: World) -> None:
    made = world.create(NAMESPACE, namespace("team"))

    assert made["status"] == {"phase": "Active"}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    world.registry.create(POD, "team", pod("p"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "must be an object"),
        ({"metadata": {"name": "x"}, "spec": {}}, "'Kind' is missing"),
        ({**service("x"), "kind": "Route"}, "does not match the expected kind (Service)"),
        ({**service("x"), "apiVersion": "v1"}, "does not match the expected API version (serving.knative.dev/v1)"),
        ({**service("x"), "metadata": "x"}, "metadata must be an object"),
        ({**service("x"), "metadata": {"name": 5}}, "metadata.name: 5 is not a string"),
        ({**service("x"), "metadata": {"name": "x", "labels": {"a": 1}}}, "put it in quotes"),
        ({**service("x"), "metadata": {"name": "x", "labels": []}}, "metadata.labels must be an object"),
        ({**service("x"), "metadata": {"name": "x", "finalizers": [1]}}, "metadata.finalizers must be a list"),
        ({**service("x"), "metadata": {"name": "x", "namespace": "other"}}, "does not match the namespace sent"),
        ({**service("x"), "metadata": {"name": "x", "resourceVersion": "1"}}, "resourceVersion should not be set"),
    ],
)
def test_a_body_of_a_wrong_shape_is_a_bad_request(world: World, body: Any, told: str) -> None:
    body = {"apiVersion": "serving.knative.dev/v1", **body} if isinstance(body, dict) else body
    with pytest.raises(StatusError) as error:
        world.create(SERVICE, body)

    assert error.value.code == 400
    assert told in error.value.message


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"name": "Upper"}, "metadata.name"),
        ({"name": "a" * 254}, "metadata.name"),
        ({"name": "x", "labels": {"bad key": "v"}}, "metadata.labels"),
        ({"name": "x", "labels": {"k": "bad value"}}, "metadata.labels"),
        ({"name": "x", "labels": {"k": "v" * 64}}, "metadata.labels"),
        ({"name": "x", "annotations": {"bad key": "v"}}, "metadata.annotations"),
        ({"name": "x", "annotations": {"k": "v" * 300_000}}, "metadata.annotations"),
        ({"name": "x", "ownerReferences": [{"kind": "Pod"}]}, "metadata.ownerReferences[0].uid"),
    ],
)
def test_metadata_that_cannot_be_accepted_is_invalid(world: World, metadata: Any, field: str) -> None:
    with pytest.raises(StatusError) as error:
        world.create(CONFIG_MAP, {"metadata": metadata})

    assert error.value.code == 422
    assert error.value.details is not None
    assert field in [cause["field"] for cause in error.value.details["causes"]]


def test_a_stale_update_conflicts(world: World) -> None:
    stale = world.create(CONFIG_MAP, config_map("c"))
    world.merge(CONFIG_MAP, "c", {"data": {"a": "b"}})

    message = refused(409, "Conflict", world.update, CONFIG_MAP, {**stale, "data": {"x": "y"}})

    assert message == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to'
        " the latest version and try again"
    )


def test_an_update_of_another_life_of_the_object_conflicts(world: World) -> None:
    first = world.create(CONFIG_MAP, config_map("c"))
    world.delete(CONFIG_MAP, "c")
    world.create(CONFIG_MAP, config_map("c"))
    del first["metadata"]["resourceVersion"]

    message = refused(409, "Conflict", world.update, CONFIG_MAP, first)

    assert "Precondition failed: UID in precondition" in message


def test_built_in_kinds_may_be_updated_without_a_version(world: World) -> None:
    world.create(CONFIG_MAP, config_map("c"))

    assert world.update(CONFIG_MAP, config_map("c", {"a": "b"}, namespace="default"))["data"] == {"a": "b"}


@pytest.mark.parametrize(
    ("resource", "obj"),
    [(SERVICE, service("x")), (LEASE, {"metadata": {"name": "x"}, "spec": {}})],
    ids=["custom", "lease"],
)
def test_other_kinds_need_the_version(world: World, resource: Any, obj: Object) -> None:
    stored = world.create(resource, obj)
    fresh = {**stored, "metadata": {"name": "x", "namespace": "default"}}

    message = refused(422, "Invalid", world.update, resource, fresh)

    assert "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in message


def test_a_patch_that_names_a_stale_version_conflicts(world: World) -> None:
    world.create(CONFIG_MAP, config_map("c"))

    refused(409, "Conflict", world.merge, CONFIG_MAP, "c", {"metadata": {"resourceVersion": "1"}, "data": {"a": "b"}})


def test_a_patch_cannot_rename_or_change_the_kind(world: World) -> None:
    world.create(CONFIG_MAP, config_map("c"))

    refused(400, "BadRequest", world.merge, CONFIG_MAP, "c", {"metadata": {"name": "d"}})
    refused(400, "BadRequest", world.merge, CONFIG_MAP, "c", {"kind": "Secret"})


def test_the_generation_counts_changes_of_the_spec_only(world: World) -> None:
    world.create(DEPLOYMENT, deployment("web"))

    labelled = world.merge(DEPLOYMENT, "web", {"metadata": {"labels": {"a": "b"}}})
    observed = world.merge(DEPLOYMENT, "web", {"status": {"replicas": 1}}, "status")
    scaled = world.merge(DEPLOYMENT, "web", {"spec": {"replicas": 5}})

    assert [one["metadata"]["generation"] for one in (labelled, observed, scaled)] == [1, 1, 2]


def test_status_is_changed_through_status_only(world: World) -> None:
    created = world.create(DEPLOYMENT, {**deployment("web"), "status": {"replicas": 7}})
    plain = world.merge(DEPLOYMENT, "web", {"status": {"replicas": 8}})
    patch = {"status": {"replicas": 9}, "spec": {"replicas": 9}, "metadata": {"labels": {"a": "b"}}}

    through_status = world.merge(DEPLOYMENT, "web", patch, "status")

    assert created["status"] == {}
    assert plain["status"] == {}
    assert through_status["status"] == {"replicas": 9}
    assert through_status["spec"]["replicas"] == 1
    assert "labels" not in through_status["metadata"]


def test_the_status_of_a_custom_resource_can_be_removed_again(world: World) -> None:
    world.create(SERVICE, service("hello"))
    stored = world.merge(SERVICE, "hello", {"status": {"url": "x"}}, "status")

    without = world.update(
        SERVICE, {name: stored[name] for name in ("apiVersion", "kind", "metadata", "spec")}, "status"
    )

    assert "status" not in without


def test_identity_and_times_cannot_be_changed(world: World) -> None:
    created = world.create(CONFIG_MAP, config_map("c"))
    changed = world.merge(
        CONFIG_MAP,
        "c",
        {"metadata": {"creationTimestamp": None, "deletionTimestamp": "2000-01-01T00:00:00Z"}, "data": {}},
    )

    assert changed["metadata"] == created["metadata"]


def test_a_deployment_gets_the_defaults_of_a_cluster(world: World) -> None:
    spec = world.create(DEPLOYMENT, deployment("web"))["spec"]

    assert (spec["replicas"], spec["progressDeadlineSeconds"], spec["revisionHistoryLimit"]) == (1, 600, 10)
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert spec["template"]["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def test_a_pod_starts_pending_with_the_defaults_of_a_cluster(world: World) -> None:
    obj = pod("p")
    obj["spec"]["containers"][0] |= {
        "image": "app",
        "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80}},
        "resources": {"limits": {"cpu": "1"}},
        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    }
    obj["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "s"}}]

    created = world.create(POD, obj)
    container = created["spec"]["containers"][0]

    assert created["status"] == {"phase": "Pending", "qosClass": "Burstable"}
    assert created["spec"]["terminationGracePeriodSeconds"] == 30
    assert container["imagePullPolicy"] == "Always"
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["readinessProbe"]["periodSeconds"] == 10
    assert container["readinessProbe"]["httpGet"] == {"port": 80, "path": "/", "scheme": "HTTP"}
    assert container["resources"]["requests"] == {"cpu": "1"}
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert created["spec"]["volumes"][0]["secret"]["defaultMode"] == 420


def test_services_get_an_address_and_keep_it(world: World) -> None:
    created = world.create(CORE_SERVICE, core_service("web"))
    changed = world.update(CORE_SERVICE, {**core_service("web"), "metadata": {"name": "web", "namespace": "default"}})

    assert created["spec"]["clusterIP"].startswith("10.")
    assert created["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert changed["spec"]["clusterIP"] == created["spec"]["clusterIP"]


def test_headless_and_external_services_get_none(world: World) -> None:
    headless = world.create(CORE_SERVICE, core_service("headless", clusterIP="None"))
    external = world.create(CORE_SERVICE, core_service("external", type="ExternalName", externalName="example.com"))

    assert headless["spec"]["clusterIP"] == "None"
    assert "clusterIP" not in external["spec"]


def test_the_selector_of_a_deployment_is_immutable(world: World) -> None:
    world.create(DEPLOYMENT, deployment("web"))
    labels = {"app": "other"}
    patch = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}

    message = refused(422, "Invalid", world.merge, DEPLOYMENT, "web", patch)

    assert message.startswith('Deployment.apps "web" is invalid: spec.selector: Invalid value:')
    assert message.endswith("field is immutable")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"selector": None}, "spec.selector"),
        ({"selector": {"matchLabels": {"other": "x"}}}, "spec.template.metadata.labels"),
        ({"replicas": -1}, "spec.replicas"),
        ({"replicas": "2"}, "spec.replicas"),
        ({"template": {"metadata": {"labels": {"app": "web"}}}}, "spec.template.spec.containers"),
    ],
)
def test_a_deployment_that_could_not_work_is_invalid(world: World, spec: Any, field: str) -> None:
    obj = deployment("web")
    obj["spec"] |= spec

    message = refused(422, "Invalid", world.create, DEPLOYMENT, obj)

    assert f"{field}: " in message


def test_admission_defaults_knative_kinds_and_denies_in_the_words_of_an_api_server(world: World) -> None:
    created = world.create(SERVICE, service("hello"))
    patch = {"spec": {"template": {"spec": {"containerConcurrency": 5000}}}}

    message = refused(400, "BadRequest", world.merge, SERVICE, "hello", patch)

    assert created["spec"]["template"]["spec"]["containerConcurrency"] == 0
    assert message == (
        'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed:'
        " expected 0 <= 5000 <= 1000: spec.template.spec.containerConcurrency"
    )


def test_admission_reads_the_config_maps_of_the_system_namespace(world: World) -> None:
    world.registry.create(
        CONFIG_MAP, "knative-serving", config_map("config-defaults", {"container-concurrency": "7", "_example": "x"})
    )

    created = world.create(SERVICE, service("hello"))

    assert created["spec"]["template"]["spec"]["containerConcurrency"] == 7


def test_unknown_fields_are_refused_when_strict_and_dropped_otherwise(world: World) -> None:
    obj = service("hello")
    obj["spec"]["tempalte"] = {}

    with pytest.raises(StatusError) as error:
        world.registry.create(SERVICE, "default", {**obj}, WriteOptions(strict=True))
    created = world.create(SERVICE, obj)

    assert error.value.code == 400
    assert 'strict decoding error: unknown field "spec.tempalte"' in error.value.message
    assert "tempalte" not in created["spec"]


def test_a_dry_run_answers_and_stores_nothing(world: World) -> None:
    answer = world.registry.create(SERVICE, "default", service("hello"), WriteOptions(dry_run=True))

    assert answer.obj["metadata"]["uid"]
    assert world.find(SERVICE, "hello") is None


def test_a_deployment_is_scaled_through_its_scale(world: World) -> None:
    world.create(DEPLOYMENT, deployment("web"))
    seen: list[Any] = []

    def scale_to(count: int) -> Any:
        def apply(scale: Any) -> Any:
            seen.append(scale)
            return {**scale, "spec": {"replicas": count}}

        return apply

    world.registry.patch(DEPLOYMENT, "default", "web", scale_to(0), "scale")
    scaled = world.registry.patch(DEPLOYMENT, "default", "web", scale_to(3), "scale").obj

    assert scaled["spec"]["replicas"] == 3
    assert scaled["metadata"]["generation"] == 3
    assert seen[0]["kind"] == "Scale"
    assert seen[0]["status"] == {"replicas": 0, "selector": "app=web"}
    assert [one["spec"] for one in seen] == [{"replicas": 1}, {}]


@pytest.mark.parametrize(
    "scale", [None, {"kind": "Pod"}, {"spec": []}, {"spec": {"replicas": -1}}, {"spec": {"replicas": "1"}}]
)
def test_a_scale_that_is_none_is_refused(world: World, scale: Any) -> None:
    world.create(DEPLOYMENT, deployment("web"))

    with pytest.raises(StatusError) as error:
        world.registry.update(DEPLOYMENT, "default", "web", scale, "scale")

    assert error.value.code in (400, 422)


def test_a_stale_scale_conflicts(world: World) -> None:
    world.create(DEPLOYMENT, deployment("web"))

    scale = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 2}}
    with pytest.raises(StatusError) as error:
        world.registry.update(DEPLOYMENT, "default", "web", scale, "scale")

    assert error.value.reason == "Conflict"
