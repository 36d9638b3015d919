"""From an Ingress to HTTPRoutes, and what their statuses have to say."""

from typing import Any

import pytest

from controller.ingress.gateway_api import GatewayApi
from controller.ingress.listeners import listener_name
from controller.ingress.translation import with_probes
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.controller.ingress.ingresses import INSIDE, PUBLIC, ingress, rule, settings, split
from upwell.api.config_gateway import parse_gateway
from upwell.api.objects import Key, Object
from upwell.api.settings import SettingError

GATEWAYS = {
    "external-gateways": """
- class: envoy
  gateway: gateways/public
  service: gateways/public-envoy
  supported-features: [HTTPRouteRequestTimeout]
""",
    "local-gateways": "[{class: envoy, gateway: gateways/inside, service: gateways/inside-envoy}]",
}


def translation() -> GatewayApi:
    return GatewayApi(settings(gateway=GATEWAYS), FakeApi())


def translate(obj: Object | None = None) -> dict[str, Object]:
    children = translation().children(obj or ingress())
    return {child["metadata"]["name"]: child for child in children}


def header_filter(**fields: str) -> dict[str, Any]:
    pairs = [{"name": name.replace("_", "-"), "value": value} for name, value in sorted(fields.items())]
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": pairs}}


def test_each_rule_becomes_a_route_at_the_gateway_of_its_visibility() -> None:
    routes = translate()

    assert set(routes) == {INSIDE, PUBLIC}
    assert routes[PUBLIC]["spec"]["hostnames"] == [PUBLIC]
    assert routes[INSIDE]["spec"]["hostnames"] == ["app.shop", INSIDE]
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "gateways"}
    assert routes[PUBLIC]["spec"]["parentRefs"] == [{**parent, "name": "public"}]
    assert routes[INSIDE]["spec"]["parentRefs"] == [{**parent, "name": "inside"}]
    assert routes[INSIDE]["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"
    assert routes[PUBLIC]["metadata"]["labels"]["networking.internal.knative.dev/ingress"] == "app"
    assert routes[PUBLIC]["metadata"]["annotations"] == {"note": "kept"}
    (owner,) = routes[PUBLIC]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"]) == ("Ingress", True)


def test_percentages_become_weights_and_each_backend_sets_its_own_fields() -> None:
    main = translate()[PUBLIC]["spec"]["rules"][1]

    assert main["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert main["filters"] == [header_filter(X_Main="1")]
    assert [(ref["name"], ref["port"], ref["weight"]) for ref in main["backendRefs"]] == [
        ("app-00001", 80, 80),
        ("app-00002", 80, 20),
    ]
    (fields,) = main["backendRefs"][1]["filters"]
    assert fields["requestHeaderModifier"]["set"] == [
        {"name": "Knative-Serving-Namespace", "value": "shop"},
        {"name": "Knative-Serving-Revision", "value": "app-00002"},
    ]


def test_a_tag_is_matched_by_its_field() -> None:
    tagged = translate()[PUBLIC]["spec"]["rules"][0]

    assert tagged["matches"] == [
        {
            "path": {"type": "PathPrefix", "value": "/"},
            "headers": [{"type": "Exact", "name": "Knative-Serving-Tag", "value": "next"}],
        }
    ]


def test_a_path_and_another_host_for_the_backend_are_kept() -> None:
    path = {"path": "/old", "rewriteHost": "other.shop.svc.cluster.local", "splits": [split("app-00001")]}

    (made,) = translate(ingress(rule("ExternalIP", PUBLIC, paths=[path])))[PUBLIC]["spec"]["rules"]

    assert made["matches"][0]["path"] == {"type": "PathPrefix", "value": "/old"}
    assert made["filters"] == [{"type": "URLRewrite", "urlRewrite": {"hostname": "other.shop.svc.cluster.local"}}]


def test_the_time_limit_is_taken_off_where_the_gateway_knows_how() -> None:
    routes = translate()

    assert routes[PUBLIC]["spec"]["rules"][0]["timeouts"] == {"request": "0s"}
    assert "timeouts" not in routes[INSIDE]["spec"]["rules"][0]


def test_more_rules_than_a_route_can_hold_go_on_in_another_for_the_same_hosts() -> None:
    paths = [{"path": f"/{number}", "splits": [split("app-00001")]} for number in range(20)]

    routes = translate(ingress(rule("ExternalIP", PUBLIC, paths=paths)))

    assert [len(routes[name]["spec"]["rules"]) for name in (PUBLIC, f"{PUBLIC}-1")] == [16, 4]
    assert routes[f"{PUBLIC}-1"]["spec"]["hostnames"] == [PUBLIC]


def test_a_probe_takes_the_way_of_the_path_that_it_stands_beside() -> None:
    probed, version = with_probes(ingress(rule("ExternalIP", PUBLIC, paths=[{"splits": [split("app-00001")]}])))

    probe, path = translate(probed)[PUBLIC]["spec"]["rules"]

    assert probe["matches"][0]["headers"] == [{"type": "Exact", "name": "K-Network-Hash", "value": "override"}]
    assert probe["filters"] == [header_filter(K_Network_Hash=version)]
    assert probe["backendRefs"] == path["backendRefs"]


def status(generation: int, accepted: str = "True", resolved: str = "True") -> dict[str, Any]:
    conditions = [
        {"type": kind, "status": value, "observedGeneration": generation}
        for kind, value in (("Accepted", accepted), ("ResolvedRefs", resolved))
    ]
    return {"parents": [{"parentRef": {"namespace": "gateways", "name": "public"}, "conditions": conditions}]}


def route(told: dict[str, Any]) -> Object:
    spec = {"parentRefs": [{"namespace": "gateways", "name": "public"}]}
    return {"metadata": {"name": PUBLIC, "namespace": "shop", "generation": 2}, "spec": spec, "status": told}


ELSEWHERE = {"parents": [{**status(2)["parents"][0], "parentRef": {"namespace": "gateways", "name": "former"}}]}


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"parents": []},
        status(1),
        status(2, accepted="False"),
        status(2, resolved="False"),
        {"parents": [{}]},
        ELSEWHERE,
    ],
    ids=["nothing", "no parents", "an older generation", "refused", "no backend", "no conditions", "another parent"],
)
def test_a_route_that_is_not_accepted_as_it_is_now_is_waited_for(told: dict[str, Any]) -> None:
    obstacle = translation().obstacle([route(told)])

    assert obstacle is not None
    assert (obstacle.reason, PUBLIC in obstacle.message) == ("HTTPRouteNotReady", True)


def test_routes_that_are_accepted_are_not_waited_for() -> None:
    assert translation().obstacle([route({"parents": [*ELSEWHERE["parents"], *status(2)["parents"]]})]) is None


def test_gateways_are_reached_by_their_services() -> None:
    found = translation().gateways(ingress())

    assert found.external == (Key("gateways", "public-envoy"),)
    assert found.local == (Key("gateways", "inside-envoy"),)


@pytest.mark.parametrize(
    "text",
    ["{", "gateway", "[]", "[{gateway: public}]", "[{gateway: a/b/c}]", "[{gateway: a/b}]", "[1]"],
)
def test_a_setting_that_cannot_be_used_is_named(text: str) -> None:
    with pytest.raises(SettingError, match=r"config-gateway: external-gateways=.* must be a YAML list"):
        parse_gateway({"external-gateways": text})


def redirected(*hosts: str) -> Object:
    obj = ingress()
    tls = [{"hosts": list(hosts), "secretName": "app-tls", "secretNamespace": "shop"}]
    obj["spec"] |= {"tls": tls, "httpOption": "Redirected"}
    return obj


def test_clients_of_plain_http_are_sent_to_the_listener_that_has_the_certificate() -> None:
    obj = redirected(PUBLIC)

    routes = translate(obj)

    assert set(routes) == {INSIDE, PUBLIC, f"{PUBLIC}-redirect"}
    (parent,) = routes[PUBLIC]["spec"]["parentRefs"]
    assert parent["sectionName"] == listener_name(obj, PUBLIC)
    (parent,) = routes[f"{PUBLIC}-redirect"]["spec"]["parentRefs"]
    assert (parent["name"], parent["sectionName"]) == ("public", "http")
    (sent,) = routes[f"{PUBLIC}-redirect"]["spec"]["rules"]
    assert sent["filters"][0]["requestRedirect"] == {"scheme": "https", "port": 443, "statusCode": 301}
    assert "sectionName" not in routes[INSIDE]["spec"]["parentRefs"][0], "inside there are no certificates"


def test_nobody_is_sent_to_https_where_there_is_no_certificate() -> None:
    assert set(translate(redirected())) == {INSIDE, PUBLIC}
