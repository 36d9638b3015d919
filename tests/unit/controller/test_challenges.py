"""Where the answers to ACME challenges go in an Ingress."""

from controller.route.ingress import with_challenges
from upwell.api.objects import Object

HOST = "app.shop.example.com"


def rule(host: str, visibility: str) -> Object:
    return {"hosts": [host], "visibility": visibility, "http": {"paths": [{"splits": ["app"]}]}}


def challenge(host: str) -> Object:
    return {
        "url": f"http://{host}/.well-known/acme-challenge/token",
        "serviceName": "solver",
        "serviceNamespace": "shop",
        "servicePort": 8089,
    }


ANSWER = {
    "path": "/.well-known/acme-challenge/token",
    "splits": [{"serviceName": "solver", "serviceNamespace": "shop", "servicePort": 8089, "percent": 100}],
}


def test_a_challenge_is_answered_under_its_host_before_anything_else_and_to_the_world_only() -> None:
    rules = [rule(HOST, "ClusterLocal"), rule(HOST, "ExternalIP"), rule("other.example.com", "ExternalIP")]
    inside, outside, other = with_challenges(rules, [challenge(HOST)])
    assert outside["http"]["paths"] == [ANSWER, {"splits": ["app"]}]
    assert [inside, other] == [rules[0], rules[2]]


def test_a_host_that_is_served_for_its_challenge_alone_has_a_rule_of_its_own() -> None:
    rules = [rule(HOST, "ExternalIP")]
    assert with_challenges(rules, [challenge("k.example.com")]) == [
        rules[0],
        {"hosts": ["k.example.com"], "visibility": "ExternalIP", "http": {"paths": [ANSWER]}},
    ]


def test_without_challenges_the_rules_stay_as_they_are() -> None:
    rules = [rule(HOST, "ExternalIP")]
    assert with_challenges(rules, []) == rules
