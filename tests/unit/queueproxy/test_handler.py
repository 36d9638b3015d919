"""The path of a request: the contract's tables 3.1, 5, 6, 7.2 and 9 at an engine that only takes notes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from queueproxy.drain import Drainer
from queueproxy.handler import Handler, RequestTimeouts
from queueproxy.readiness import Readiness
from tests.compiled import needs_plain_python
from upwell.clock import FakeClock
from upwell.http import Exchange, FailureKind, Upstream, UpstreamFailure
from upwell.policy.breaker import Breaker
from upwell.policy.request_stats import RequestStats

pytestmark = needs_plain_python

UPSTREAM = cast("Upstream", object())
ALWAYS_REMOVED = {b"knative-serving-revision", b"knative-serving-namespace"}


class Request:
    def __init__(self, headers: dict[str, str]) -> None:
        self.method = b"GET"
        self.target = b"/"
        self.version = (1, 1)
        self.note: Any = None
        self.fields = {name.lower().encode(): value.encode() for name, value in headers.items()}


class FakeExchange:
    """Takes notes of what the handler decides."""

    component = b"queueproxy"

    def __init__(self, headers: dict[str, str], started: float) -> None:
        self.request = Request(headers)
        self.started = started
        self.context: Any = None
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self.forwards: list[dict[str, Any]] = []
        self.timeouts: tuple[float, ...] = ()
        self.attempts = 0
        self.status = 0
        self.ended = False
        self.request_bytes = self.response_bytes = 0

    def respond(self, status: int, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b"") -> None:
        assert self.answer is None
        self.answer = (status, {name.decode().lower(): value.decode() for name, value in headers}, body)

    def forward(
        self,
        upstream: Upstream,
        *,
        host: bytes | None = None,
        remove: frozenset[bytes] = frozenset(),
        add: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        assert upstream is UPSTREAM
        self.attempts += 1
        self.forwards.append({"host": host, "remove": set(remove), "add": dict(add)})

    def set_timeouts(self, total: float = 0, response_start: float = 0, idle: float = 0) -> None:
        self.timeouts = (total, response_start, idle)

    @property
    def forwarded(self) -> bool:
        return bool(self.forwards)


class FakeReadiness:
    """An app that is ready when the test says so."""

    def __init__(self) -> None:
        self.probed = False
        self.waits: list[float] = []
        self.result: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def check(self) -> bool:
        self.waits.append(0)
        return await asyncio.shield(self.result)

    async def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return await asyncio.shield(self.result)


@dataclass
class Log:
    written: list[Any] = field(default_factory=list)

    def write(self, exchange: Any, seconds: float) -> None:
        self.written.append(exchange)


class World:
    """A handler and what it works with; to be made where the loop runs."""

    def __init__(self, limit: int = 0, timeouts: RequestTimeouts | None = None) -> None:
        self.clock = FakeClock()
        self.stats = RequestStats(self.clock.monotonic())
        self.breaker = Breaker[Exchange](limit, 10 * limit) if limit else None
        self.drainer = Drainer(30, self.clock)
        self.readiness = FakeReadiness()
        self.log = Log()
        self.handler = Handler(
            UPSTREAM,
            breaker=self.breaker,
            timeouts=timeouts or RequestTimeouts(300),
            stats=self.stats,
            drainer=self.drainer,
            readiness=cast("Readiness", self.readiness),
            tasks=cast("asyncio.TaskGroup", asyncio.get_running_loop()),
            now=self.clock.monotonic,
            request_log=self.log.write,
        )

    def request(self, **headers: str) -> FakeExchange:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        exchange = FakeExchange(fields, self.clock.monotonic())
        self.handler.request_received(cast("Exchange", exchange))
        return exchange

    def end(self, exchange: FakeExchange) -> None:
        exchange.ended = True
        self.handler.exchange_ended(cast("Exchange", exchange))

    def fail(self, exchange: FakeExchange, kind: FailureKind, *, retryable: bool, sent: bool) -> None:
        failure = UpstreamFailure(kind, "the reason", retryable, sent)
        self.handler.upstream_failed(cast("Exchange", exchange), failure)


@pytest.fixture
async def world() -> World:
    return World()


HEALTH = {"User_Agent": "kube-probe/1.30", "K_Network_Probe": "queue"}


# Probes: table 3.1


@pytest.mark.parametrize("agent", ["kube-probe/1.30", "Knative-Activator-Probe", "Knative-Autoscaling-Probe/2"])
async def test_a_health_check_with_nothing_to_probe_passes_at_once(world: World, agent: str) -> None:
    exchange = world.request(User_Agent=agent, K_Network_Probe="queue")

    assert exchange.answer == (200, {"upwell-sidecar": "1"}, b"queue")


@pytest.mark.parametrize("value", ["", "probe", "activator"])
async def test_a_health_check_with_another_header_value_is_400(world: World, value: str) -> None:
    exchange = world.request(User_Agent="kube-probe/1.30", K_Network_Probe=value)

    assert exchange.answer is not None
    assert exchange.answer[0] == 400
    assert exchange.answer[2] == f"unexpected probe header value: {value}\n".encode()


@pytest.mark.parametrize(("ready", "status", "body"), [(True, 200, b"queue"), (False, 503, b"")])
async def test_a_health_check_tells_what_the_probe_of_the_app_says(
    world: World, ready: bool, status: int, body: bytes
) -> None:
    world.readiness.probed = True
    exchange = world.request(**HEALTH)
    await asyncio.sleep(0)
    assert exchange.answer is None

    world.readiness.result.set_result(ready)
    await world.clock.advance(0)
    why = {} if ready else {"upwell-error": "queueproxy; reason=not-ready"}
    assert exchange.answer == (status, {"upwell-sidecar": "1", **why}, body)


@pytest.mark.parametrize(
    ("value", "wait"), [("1500", 1.5), ("99999999", 600.0), ("0", 0), ("-5", 0), ("x", 0), ("", 0), ("1" * 30, 0)]
)
async def test_upwell_wait_gives_the_callers_patience_in_milliseconds(world: World, value: str, wait: float) -> None:
    world.readiness.probed = True
    world.readiness.result.set_result(True)
    world.request(**HEALTH, Upwell_Wait=value)
    await asyncio.sleep(0)

    assert world.readiness.waits == [wait]


async def test_a_health_check_whose_caller_left_is_not_answered(world: World) -> None:
    world.readiness.probed = True
    exchange = world.request(**HEALTH)
    await asyncio.sleep(0)
    world.end(exchange)
    world.readiness.result.set_result(True)
    await world.clock.advance(0)

    assert exchange.answer is None


async def test_a_network_probe_echoes_its_hash(world: World) -> None:
    exchange = world.request(K_Network_Probe="probe", K_Network_Hash="override", User_Agent="Knative-Ingress-Probe")

    assert exchange.answer == (200, {"k-network-hash": "override"}, b"")


async def test_a_network_probe_without_a_hash_is_400(world: World) -> None:
    exchange = world.request(K_Network_Probe="probe")

    assert exchange.answer is not None
    assert (exchange.answer[0], exchange.answer[2]) == (
        400,
        b'a probe request must contain a non-empty "K-Network-Hash" header\n',
    )


@pytest.mark.parametrize(
    "headers", [{"K_Network_Probe": "queue"}, {"K_Network_Probe": "other"}, {"K_Kubelet_Probe": "q"}, {}]
)
async def test_anything_else_goes_to_the_app(world: World, headers: dict[str, str]) -> None:
    exchange = world.request(User_Agent="curl/8", **headers)

    assert exchange.forwarded
    assert exchange.answer is None


@pytest.mark.parametrize("headers", [HEALTH, {"K_Network_Probe": "probe"}, {"User_Agent": "kube-probe/1"}])
async def test_while_draining_probes_are_503_whatever_else_they_are(world: World, headers: dict[str, str]) -> None:
    draining = asyncio.create_task(world.drainer.drain_for_signal())
    await asyncio.sleep(0)
    exchange = world.request(**headers)
    draining.cancel()
    await world.drainer.close()

    assert exchange.answer is not None
    assert (exchange.answer[0], exchange.answer[2]) == (503, b"shutting down\n")


async def test_while_draining_a_request_is_served_and_starts_the_quiet_period_anew(world: World) -> None:
    draining = asyncio.create_task(world.drainer.drain_for_signal())
    await world.clock.advance(29)
    assert world.request().forwarded

    await world.clock.advance(29)
    assert not draining.done()
    await world.clock.advance(2)
    assert draining.done()


async def test_when_the_drain_begins_waiting_health_checks_are_answered(world: World) -> None:
    world.readiness.probed = True
    exchange = world.request(**HEALTH, Upwell_Wait="60000")
    await asyncio.sleep(0)
    draining = asyncio.create_task(world.drainer.drain_for_signal())
    await asyncio.sleep(0)
    world.end(exchange)
    draining.cancel()
    await world.drainer.close()

    assert exchange.answer is not None
    assert exchange.answer[0] == 503


# Headers: table 7.2


async def test_revision_headers_are_removed(world: World) -> None:
    (forward,) = world.request(Knative_Serving_Revision="r", Knative_Serving_Namespace="n").forwards

    assert forward == {"host": None, "remove": ALWAYS_REMOVED, "add": {}}


async def test_the_original_host_replaces_the_host(world: World) -> None:
    (forward,) = world.request(K_Original_Host="real.test").forwards

    assert forward["host"] == b"real.test"
    assert forward["remove"] == ALWAYS_REMOVED | {b"k-original-host"}


async def test_an_empty_original_host_changes_nothing(world: World) -> None:
    (forward,) = world.request(K_Original_Host="").forwards

    assert (forward["host"], forward["remove"]) == (None, ALWAYS_REMOVED)


async def test_forwarded_is_made_from_x_forwarded(world: World) -> None:
    (forward,) = world.request(X_Forwarded_For="1.2.3.4", X_Forwarded_Proto="https").forwards

    assert forward["add"] == {b"Forwarded": b"for=1.2.3.4;proto=https"}


async def test_a_forwarded_that_is_there_is_kept(world: World) -> None:
    (forward,) = world.request(X_Forwarded_For="1.2.3.4", Forwarded="for=9.9.9.9").forwards

    assert forward["add"] == {}
    assert b"forwarded" not in forward["remove"]


async def test_an_empty_forwarded_is_replaced(world: World) -> None:
    (forward,) = world.request(X_Forwarded_For="1.2.3.4", Forwarded="").forwards

    assert forward["add"] == {b"Forwarded": b"for=1.2.3.4"}
    assert b"forwarded" in forward["remove"]


# The breaker and the statistics


async def test_requests_over_the_limit_wait_and_follow_in_order() -> None:
    world = World(limit=1)
    first, second, third = world.request(), world.request(), world.request()
    assert [first.forwarded, second.forwarded, third.forwarded] == [True, False, False]

    world.end(first)
    assert [second.forwarded, third.forwarded] == [True, False]
    world.end(second)
    assert third.forwarded


async def test_a_request_over_the_queue_is_turned_away_and_still_counted() -> None:
    world = World(limit=1)
    admitted = [world.request() for _ in range(11)]
    rejected = world.request()

    assert all(exchange.answer is None for exchange in admitted)
    assert rejected.answer is not None
    status, headers, body = rejected.answer
    assert (status, body) == (503, b"pending request queue full\n")
    assert headers["retry-after"] == "1"
    assert headers["upwell-error"] == "queueproxy; reason=queue-full; unsent"
    assert world.stats.in_flight == 12
    world.end(rejected)
    assert world.stats.in_flight == 11
    assert not admitted[1].forwarded


async def test_who_leaves_the_queue_frees_its_place_and_starts_nobody() -> None:
    world = World(limit=1)
    running, gone, last = world.request(), world.request(), world.request()

    world.end(gone)
    assert not last.forwarded
    world.end(running)
    assert last.forwarded
    assert not gone.forwarded


async def test_a_kubelet_probe_by_header_passes_the_queue_uncounted_and_keeps_its_host() -> None:
    world = World(limit=1)
    world.request()
    probe = world.request(K_Kubelet_Probe="q", K_Original_Host="real.test")

    assert probe.forwards[0]["host"] is None
    assert world.stats.in_flight == 1
    world.end(probe)
    assert world.stats.in_flight == 1
    assert not world.log.written


@pytest.mark.parametrize(("value", "proxied"), [("activator", 1), ("Activator", 0), ("x", 0)])
async def test_only_the_exact_mark_makes_a_request_proxied(world: World, value: str, proxied: int) -> None:
    exchange = world.request(K_Proxy_Request=value)
    assert (world.stats.in_flight, world.stats.proxied_in_flight) == (1, proxied)

    world.end(exchange)
    assert (world.stats.in_flight, world.stats.proxied_in_flight) == (0, 0)


async def test_probes_answered_here_are_neither_counted_nor_logged(world: World) -> None:
    world.end(world.request(**HEALTH))
    world.end(world.request(K_Network_Probe="probe", K_Network_Hash="h"))
    assert world.stats.report(1).request_count == 0
    assert not world.log.written

    world.end(world.request())
    assert len(world.log.written) == 1


# Timeouts and failures


async def test_the_three_timeouts_are_armed_as_configured() -> None:
    world = World(timeouts=RequestTimeouts(300, 20, 5))

    assert world.request().timeouts == (300, 20, 5)


async def test_a_stale_connection_is_tried_again_and_then_no_more(world: World) -> None:
    exchange = world.request()
    for _ in range(2):
        world.fail(exchange, FailureKind.RESET, retryable=True, sent=True)
    assert exchange.attempts == 3

    world.fail(exchange, FailureKind.RESET, retryable=True, sent=True)
    assert exchange.attempts == 3
    assert exchange.answer is not None
    assert exchange.answer[0] == 502


@pytest.mark.parametrize(
    ("kind", "sent", "mark"),
    [
        (FailureKind.CONNECT_REFUSED, False, "queueproxy; reason=connect-refused; unsent"),
        (FailureKind.CONNECT_TIMEOUT, False, "queueproxy; reason=connect-timeout; unsent"),
        (FailureKind.RESET, True, "queueproxy; reason=reset"),
        (FailureKind.BAD_RESPONSE, True, "queueproxy; reason=bad-response"),
    ],
)
async def test_a_failure_is_502_with_its_reason_and_whether_the_app_saw_the_request(
    world: World, kind: FailureKind, sent: bool, mark: str
) -> None:
    exchange = world.request()
    world.fail(exchange, kind, retryable=not sent, sent=sent)

    assert exchange.answer is not None
    status, headers, body = exchange.answer
    assert (status, body, headers["upwell-error"]) == (502, b"the reason\n", mark)
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
