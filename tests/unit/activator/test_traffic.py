"""One revision's requests: order, retries, headers and answers, on an engine that only takes notes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from activator.application import Activator
from activator.metrics import Metrics
from activator.observing import Observers
from activator.probe_answers import Health
from activator.probing import Prober
from activator.reporter import ConcurrencyReporter
from activator.traffic import Shared, Traffic
from activator.waiting_page import Visits
from upwell.api.names import LABEL_SLICE_SERVICE
from upwell.api.objects import Object
from upwell.api.resources import ENDPOINT_SLICE, POD_AUTOSCALER, REVISION, Resource
from upwell.clock import FakeClock
from upwell.cluster.endpoints import Address, EndpointTracker
from upwell.cluster.informer import Informer
from upwell.http import Engine, Exchange, FailureKind, Outcome, RequestHead, UpstreamFailure
from upwell.http.message import read_request_head
from upwell.policy.waiting_room import WaitingRoom

REFUSED = UpstreamFailure(FailureKind.CONNECT_REFUSED, "dial tcp 10.0.0.1:8012: connect: refused", True, False)
RESET = UpstreamFailure(FailureKind.RESET, "connection reset", False, True)
UPLOAD_HEADERS = "Knative-Serving-Namespace: default\r\nKnative-Serving-Revision: hello\r\nContent-Length: 100000\r\n"
OTHER_HEADERS = "Knative-Serving-Namespace: default\r\nKnative-Serving-Revision: other\r\n"
REVISION_HEADERS = "Knative-Serving-Namespace: default\r\nKnative-Serving-Revision: hello\r\n"


class NotedExchange:
    """Takes the place of an engine's exchange."""

    def __init__(self, app: Activator, headers: str = REVISION_HEADERS) -> None:
        self.app = app
        self.request: RequestHead = read_request_head(
            f"GET / HTTP/1.1\r\nHost: hello.example.com\r\n{headers}\r\n".encode(), "1.2.3.4"
        )
        self.context: Any = None
        self.started = 0.0
        self.attempts = 0
        self.status = 0
        self.request_bytes = self.response_bytes = 0
        self.on_head: Any = None
        self.outcome: Outcome | None = None
        self.retry_unsent = False
        self.request_bytes = 0
        self.request_complete = not self.request.has_body
        self.on_kept: Any = None
        self.held = False
        self.went_to: list[str] = []
        self.forwarded: dict[str, Any] = {}
        self.answer: tuple[int, dict[bytes, bytes], bytes] | None = None
        self.timeouts: tuple[Any, ...] = ()

    def set_timeouts(self, *seconds: float, body: bytes) -> None:
        self.timeouts = (*seconds, body)

    def hold_body(self) -> None:
        self.held = True

    def sends(self, size: int) -> None:
        """More of the body has come in."""
        self.request_bytes += size
        if self.on_kept is not None:
            self.on_kept(self, size)

    def forward(self, upstream: "NotedUpstream", **arguments: Any) -> None:
        self.attempts += 1
        self.went_to.append(upstream.host)
        self.forwarded = arguments

    def respond(self, status: int, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b"") -> None:
        self.status = status
        self.answer = (status, dict(headers), body)
        self.end(Outcome.COMPLETED)

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.app.exchange_ended(cast("Exchange", self))

    def arrive(self) -> "NotedExchange":
        self.app.request_received(cast("Exchange", self))
        return self

    def fail(self, failure: UpstreamFailure) -> None:
        self.app.upstream_failed(cast("Exchange", self), failure)

    def succeed(self) -> None:
        self.status = 200
        self.end(Outcome.COMPLETED)


class NotedUpstream:
    def __init__(self, host: str) -> None:
        self.host = host


class NotedEngine:
    def __init__(self) -> None:
        self.discarded: list[str] = []

    def upstream(self, host: str, _port: int) -> NotedUpstream:
        return NotedUpstream(host)

    def discard(self, upstream: NotedUpstream) -> None:
        self.discarded.append(upstream.host)


class WillingProber:
    """Every pod says yes at once, but those that the test silences."""

    def __init__(self) -> None:
        self.silent: set[str] = set()

    async def until_ready(self, address: Address) -> float:
        if address.host in self.silent:
            await asyncio.get_running_loop().create_future()
        return 0.0


class Story:
    """An activator whose caches the test fills by hand."""

    def __init__(self, tasks: asyncio.TaskGroup, queue_limit: int, room: WaitingRoom) -> None:
        self.engine = NotedEngine()
        self.room = room
        self.prober = WillingProber()
        self.metrics = Metrics()
        self.clock = FakeClock()
        self.reporter = ConcurrencyReporter("me", lambda _: None, self.clock, self.metrics.concurrency)
        engine, prober = cast("Engine", self.engine), cast("Prober", self.prober)
        observers = Observers(self.metrics, self.clock)
        self.visits = Visits(self.reporter.request_out, self.clock)
        shared = Shared(
            engine,
            prober,
            tasks,
            self.reporter,
            self.metrics,
            observers,
            self.visits,
            self.clock,
            queue_limit,
            self.room,
        )
        self.revisions, self.slices = informer(REVISION), informer(ENDPOINT_SLICE)
        self.activator = Activator(
            shared,
            self.revisions,
            informer(POD_AUTOSCALER),
            EndpointTracker(self.slices),
            Health(),
            cluster_domain="cluster.local",
            self_address=lambda _: Address("10.8.0.1", 8012),
        )

    def has_revision(self, concurrency: int = 1, name: str = "hello") -> None:
        spec = {"containerConcurrency": concurrency, "timeoutSeconds": 30, "idleTimeoutSeconds": 5}
        put(self.revisions, {"metadata": {"namespace": "default", "name": name}, "spec": spec})

    async def has_pods(self, *hosts: str) -> None:
        endpoints = [{"addresses": [host], "conditions": {"ready": True}} for host in hosts]
        metadata = {"namespace": "default", "name": "s", "labels": {LABEL_SLICE_SERVICE: "hello-private"}}
        put(self.slices, {"metadata": metadata, "ports": [{"name": "http", "port": 8012}], "endpoints": endpoints})
        await settle()

    def request(self, headers: str = REVISION_HEADERS) -> NotedExchange:
        return NotedExchange(self.activator, headers).arrive()

    @property
    def traffic(self) -> Traffic:
        return self.activator._traffics["default", "hello"]


async def settle() -> None:
    """Let probes that were started come to their end."""
    for _ in range(5):
        await asyncio.sleep(0)


def informer(resource: Resource) -> Informer:
    return Informer(cast("Any", None), resource)


def put(where: Informer, obj: Object) -> None:
    where._apply("ADDED", obj)


@asynccontextmanager
async def story(
    concurrency: int = 1, *, queue_limit: int = 1000, started: bool = True, room: WaitingRoom | None = None
) -> AsyncIterator[Story]:
    async with asyncio.TaskGroup() as tasks:
        told = Story(tasks, queue_limit, room or WaitingRoom())
        told.has_revision(concurrency)
        told.has_revision(name="other")
        if started:
            told.activator.start()
        yield told
        told.activator.close()


async def test_a_request_that_failed_unsent_goes_on_before_all_that_wait() -> None:
    async with story() as told:
        first, second, third = told.request(), told.request(), told.request()
        await told.has_pods("10.0.0.1")
        await told.has_pods("10.0.0.1", "10.0.0.2")
        told.prober.silent.add("10.0.0.1")
        assert (first.went_to, second.went_to, third.went_to) == (["10.0.0.1"], ["10.0.0.2"], [])

        first.fail(REFUSED)
        assert first.went_to == ["10.0.0.1"]
        second.succeed()

        assert first.went_to == ["10.0.0.1", "10.0.0.2"]
        assert third.went_to == []
        first.succeed()
        assert third.went_to == ["10.0.0.2"]


async def test_a_pod_that_refused_gets_nothing_until_it_has_answered_a_probe() -> None:
    async with story(concurrency=0) as told:
        await told.has_pods("10.0.0.1")
        request = told.request()
        await settle()
        told.prober.silent.add("10.0.0.1")
        request.fail(REFUSED)
        await settle()

        assert told.request().went_to == []
        assert told.engine.discarded == ["10.0.0.1"]


async def test_what_must_not_be_sent_again_is_answered_502() -> None:
    async with story() as told:
        await told.has_pods("10.0.0.1")
        request = told.request()
        await settle()

        request.fail(RESET)

        assert request.answer is not None
        status, headers, body = request.answer
        assert (status, body) == (502, b"connection reset\n")
        assert headers[b"Upwell-Error"] == b"activator; reason=reset"
        assert told.traffic.throttler.idle


async def test_a_request_that_failed_ten_times_is_given_up() -> None:
    async with story(concurrency=0) as told:
        await told.has_pods("10.0.0.1")
        request = told.request()
        for _ in range(20):
            await settle()
            if request.answer is None:
                request.fail(REFUSED)

        assert request.attempts == 10
        assert request.answer is not None
        assert request.answer[1][b"Upwell-Error"] == b"activator; reason=connect-refused; unsent"


async def test_headers_are_changed_as_the_contract_says() -> None:
    async with story(concurrency=0) as told:
        await told.has_pods("10.0.0.1")
        plain = told.request()
        renamed = told.request(REVISION_HEADERS + "K-Original-Host: first.example.com\r\n")
        await settle()

        assert plain.forwarded["host"] == b"10.0.0.1:8012"
        assert plain.forwarded["add"] == (
            (b"K-Proxy-Request", b"activator"),
            (b"K-Original-Host", b"hello.example.com"),
        )
        assert renamed.forwarded["add"] == ((b"K-Proxy-Request", b"activator"),)
        assert plain.forwarded["remove"] >= {
            b"knative-serving-revision",
            b"knative-serving-namespace",
            b"k-network-hash",
        }
        assert b"k-original-host" not in renamed.forwarded["remove"]


async def test_the_revisions_timeouts_hold_from_the_arrival() -> None:
    async with story() as told:
        assert told.request().timeouts == (30.0, 0.0, 5.0, b"activator request timeout")


async def test_past_the_queue_limit_the_answer_is_503() -> None:
    async with story(queue_limit=1) as told:
        waiting, refused = told.request(), told.request()

        assert waiting.answer is None
        assert refused.answer is not None
        assert refused.answer[0] == 503


async def test_requests_for_a_revision_that_is_deleted_are_answered_404() -> None:
    async with story() as told:
        waiting = told.request()
        put_away = told.revisions.get("default", "hello")
        assert put_away is not None

        told.revisions._apply("DELETED", put_away)

        assert waiting.answer is not None
        assert waiting.answer[0] == 404
        again = told.request()
        assert again.answer is not None
        assert again.answer[0] == 404
        assert b"kn_revision_request_queued{" not in told.metrics.registry.render()


async def test_requests_wait_until_the_revisions_are_known() -> None:
    async with story(started=False, queue_limit=2) as told:
        early, unknown = told.request(), told.request("Knative-Serving-Namespace: a\r\nKnative-Serving-Revision: b\r\n")
        too_many = told.request()
        assert (early.answer, unknown.answer) == (None, None)
        assert too_many.answer is not None
        assert too_many.answer[0] == 503

        told.activator.start()

        assert early.answer is None
        assert unknown.answer is not None
        assert unknown.answer[0] == 404


async def test_a_crowd_is_sent_on_in_batches_and_others_get_their_turn_in_between() -> None:
    async with story(concurrency=0) as told:
        crowd = [told.request() for _ in range(200)]
        turns: list[int] = []

        def look() -> None:
            turns.append(sum(bool(one.went_to) for one in crowd))
            if turns[-1] < len(crowd):
                asyncio.get_running_loop().call_soon(look)

        look()
        await told.has_pods("10.0.0.1")

        assert [sent for sent in turns if sent] == [64, 128, 192, 200]
        assert told.room.requests == 0


async def test_one_revisions_crowd_leaves_places_for_another() -> None:
    async with story(room=WaitingRoom(10)) as told:
        crowd = [told.request() for _ in range(9)]
        other = told.request(OTHER_HEADERS)

        assert [one.answer is None for one in crowd] == [True] * 5 + [False] * 4
        assert other.answer is None
        assert told.room.requests == 6


async def test_where_bodies_have_used_up_their_bytes_only_requests_without_one_may_wait() -> None:
    async with story(room=WaitingRoom(bytes_most=1000)) as told:
        upload = told.request(UPLOAD_HEADERS)
        upload.sends(400)
        assert not upload.held
        upload.sends(200)
        assert upload.held
        second, plain = told.request(UPLOAD_HEADERS), told.request()

        assert second.answer is not None
        assert second.answer[0] == 503
        assert (upload.answer, plain.answer) == (None, None)
        assert told.room.bytes == 600
        upload.end(Outcome.CLIENT_GONE)
        assert (told.room.bytes, told.room.requests) == (0, 1)


async def test_the_body_of_a_request_that_comes_back_counts_again() -> None:
    async with story() as told:
        upload = told.request(UPLOAD_HEADERS)
        upload.sends(300)
        assert told.room.bytes == 300
        await told.has_pods("10.0.0.1")
        assert told.room.bytes == 0
        upload.sends(50)

        told.prober.silent.add("10.0.0.1")
        upload.fail(REFUSED)

        assert told.room.bytes == 350


async def test_nobody_waits_for_revisions_that_do_not_become_known() -> None:
    async with story(started=False) as told:
        early = told.request()
        assert early.answer is None

        told.activator.lose_patience()
        late = told.request()

        for refused in (early, late):
            assert refused.answer is not None
            status, headers, body = refused.answer
            assert (status, body) == (503, b"the revisions are not known yet\n")
            assert headers[b"Retry-After"] == b"1"
        told.activator.start()
        assert told.request().answer is None


async def test_nothing_is_left_behind_when_all_have_gone() -> None:
    async with story() as told:
        await told.has_pods("10.0.0.1")
        requests = [told.request() for _ in range(5)]
        await settle()
        for request in requests[1:]:
            request.end(Outcome.CLIENT_GONE)
        requests[0].succeed()

        throttler = told.traffic.throttler
        assert throttler.idle
        assert b'kn_revision_request_queued{k8s_namespace_name="default",kn_revision_name="hello"} 0.0' in (
            told.metrics.registry.render()
        )
        told.reporter.report()
        assert told.reporter.report() == []
