"""Plans: made once for a head, kept while the table is the same, and never somebody else's."""

import random
from collections import Counter
from typing import Any

import pytest

from gateway.balancer import Pool
from gateway.ingress import Backend, compile_ingress
from gateway.metrics import GatewayMetrics
from gateway.planning import Plan, Planner
from gateway.table import Table
from tests.unit.gateway.builders import ingress, path, rule, split
from upwell.api.names import ANNOTATION_STICKINESS
from upwell.api.objects import Object, key_of
from upwell.clock import FakeClock
from upwell.http import RequestHead
from upwell.http.message import read_request_head
from upwell.telemetry.metrics import Registry

SPLIT = rule("a.example", paths=[path(split("old", 90), split("new", 10))])


class Pools:
    def __init__(self) -> None:
        self._metrics = GatewayMetrics(Registry())
        self._known: dict[Backend, Pool] = {}

    def pool(self, backend: Backend) -> Pool:
        if backend not in self._known:
            self._known[backend] = Pool(backend, self._metrics.backend(backend), FakeClock(), random.Random(1))
        return self._known[backend]


class World:
    def __init__(self, *objects: Object) -> None:
        self.table = Table()
        self.apply(*objects)
        self.planner = Planner(Pools(), b"http")

    def apply(self, *objects: Object) -> None:
        self.table.change({key_of(obj): compile_ingress(obj) for obj in objects})

    def plan(self, request: RequestHead) -> Plan:
        known = request.note or self.planner.known(self.table, request)
        if known is not None and known.version == self.table.version:
            return known
        entry = self.table.find(request.host)
        assert entry is not None
        route = entry.match(request.target, request)
        assert route is not None
        return self.planner.plan(self.table, entry, route, request)

    def service(self, request: RequestHead) -> str:
        return self.plan(request).choose().pool.backend.service


def request(host: str = "a.example", target: str = "/", peer: str = "10.0.0.1", **fields: str) -> RequestHead:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return read_request_head(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode(), peer)


def sticky(by: str, *splits: Object, **fields: Any) -> Object:
    obj = ingress("a", rule("a.example", paths=[path(*splits, **fields)]))
    obj["metadata"]["annotations"][ANNOTATION_STICKINESS] = by
    return obj


def test_a_split_stays_exact_over_ten_thousand_requests_with_new_heads_and_old_ones() -> None:
    here = World(ingress("a", SPLIT))
    kept = request()
    counts = Counter(here.service(kept if number % 3 else request()) for number in range(10_000))

    assert abs(counts["new"] - 1000) <= 100
    assert sum(counts.values()) == 10_000


def test_a_plan_is_found_again_with_its_head_and_with_its_host() -> None:
    here = World(ingress("a", SPLIT))
    first = request()
    plan = here.plan(first)

    assert here.plan(first) is plan
    assert here.plan(request(target="/other")) is plan
    assert here.plan(request(host="A.example")) is not plan


def test_a_plan_ends_with_the_table_it_was_made_from() -> None:
    here = World(ingress("a", SPLIT))
    kept = request()
    assert {here.service(kept) for _ in range(100)} == {"old", "new"}

    here.apply(ingress("a", rule("a.example", paths=[path(split("newer"))]), generation=2))
    assert here.service(kept) == here.service(request()) == "newer"


def test_where_the_path_decides_a_host_has_no_plan_of_its_own() -> None:
    here = World(ingress("a", rule("a.example", paths=[path(split("root")), path(split("api"), path="/api")])))

    assert here.service(request(target="/api/x")) == "api"
    assert here.service(request(target="/x")) == "root"


def test_where_clients_are_redirected_a_host_has_no_plan_of_its_own() -> None:
    obj = ingress("a", rule("a.example", paths=[path(split("a"))]))
    tls = [{"hosts": ["a.example"], "secretName": "a", "secretNamespace": "default"}]
    obj["spec"].update(tls=tls, httpOption="Redirected")
    here = World(obj)
    assert here.service(request(target="/")) == "a"

    assert here.planner.known(here.table, request(target="/")) is None


@pytest.mark.parametrize(
    ("by", "clients"),
    [
        ("header=X-User", [request(x_user=f"user-{number}") for number in range(1000)]),
        ("cookie=session", [request(cookie=f"a=b; session={number}") for number in range(1000)]),
        ("client-address", [request(peer=f"10.0.{number // 250}.{number % 250}") for number in range(1000)]),
    ],
)
def test_a_client_keeps_to_its_part_and_the_parts_are_as_large_as_they_should_be(
    by: str, clients: list[RequestHead]
) -> None:
    here = World(sticky(by, split("old", 70), split("new", 30)))
    first = [here.service(client) for client in clients]

    assert [here.service(client) for client in clients] == first
    assert 240 < first.count("new") < 360
    here.apply(sticky(by, split("old", 69), split("new", 31)))
    moved = [(was, now) for was, now in zip(first, map(here.service, clients), strict=True) if was != now]
    assert set(moved) <= {("old", "new")}
    assert len(moved) < 40


def test_a_client_that_does_not_say_who_it_is_is_dealt_a_part() -> None:
    here = World(sticky("header=X-User", split("old", 50), split("new", 50)))
    counts = Counter(here.service(request()) for _ in range(1000))

    assert counts == {"old": 500, "new": 500}


def test_a_domain_that_stands_for_a_sticky_host_is_sticky_the_same_way() -> None:
    domain = ingress("d", rule("d.example", paths=[path(split("placeholder"), rewriteHost="a.example")]))
    here = World(sticky("header=X-User", split("old", 50), split("new", 50)), domain)

    for number in range(100):
        user = f"user-{number}"
        assert here.service(request(host="d.example", x_user=user)) == here.service(request(x_user=user))
