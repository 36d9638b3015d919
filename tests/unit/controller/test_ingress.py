"""Hosts of a route, and the Ingress that serves them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from controller.route.hosts import Host, HostError, make_hosts
from controller.route.ingress import ANNOTATION_ROLLOUT, http_option_problem, make_ingress
from controller.route.placeholders import make_placeholder, pointed_at, retarget
from controller.route.rollout import ConfigurationRollout, Rollout
from controller.route.traffic import Target, Traffic
from tests.unit.controller.objects import route
from upwell.api.config_domain import parse_domain
from upwell.api.config_network import NetworkConfig, parse_network
from upwell.api.names import ANNOTATION_STICKINESS
from upwell.api.objects import Object

NOTHING: Mapping[str, str] = {}
DOMAIN = parse_domain({"example.com": ""})
TRAFFIC = Traffic(
    (Target("app-1", "app", True, 100, "", "http1"), Target("app-2", "app", False, 0, "beta", "h2c")),
    {
        "": (Target("app-1", "app", True, 100, "", "http1"), Target("app-2", "app", False, 0, "beta", "h2c")),
        "beta": (Target("app-2", "app", False, 100, "beta", "h2c"),),
    },
)


def hosts(
    obj: Object | None = None, tags: tuple[str, ...] = (), network: Mapping[str, str] = NOTHING
) -> dict[str, Host]:
    return make_hosts(obj or route(), tags, {}, DOMAIN, parse_network(network), "cluster.local")


def ingress(*, rollout: Rollout = Rollout(), header: bool = False, **metadata: Any) -> Object:  # noqa: B008
    obj = route(**metadata)
    return make_ingress(
        obj, TRAFFIC, hosts(obj, ("beta",)), rollout, NetworkConfig(ingress_class="ours"), tag_header_routing=header
    )


def test_a_route_and_its_tags_have_hosts_of_their_own() -> None:
    found = hosts(tags=("beta",))

    assert found[""].domain == "app.shop.example.com"
    assert found["beta"].domain == "beta-app.shop.example.com"
    assert found["beta"].inside == ("beta-app.shop", "beta-app.shop.svc", "beta-app.shop.svc.cluster.local")


@pytest.mark.parametrize(
    ("network", "url"),
    [
        ({}, "http://app.shop.example.com"),
        ({"external-port": "8080"}, "http://app.shop.example.com:8080"),
        ({"external-port": "80"}, "http://app.shop.example.com"),
        ({"external-port": "443", "default-external-scheme": "https"}, "https://app.shop.example.com"),
        ({"domain-template": "{{.Namespace}}-{{.Name}}.{{.Domain}}"}, "http://shop-app.example.com"),
    ],
)
def test_the_url_has_the_scheme_and_the_port_that_clients_need(network: dict[str, str], url: str) -> None:
    assert hosts(network=network)[""].url == url


def test_a_cluster_local_route_has_no_public_host() -> None:
    local = route(labels={"networking.knative.dev/visibility": "cluster-local"})
    host = hosts(local, network={"external-port": "8080"})[""]

    assert (host.cluster_local, host.url) == (True, "http://app.shop.svc.cluster.local")


def test_a_label_on_a_placeholder_keeps_its_tag_inside() -> None:
    placeholder = {"metadata": {"name": "beta-app", "labels": {"networking.knative.dev/visibility": "yes"}}}
    found = make_hosts(route(), ("beta",), {"beta-app": placeholder}, DOMAIN, NetworkConfig(), "cluster.local")

    assert (found[""].cluster_local, found["beta"].cluster_local) == (False, True)


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(HostError, match="invalid domain name"):
        hosts(network={"domain-template": "{{.Name}}_{{.Domain}}"})


def test_each_name_has_a_rule_for_the_cluster_and_one_for_everybody() -> None:
    rules = ingress()["spec"]["rules"]

    assert [(rule["hosts"][0], rule["visibility"]) for rule in rules] == [
        ("app.shop", "ClusterLocal"),
        ("app.shop.example.com", "ExternalIP"),
        ("beta-app.shop", "ClusterLocal"),
        ("beta-app.shop.example.com", "ExternalIP"),
    ]


def test_a_split_says_which_revision_it_is_for_and_at_which_port() -> None:
    rules = ingress()["spec"]["rules"]
    tagged = rules[3]["http"]["paths"][0]["splits"]

    assert len(rules[1]["http"]["paths"][0]["splits"]) == 1, "a target without a share gets nothing"
    assert tagged == [
        {
            "serviceName": "app-2",
            "serviceNamespace": "shop",
            "servicePort": 81,
            "percent": 100,
            "appendHeaders": {"Knative-Serving-Revision": "app-2", "Knative-Serving-Namespace": "shop"},
        }
    ]


def test_a_rollout_divides_the_share_of_the_latest_revision() -> None:
    rollout = Rollout((ConfigurationRollout("app", "", 100, (("app-0", 99), ("app-1", 1))),))
    made = ingress(rollout=rollout)
    splits = made["spec"]["rules"][0]["http"]["paths"][0]["splits"]

    assert [(split["serviceName"], split["percent"]) for split in splits] == [("app-0", 99), ("app-1", 1)]
    assert made["metadata"]["annotations"][ANNOTATION_ROLLOUT] == rollout.to_json()


def test_the_annotations_of_the_route_choose_the_class_and_what_becomes_of_plain_http() -> None:
    annotations = {
        "networking.knative.dev/ingress-class": "other",
        "networking.knative.dev/http-protocol": "redirected",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    made = ingress(annotations=annotations)

    assert made["spec"]["httpOption"] == "Redirected"
    assert made["metadata"]["annotations"]["networking.knative.dev/ingress.class"] == "other"
    assert "kubectl.kubernetes.io/last-applied-configuration" not in made["metadata"]["annotations"]
    assert "must be" in http_option_problem(route(annotations={"networking.knative.dev/http-protocol": "maybe"}))


def test_how_clients_keep_to_their_part_is_told_to_the_gateway() -> None:
    found = ingress(annotations={ANNOTATION_STICKINESS: "header=X-User"})

    assert found["metadata"]["annotations"][ANNOTATION_STICKINESS] == "header=X-User"


def test_with_the_feature_a_header_chooses_the_tag() -> None:
    paths = ingress(header=True)["spec"]["rules"][1]["http"]["paths"]

    assert paths[0]["headers"] == {"Knative-Serving-Tag": {"exact": "beta"}}
    assert paths[1]["appendHeaders"] == {"Knative-Serving-Default-Route": "true"}


def test_the_hosts_of_tags_are_noted_for_the_ingress() -> None:
    noted = ingress()["metadata"]["annotations"]["networking.internal.knative.dev/tag-to-host"]

    assert json.loads(noted) == {"beta": ["beta-app.shop.svc.cluster.local", "beta-app.shop.example.com"]}


def test_a_placeholder_first_points_at_its_domain_and_then_at_the_ingress() -> None:
    placeholder = make_placeholder(route(), hosts()[""], None)
    assert pointed_at(placeholder, {"status": {}}) is None

    status = {"publicLoadBalancer": {"ingress": [{"domainInternal": "gateway.system.svc"}]}}
    target = pointed_at(placeholder, {"status": status})
    assert target is not None
    changed, anew = retarget(placeholder, target, route())
    assert changed is not None
    assert (placeholder["spec"]["externalName"], changed["spec"]["externalName"], anew) == (
        "app.shop.example.com",
        "gateway.system.svc",
        False,
    )
    assert retarget(changed, target, route()) == (None, False)


def test_a_placeholder_is_made_to_point_where_another_ingress_is_served() -> None:
    served = {"status": {"publicLoadBalancer": {"ingress": [{"domainInternal": "gateway.system.svc"}]}}}
    meshed = {"status": {"publicLoadBalancer": {"ingress": [{"meshOnly": True}]}}}

    assert make_placeholder(route(), hosts()[""], served)["spec"]["externalName"] == "gateway.system.svc"
    assert make_placeholder(route(), hosts()[""], meshed)["spec"]["externalName"] == "app.shop.example.com"


def test_a_placeholder_keeps_what_users_put_on_it() -> None:
    placeholder = make_placeholder(route(), hosts()[""], None)
    placeholder["metadata"]["labels"]["networking.knative.dev/visibility"] = "cluster-local"
    changed, _ = retarget(placeholder, placeholder["spec"], route(labels={"new": "label"}))

    assert changed is not None
    assert changed["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"
    assert changed["metadata"]["labels"]["new"] == "label"
