"""From an Ingress to VirtualServices."""

from typing import Any

import pytest

from controller.ingress.istio import Istio
from controller.ingress.translation import with_probes
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.controller.ingress.ingresses import INSIDE, PUBLIC, ingress, rule, settings, split
from upwell.api.config_istio import parse_istio
from upwell.api.objects import Key, Object
from upwell.api.settings import SettingError

EXTERNAL = "knative-serving/knative-ingress-gateway"
LOCAL = "knative-serving/knative-local-gateway"
GATEWAYS = """
- {name: everyone, namespace: istio, service: everyone.istio.svc.cluster.local}
- name: partners
  namespace: istio
  service: partners.istio.svc.cluster.local.
  labelSelector: {matchLabels: {audience: partners}}
"""


def translation(**data: str) -> Istio:
    return Istio(settings(istio=data), FakeApi(), lambda service: None)


def translate(obj: Object | None = None, **data: str) -> dict[str, Any]:
    istio = {key.replace("_", "-"): value for key, value in data.items()}
    children = translation(**istio).children(obj or ingress())
    return {child["metadata"]["name"]: child for child in children}


def test_gateways_and_sidecars_of_the_mesh_each_have_a_virtual_service() -> None:
    made = translate()

    assert set(made) == {"app-ingress", "app-mesh"}
    assert made["app-ingress"]["spec"]["gateways"] == [EXTERNAL, LOCAL]
    assert made["app-ingress"]["spec"]["hosts"] == sorted([PUBLIC, INSIDE, "app.shop", "app.shop.svc"])
    assert made["app-mesh"]["spec"]["gateways"] == ["mesh"]
    assert made["app-mesh"]["spec"]["hosts"] == ["app.shop", "app.shop.svc", INSIDE]
    labels = made["app-mesh"]["metadata"]["labels"]
    assert labels == {"networking.internal.knative.dev/ingress": "app"}


def test_each_rule_is_for_the_gateways_of_its_visibility() -> None:
    routes = translate()["app-ingress"]["spec"]["http"]

    assert [(match["authority"]["prefix"], match["gateways"]) for route in routes for match in route["match"]] == [
        ("app.shop", [LOCAL]),
        ("app.shop", [LOCAL]),
        (PUBLIC, [EXTERNAL]),
        (PUBLIC, [EXTERNAL]),
    ]


def test_percentages_become_weights_and_nothing_is_retried() -> None:
    route = translate()["app-ingress"]["spec"]["http"][3]

    assert [(one["destination"], one["weight"]) for one in route["route"]] == [
        ({"host": "app-00001.shop.svc.cluster.local", "port": {"number": 80}}, 80),
        ({"host": "app-00002.shop.svc.cluster.local", "port": {"number": 80}}, 20),
    ]
    assert route["route"][0]["headers"]["request"]["set"]["Knative-Serving-Revision"] == "app-00001"
    assert route["headers"] == {"request": {"set": {"X-Main": "1"}}}
    assert route["retries"] == {}


def test_a_tag_a_path_and_another_host_are_kept() -> None:
    path = {
        "path": "/old",
        "rewriteHost": "other",
        "headers": {"Knative-Serving-Tag": {"exact": "next"}},
        "splits": [split("app-00001")],
    }

    (route,) = translate(ingress(rule("ExternalIP", PUBLIC, paths=[path])))["app-ingress"]["spec"]["http"]

    (match,) = route["match"]
    assert match["uri"] == {"prefix": "/old"}
    assert match["headers"] == {"Knative-Serving-Tag": {"exact": "next"}}
    assert route["rewrite"] == {"authority": "other"}


def test_who_is_only_inside_has_no_host_at_the_gateways_outside() -> None:
    made = translate(ingress(rule("ClusterLocal", INSIDE)))

    assert made["app-ingress"]["spec"]["gateways"] == [LOCAL]


def test_without_gateways_there_is_only_the_mesh() -> None:
    made = translate(external_gateways="[]", local_gateways="[]")

    assert set(made) == {"app-mesh"}
    assert made["app-mesh"]["spec"]["hosts"] == [INSIDE]


def test_a_gateway_with_a_selector_serves_whom_it_selects_and_the_other_everybody_else() -> None:
    istio = translation(**{"external-gateways": GATEWAYS})

    assert istio.gateways(ingress()).external == (Key("istio", "everyone"),)
    assert istio.gateways(ingress(labels={"audience": "partners"})).external == (Key("istio", "partners"),)


def test_the_older_form_of_the_settings_still_counts() -> None:
    config = parse_istio({"gateway.istio.front": "front.istio.svc.cluster.local", "_example": "x"})

    assert [gateway.qualified_name for gateway in config.external] == ["istio/front"]
    assert [gateway.qualified_name for gateway in config.local] == [LOCAL]


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"external-gateways": "{"}, "external-gateways"),
        ({"external-gateways": "x: 1"}, "external-gateways"),
        ({"local-gateways": "[{name: a, namespace: b}]"}, "local-gateways"),
        ({"local-gateways": GATEWAYS + "- {name: c, namespace: d, service: c.d}"}, "local-gateways"),
        ({"local-gateways": "[{name: a, namespace: b, service: a.b, labelSelector: {x: y}}]"}, "local-gateways"),
        ({"external-gateways": GATEWAYS, "gateway.a.b": "b.a"}, "external-gateways"),
        ({"gateway.a.b": "nowhere"}, "gateway.a.b"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(data: dict[str, str], named: str) -> None:
    with pytest.raises(SettingError, match=f"config-istio: {named}="):
        parse_istio(data)


def test_probes_take_the_way_of_the_path_that_they_stand_beside() -> None:
    probed, version = with_probes(ingress(rule("ExternalIP", PUBLIC, paths=[{"splits": [split("app-00001")]}])))

    probe, route = translate(probed)["app-ingress"]["spec"]["http"]

    assert probe["match"][0]["headers"] == {"K-Network-Hash": {"exact": "override"}}
    assert probe["headers"] == {"request": {"set": {"K-Network-Hash": version}}}
    assert probe["route"] == route["route"]
