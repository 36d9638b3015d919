"""Kinds that controllers write: what is refused when somebody else writes them."""

from collections.abc import Mapping
from typing import Any

import pytest

from upwell.api.admission import Denied, admit
from upwell.api.objects import new_object
from upwell.api.resources import CERTIFICATE, INGRESS, METRIC, POD_AUTOSCALER, ROUTE, SERVERLESS_SERVICE, Resource

DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
BACKEND = {"serviceNamespace": "default", "serviceName": "a", "servicePort": 80}


def answer(resource: Resource, spec: Any, annotations: Mapping[str, str] | None = None, **settings: str) -> Any:
    """The object that is stored, or the lines of the refusal."""
    config = {"config-defaults": {key.replace("_", "-"): value for key, value in settings.items()}}
    obj = new_object(resource, "default", "app", metadata={"annotations": dict(annotations or {})}, spec=spec)
    try:
        return admit(resource, obj, None, lambda name: config.get(name, {}))
    except Denied as denied:
        return str(denied).splitlines()


def autoscaler(**changes: Any) -> dict[str, Any]:
    return {"scaleTargetRef": DEPLOYMENT, "protocolType": "http1", **changes}


def ingress(*splits: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"rules": [{"hosts": ["h"], "http": {"paths": [{"splits": list(splits)}]}}], **more}


@pytest.mark.parametrize("resource", [POD_AUTOSCALER, METRIC, SERVERLESS_SERVICE, INGRESS])
def test_a_spec_that_says_nothing_is_missing(resource: Resource) -> None:
    assert answer(resource, {}) == ["missing field(s): spec"]


def test_a_spec_of_nothing_but_empty_fields_says_nothing() -> None:
    assert answer(POD_AUTOSCALER, {"scaleTargetRef": {}, "containerConcurrency": 0}) == ["missing field(s): spec"]


def test_by_a_class_that_is_not_ours_the_metric_stays_open() -> None:
    stored = answer(POD_AUTOSCALER, autoscaler(), {"autoscaling.knative.dev/class": "mine.example.com"})

    assert stored["metadata"]["annotations"]["autoscaling.knative.dev/metric"] == ""


def test_a_pod_autoscaler_without_a_limit_is_refused_where_there_must_be_one() -> None:
    assert answer(POD_AUTOSCALER, autoscaler(), allow_container_concurrency_zero="false") == [
        "expected 1 <= 0 <= 1000: spec.containerConcurrency"
    ]


def test_annotations_of_a_metric_are_those_of_autoscaling() -> None:
    spec = {"stableWindow": 1}

    assert answer(METRIC, spec, {"autoscaling.knative.dev/min-scale": "x"}) == [
        "invalid value: x: metadata.annotations.autoscaling.knative.dev/min-scale"
    ]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("apiVersion", "v1", ""),
        ("apiVersion", "a/b/c", "a qualified name must consist of"),
        ("apiVersion", "/v1", "prefix part must be non-empty"),
        ("apiVersion", "Apps/v1", "prefix part a lowercase RFC 1123 subdomain must consist of"),
        ("apiVersion", "apps/", "name part must be non-empty, name part must consist of"),
        ("apiVersion", "apps/" + "v" * 64, "name part must be no more than 63 characters"),
        ("kind", "Stateful-Set", "a valid C identifier must start with"),
        ("name", "Not.A.Label", "a lowercase RFC 1123 label must consist of"),
        ("name", "d" * 64, "must be no more than 63 characters"),
    ],
)
def test_what_is_scaled_is_named_by_kubernetes_rules(field: str, value: str, problem: str) -> None:
    found = answer(POD_AUTOSCALER, autoscaler(scaleTargetRef={**DEPLOYMENT, field: value}))

    if problem:
        assert found[0].startswith(f"invalid value: {problem}")
        assert found[0].endswith(f": spec.scaleTargetRef.{field}")
    else:
        assert found["spec"]["scaleTargetRef"][field] == value


def test_of_an_ingress_without_rules_only_the_rules_are_missing() -> None:
    tls = [{"secretName": "s", "secretNamespace": "n"}]

    assert answer(INGRESS, {"tls": tls}) == ["missing field(s): spec.rules"]
    assert answer(INGRESS, {"httpOption": "Enabled"}) == ["missing field(s): spec.rules"]


def test_a_secret_is_missing_field_by_field_unless_nothing_is_said_at_all() -> None:
    tls = [{}, {"hosts": ["h"]}, {"secretName": "s"}]

    assert answer(INGRESS, ingress(BACKEND, tls=tls)) == [
        "missing field(s): spec.tls[0], spec.tls[1].secretName, spec.tls[1].secretNamespace, "
        "spec.tls[2].secretNamespace"
    ]


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ([{}], "missing field(s): SPLITS[0]"),
        ([{"percent": 100}], "missing field(s): SPLITS[0]"),
        ([{"percent": 50, "serviceName": "a"}], "missing field(s): SPLITS[0].serviceNamespace, SPLITS[0].servicePort"),
        ([{**BACKEND, "percent": 101}, {}], "invalid value: 101: SPLITS[0].percent"),
        (
            [{**BACKEND, "percent": 50}, {**BACKEND, "percent": 49}],
            "traffic split percentage must total to 100, but was 99: SPLITS",
        ),
        ([], "missing field(s): spec.rules[0].http.paths[0]"),
    ],
)
def test_the_first_split_that_is_wrong_is_told_and_the_sum_when_none_is(splits: list[Any], told: str) -> None:
    assert answer(INGRESS, ingress(*splits)) == [told.replace("SPLITS", "spec.rules[0].http.paths[0].splits")]


def test_a_port_may_be_called_by_a_name_even_an_empty_one() -> None:
    stored = answer(INGRESS, ingress({**BACKEND, "servicePort": ""}))

    assert stored["spec"]["rules"][0]["http"]["paths"][0]["splits"][0]["servicePort"] == ""


def test_annotations_of_networking_are_those_that_gateways_read() -> None:
    spec = {"mode": "Serve", "protocolType": "http1", "objectRef": DEPLOYMENT}

    assert answer(SERVERLESS_SERVICE, spec, {"networking.knative.dev/ingress-class": "x"})["spec"] == spec
    assert answer(SERVERLESS_SERVICE, spec, {"networking.knative.dev/typo": "x"}) == [
        'invalid key name "networking.knative.dev/typo": annotations'
    ]


@pytest.mark.parametrize("field", ["revisionName", "configurationName"])
def test_traffic_goes_to_names_that_kubernetes_could_have(field: str) -> None:
    found = answer(ROUTE, {"traffic": [{field: "a b", "percent": 100}]})

    assert found[0] == f'invalid key name "a b": spec.traffic[0].{field}'
    assert found[1].startswith("name part must consist of alphanumeric characters")


@pytest.mark.parametrize(
    ("domain", "accepted"), [("", True), ("a.example.com", True), ("example.com", True), ("ample.com", False)]
)
def test_a_certificates_domain_is_that_of_one_of_its_names(domain: str, accepted: bool) -> None:
    found = answer(CERTIFICATE, {"dnsNames": ["a.example.com"], "domain": domain, "secretName": "s"})

    if accepted:
        assert found["spec"].get("domain", "") == domain
    else:
        assert found == [
            "invalid value: domain: spec.domain must be a suffix of, or match exactly, at least one entry in dnsNames"
        ]
