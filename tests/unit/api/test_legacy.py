"""Documents of 2018 and 2019, as old articles and slides still show them."""

from typing import Any

import pytest

from upwell.api.admission import admit
from upwell.api.legacy import LegacyError, convert, is_legacy, modernise
from upwell.api.objects import Object
from upwell.api.resources import BY_KIND

V1 = "serving.knative.dev/v1"
OLD_TEMPLATE = {
    "spec": {"container": {"image": "a:1", "env": [{"name": "A", "value": "b"}]}, "concurrencyModel": "Multi"}
}


def old(kind: str = "Service", version: str = "v1alpha1", **spec: Any) -> Object:
    metadata = {"name": "app", "namespace": "default"}
    return {"apiVersion": f"serving.knative.dev/{version}", "kind": kind, "metadata": metadata, "spec": spec}


def accepted(obj: Object) -> Object:
    """Today's form, which admission takes."""
    changed, notes = modernise(obj)
    assert notes
    resource = BY_KIND[changed["apiVersion"], changed["kind"]]
    stored: Object = admit(resource, changed, None, lambda _: {}, strict=True)["spec"]
    return stored


def test_run_latest_is_a_template_with_all_traffic_to_the_latest() -> None:
    spec = accepted(old(runLatest={"configuration": {"revisionTemplate": OLD_TEMPLATE}}))

    assert spec["traffic"] == [{"latestRevision": True, "percent": 100}]
    assert spec["template"]["spec"]["containers"][0]["image"] == "a:1"
    assert spec["template"]["spec"]["containerConcurrency"] == 0


@pytest.mark.parametrize(
    ("release", "traffic"),
    [
        (
            {"revisions": ["app-1", "app-2"], "rolloutPercent": 10},
            [("app-1", 90, "current"), ("app-2", 10, "candidate"), ("latest", 0, "latest")],
        ),
        ({"revisions": ["app-1"]}, [("app-1", 100, "current"), ("latest", 0, "latest")]),
        ({"revisions": ["@latest"]}, [("latest", 100, "current"), ("latest", 0, "latest")]),
    ],
)
def test_release_is_a_split_with_tags(release: Any, traffic: Any) -> None:
    spec = accepted(old(release={**release, "configuration": {"revisionTemplate": OLD_TEMPLATE}}))

    found = [(target.get("revisionName", "latest"), target["percent"], target["tag"]) for target in spec["traffic"]]
    assert found == traffic


def test_pinned_is_one_revision() -> None:
    spec = accepted(old(pinned={"revisionName": "app-7", "configuration": {"revisionTemplate": OLD_TEMPLATE}}))

    assert spec["traffic"] == [{"revisionName": "app-7", "latestRevision": False, "percent": 100}]


def test_configurations_revisions_and_routes_have_new_names_for_things() -> None:
    configuration = accepted(old("Configuration", revisionTemplate=OLD_TEMPLATE, generation=3))
    revision = accepted(old("Revision", container={"image": "a:1"}, concurrencyModel="Single", servingState="Active"))
    route = accepted(old("Route", traffic=[{"name": "v1", "revisionName": "app-1", "percent": 100}]))

    assert configuration["template"]["spec"]["containers"][0]["env"] == [{"name": "A", "value": "b"}]
    assert revision["containerConcurrency"] == 1
    assert route["traffic"][0]["tag"] == "v1"


def test_what_has_todays_shape_changes_its_version_only() -> None:
    today = old(version="v1beta1", template={"spec": {"containers": [{"image": "a:1"}]}})

    assert modernise(today) == (
        {**today, "apiVersion": V1},
        ["apiVersion serving.knative.dev/v1beta1 is " + V1 + " today"],
    )
    assert modernise({**today, "apiVersion": V1}) == ({**today, "apiVersion": V1}, [])


def test_the_old_label_for_visibility_is_todays() -> None:
    hidden = old(runLatest={"configuration": {"revisionTemplate": OLD_TEMPLATE}})
    hidden["metadata"]["labels"] = {"serving.knative.dev/visibility": "cluster-local"}

    assert modernise(hidden)[0]["metadata"]["labels"] == {"networking.knative.dev/visibility": "cluster-local"}
    assert "labels" in hidden["metadata"], "the original is left alone"
    assert "serving.knative.dev/visibility" in hidden["metadata"]["labels"]


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ({"manual": {}}, "write a Configuration and a Route"),
        ({"release": {"revisions": []}}, "name one revision, or two"),
        ({"runLatest": {"configuration": {"build": {"source": {}}}}}, "build the image first"),
    ],
)
def test_what_cannot_be_said_any_more_is_refused_with_advice(spec: Any, advice: str) -> None:
    with pytest.raises(LegacyError, match=advice):
        modernise(old(**spec))


def test_a_cluster_converts_there_and_back() -> None:
    mapping = {**old("DomainMapping", ref={}), "metadata": {"name": "a.example.com"}}
    stored = convert(mapping, "serving.knative.dev/v1beta1")

    assert is_legacy(mapping)
    assert not is_legacy(stored)
    assert convert(stored, "serving.knative.dev/v1alpha1") == mapping
    with pytest.raises(LegacyError, match="cannot be made"):
        convert(stored, "serving.knative.dev/v3")
