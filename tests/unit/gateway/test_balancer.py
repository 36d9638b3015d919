"""Choosing an endpoint: ready ones, the less busy of two, not the one that just failed."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from gateway import kept
from gateway.balancer import SUSPECT_SECONDS, Balancer, Pool
from gateway.ingress import Backend
from gateway.metrics import GatewayMetrics
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.gateway.builders import service, slices
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE
from upwell.clock import FakeClock
from upwell.cluster.endpoints import EndpointTracker
from upwell.cluster.informer import Informer
from upwell.cluster.runtime import running
from upwell.http import Upstream
from upwell.http.dial import SecureDialer
from upwell.telemetry.metrics import Registry
from upwell.tls.dialing import Authorities, NamedDialer

HELLO = Backend("default", "hello", 80)
SECURE = NamedDialer(Authorities(), "one", "one")


class FakeUpstream:
    def __init__(self, host: str, port: int, secure: SecureDialer | None = None) -> None:
        self.host = host
        self.port = port
        self.secure = secure
        self.in_flight = 0


class FakeEngine:
    def __init__(self) -> None:
        self.upstreams: dict[tuple[str, int], FakeUpstream] = {}

    def upstream(self, host: str, port: int, *, secure: SecureDialer | None = None) -> Upstream:
        return cast("Upstream", self.upstreams.setdefault((host, port), FakeUpstream(host, port, secure)))

    def discard(self, upstream: Upstream) -> None:
        del self.upstreams[upstream.host, upstream.port]


class Story:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeClock()
        self.engine = FakeEngine()
        self.registry = Registry()
        self.services = Informer(self.api, CORE_SERVICE, clock=self.clock)
        self.slices = Informer(self.api, ENDPOINT_SLICE, clock=self.clock)
        self.balancer = Balancer(
            self.services,
            EndpointTracker(self.slices),
            self.engine,
            GatewayMetrics(self.registry),
            secure=lambda _: SECURE,
            clock=self.clock,
            rng=random.Random(1),
        )

    async def put(self, *addresses: str, name: str = "hello", **options: Any) -> None:
        self.api.put(CORE_SERVICE, service(name, **{options.get("port", "http"): 80}))
        for obj in slices(name, *addresses, **options):
            self.api.put(ENDPOINT_SLICE, obj)
        await self.clock.advance(0)

    def ports(self, pool: Pool) -> list[int]:
        return [upstream.port for upstream in pool.upstreams]


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    story = Story()
    async with running({"services": story.services.run(), "slices": story.slices.run()}):
        await story.clock.advance(0)
        yield story


async def test_a_backends_endpoints_are_those_of_its_services_port(story: Story) -> None:
    pool = story.balancer.pool(HELLO)
    assert pool.choose() is None

    await story.put("10.0.0.1:8012", "10.0.0.2:8012", port="http2")
    assert story.ports(pool) == [8012, 8012]
    assert story.balancer.pool(Backend("default", "hello", "http2")).upstreams == pool.upstreams
    assert story.balancer.pool(Backend("default", "hello", 81)).upstreams == []


@pytest.mark.parametrize("plain", ["http", "http2"])
async def test_a_port_named_https_is_dialed_with_tls_and_speaks_what_the_port_beside_it_does(
    story: Story, plain: str
) -> None:
    story.api.put(CORE_SERVICE, service("hello", **{plain: 80, "https": 443}))
    for obj in slices("hello", "10.0.0.1:8112", port="https"):
        story.api.put(ENDPOINT_SLICE, obj)
    await story.clock.advance(0)

    pool = story.balancer.pool(Backend("default", "hello", 443))

    assert [(one.port, one.secure) for one in pool.upstreams] == [(8112, SECURE)]
    assert pool.http2 == (plain == "http2")


async def test_endpoints_that_are_not_ready_are_none(story: Story) -> None:
    await story.put("10.0.0.1:1", ready=False)
    assert story.balancer.pool(HELLO).choose() is None


async def test_the_less_busy_of_two_is_chosen(story: Story) -> None:
    await story.put("10.0.0.1:1", "10.0.0.1:2")
    pool = story.balancer.pool(HELLO)
    pool.upstreams[0].in_flight = 5

    assert {pool.choose() for _ in range(20)} == {pool.upstreams[1]}


async def test_many_idle_endpoints_share_the_requests(story: Story) -> None:
    await story.put(*(f"10.0.0.1:{port}" for port in range(1, 11)))
    pool = story.balancer.pool(HELLO)
    for _ in range(1000):
        chosen = pool.choose()
        assert chosen is not None
        chosen.in_flight += 1

    counts = Counter(upstream.in_flight for upstream in pool.upstreams)
    assert min(counts) >= 97
    assert max(counts) <= 103


async def test_one_that_failed_is_passed_over_for_a_moment_while_there_are_others(story: Story) -> None:
    await story.put("10.0.0.1:1", "10.0.0.1:2")
    pool = story.balancer.pool(HELLO)
    first, second = pool.upstreams
    pool.suspect(first)
    assert {pool.choose() for _ in range(20)} == {second}
    assert pool.choose([second]) is first
    assert pool.choose([first, second]) is None

    await story.clock.advance(SUSPECT_SECONDS)
    assert {pool.choose() for _ in range(20)} == {first, second}


async def test_changes_are_told_once_and_unchanged_endpoints_keep_their_connections(story: Story) -> None:
    await story.put("10.0.0.1:1")
    pool = story.balancer.pool(HELLO)
    told: list[Pool] = []
    story.balancer.on_change(told.append)
    kept = pool.upstreams[0]
    await story.put("10.0.0.1:1", "10.0.0.1:2")
    await story.put("10.0.0.1:1", "10.0.0.1:2")

    assert told == [pool]
    assert pool.upstreams[0] is kept

    story.api.remove(ENDPOINT_SLICE, "default", "hello-0")
    await story.clock.advance(0)
    assert list(story.engine.upstreams) == [("10.0.0.1", 2)]


async def test_an_address_that_several_backends_share_is_given_up_by_the_last(story: Story) -> None:
    other = Backend("default", "other", 80)
    await story.put("10.0.0.1:1")
    await story.put("10.0.0.1:1", name="other")
    story.balancer.pool(HELLO)
    story.balancer.pool(other)
    told: list[Pool] = []
    story.balancer.on_change(told.append)
    story.balancer.drop(HELLO)
    story.balancer.drop(HELLO)
    assert [(pool.backend, pool.dropped) for pool in told] == [(HELLO, True)]
    assert len(story.engine.upstreams) == 1

    story.balancer.drop(other)
    assert story.engine.upstreams == {}
    assert b"hello" not in story.registry.render()


async def test_slices_in_pieces_of_either_family_are_one_service(story: Story) -> None:
    pool = story.balancer.pool(HELLO)
    first, second, third = slices("hello", "10.0.0.1:8012", "10.0.0.2:8012", "10.0.0.3:9012")
    second["endpoints"][0]["addresses"] = ["fd00::2"]
    third["endpoints"].append({"addresses": ["10.0.0.1"], "conditions": {"ready": True}})
    story.api.put(CORE_SERVICE, service("hello", http=80))
    for obj in (first, second, third):
        story.api.put(ENDPOINT_SLICE, kept.endpoint_slice(obj))
    await story.clock.advance(0)
    assert {(one.host, one.port) for one in pool.upstreams} == {
        ("10.0.0.1", 8012),
        ("fd00::2", 8012),
        ("10.0.0.3", 9012),
        ("10.0.0.1", 9012),
    }

    story.api.remove(ENDPOINT_SLICE, "default", "hello-2")
    await story.clock.advance(0)
    assert {(one.host, one.port) for one in pool.upstreams} == {("10.0.0.1", 8012), ("fd00::2", 8012)}


async def test_those_that_leave_serve_until_another_is_ready(story: Story) -> None:
    pool = story.balancer.pool(HELLO)
    old, new = slices("hello", "10.0.0.1:8012", "10.0.0.2:8012")
    old["endpoints"][0]["conditions"] = {"ready": False, "serving": True, "terminating": True}
    story.api.put(CORE_SERVICE, service("hello", http=80))
    story.api.put(ENDPOINT_SLICE, kept.endpoint_slice(old))
    await story.clock.advance(0)
    assert [one.host for one in pool.upstreams] == ["10.0.0.1"]

    story.api.put(ENDPOINT_SLICE, new)
    await story.clock.advance(0)
    assert [one.host for one in pool.upstreams] == ["10.0.0.2"]
