"""Ingress objects: what they say, and what is refused."""

import hashlib
from typing import Any

import pytest

from gateway.ingress import Backend, HostRoutes, compile_ingress
from tests.unit.gateway.builders import ingress, path, rule, simple, split
from upwell.api.objects import ObjectError


class Fields(dict[bytes, bytes]):
    """Request fields, as a route asks for them."""


def routes_of(*paths: Any) -> HostRoutes:
    return compile_ingress(ingress("a", rule("a.example", paths=list(paths)))).hosts[b"a.example"]


def chosen(routes: HostRoutes, target: bytes, **fields: str) -> str | None:
    headers = Fields({name.replace("_", "-").lower().encode(): value.encode() for name, value in fields.items()})
    route = routes.match(target, headers)
    return route.choose().backend.service if route else None


def test_one_path_for_everything_needs_no_search() -> None:
    routes = routes_of(path(split("a")))
    assert routes.only is not None
    assert routes.only.choose().backend == Backend("default", "a", 80)


def test_the_longest_path_prefix_wins() -> None:
    routes = routes_of(
        path(split("all")),
        path(split("deep"), path="/api/v1"),
        path(split("api"), path="/api"),
        path(split("x"), path="/x"),
    )

    assert chosen(routes, b"/") == "all"
    assert chosen(routes, b"/api") == "api"
    assert chosen(routes, b"/api/v1/things?path=/x") == "deep"
    assert chosen(routes, b"/ap") == "all"
    assert chosen(routes, b"/x") == "x"


def test_a_path_is_not_found_in_the_query() -> None:
    routes = routes_of(path(split("a"), path="/a?b"), path(split("all")))
    assert chosen(routes, b"/a?b") == "all"


def test_header_matches_come_before_the_same_path_without() -> None:
    tagged = path(split("blue"), headers={"Knative-Serving-Tag": {"exact": "blue"}})
    routes = routes_of(path(split("all")), tagged)

    assert chosen(routes, b"/", knative_serving_tag="blue") == "blue"
    assert chosen(routes, b"/", knative_serving_tag="green") == "all"
    assert chosen(routes, b"/") == "all"


def test_what_nothing_matches_has_no_route() -> None:
    assert chosen(routes_of(path(split("a"), path="/a")), b"/b") is None


def test_headers_are_set_and_what_clients_send_by_that_name_is_dropped() -> None:
    routes = routes_of(
        path(split("a", Knative_Serving_Revision="a-1", X_Both="split"), appendHeaders={"X-Both": "p", "X-P": "1"})
    )
    assert routes.only is not None
    target = routes.only.choose()

    assert set(target.add) == {
        (b"Knative-Serving-Revision", b"a-1"),
        (b"X-Both", b"split"),
        (b"X-P", b"1"),
    }
    assert target.remove == {
        b"knative-serving-revision",
        b"x-both",
        b"x-p",
        b"x-forwarded-proto",
        b"x-forwarded-host",
    }


def test_parts_of_no_percent_get_nothing() -> None:
    routes = routes_of(path(split("old", 0), split("new", 100)))
    assert {chosen(routes, b"/") for _ in range(20)} == {"new"}


def test_a_single_split_without_percent_gets_everything() -> None:
    assert chosen(routes_of(path(split("a", 0))), b"/") == "a"


def test_hosts_are_in_lower_case_and_the_first_rule_has_them() -> None:
    compiled = compile_ingress(
        ingress(
            "a",
            rule("A.Example", "b.example", paths=[path(split("first"))], visibility="ClusterLocal"),
            rule("a.example", paths=[path(split("second"))]),
        )
    )

    assert list(compiled.hosts) == [b"a.example", b"b.example"]
    assert not compiled.hosts[b"a.example"].public
    assert compiled.backends == {Backend("default", "first", 80)}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([], "spec.rules: missing field(s)"),
        ([{"hosts": ["a"]}], "spec.rules[0].http: missing field(s)"),
        ([rule("a", paths=[])], "spec.rules[0].http.paths: missing field(s)"),
        ([rule("a", paths=[path()])], "spec.rules[0].http.paths[0].splits: missing field(s)"),
        (
            [rule("a", paths=[path(split("a", 50), split("b", 40))])],
            "spec.rules[0].http.paths[0].splits: traffic split percentage must total to 100, but was 90",
        ),
        (
            [rule("a", paths=[path({**split("a"), "serviceNamespace": "other"})])],
            "spec.rules[0].http.paths[0].splits[0].serviceNamespace: service namespace must match ingress namespace",
        ),
        (
            [rule("a", paths=[path({**split("a"), "serviceName": ""})])],
            "spec.rules[0].http.paths[0].splits[0].serviceName: missing field(s)",
        ),
    ],
)
def test_what_breaks_the_contract_is_refused_with_its_words(rules: list[Any], said: str) -> None:
    with pytest.raises(ObjectError) as caught:
        compile_ingress(ingress("a", *rules))
    assert str(caught.value) == said


def test_the_hash_is_that_of_the_reference() -> None:
    # Fields in the order of the Go types, maps sorted, HTML characters escaped.
    obj = ingress(
        "a", {"http": {"paths": [path(split("a", B="<1>", A="x"))]}, "hosts": ["a.example"], "visibility": "ExternalIP"}
    )
    text = (
        '{"rules":[{"hosts":["a.example"],"visibility":"ExternalIP","http":{"paths":[{"splits":[{"serviceNamespace":'
        '"default","serviceName":"a","servicePort":80,"percent":100,"appendHeaders":{"A":"x","B":"\\u003c1\\u003e"}}]}]}}]}'
    )

    assert (
        compile_ingress(obj).hosts[b"a.example"].hash.decode() == hashlib.sha256(f"{text}defaulta".encode()).hexdigest()
    )


def test_every_version_has_another_hash() -> None:
    one, other = (compile_ingress(simple("a", "a.example", name)).hosts[b"a.example"].hash for name in ("x", "y"))
    assert one != other
