"""An activator on an engine that only takes notes, with caches that a test fills by hand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from activator.application import Activator
from activator.metrics import Metrics
from activator.network import Network
from activator.observing import Observers
from activator.probe_answers import Health
from activator.probing import Answered, Heard, Prober
from activator.reporter import ConcurrencyReporter
from activator.traffic import Shared, Traffic
from activator.waiting_page import Visits
from upwell.api.names import LABEL_SLICE_SERVICE
from upwell.api.objects import Object
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, POD_AUTOSCALER, REVISION, Resource
from upwell.clock import FakeClock
from upwell.cluster.endpoints import Address, EndpointTracker
from upwell.cluster.informer import Informer
from upwell.http import Engine, Exchange, FailureKind, Outcome, RequestHead, UpstreamFailure
from upwell.http.message import read_request_head
from upwell.http.states import ExchangeState
from upwell.policy.waiting_room import WaitingRoom

REFUSED = UpstreamFailure(FailureKind.CONNECT_REFUSED, "dial tcp 10.0.0.1:8012: connect: refused", True, False)
UNSENT = UpstreamFailure(FailureKind.UNSENT, "the next hop could not pass it on", True, False)
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
        self.state = ExchangeState.PARKED
        self.started = 0.0
        self.attempts = 0
        self.status = 0
        self.request_bytes = self.response_bytes = 0
        self.on_head: Any = None
        self.outcome: Outcome | None = None
        self.retry_unsent = False
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
        self.state = ExchangeState.CONNECTING if upstream.busy_connecting else ExchangeState.SENT
        self.went_to.append(upstream.host)
        self.upstream = upstream
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
    busy_connecting = False
    """Whether requests that go there have to wait for a connection."""

    def __init__(self, host: str, port: int, secure: Any) -> None:
        self.host = host
        self.port = port
        self.secure = secure
        self.authority = f"{host}:{port}".encode()


class NotedEngine:
    def __init__(self) -> None:
        self.discarded: list[str] = []

    def upstream(self, host: str, port: int, *, secure: Any = None) -> NotedUpstream:
        return NotedUpstream(host, port, secure)

    def discard(self, upstream: NotedUpstream) -> None:
        self.discarded.append(upstream.host)


class WillingProber:
    """Every pod says yes at once, but those that the test silences."""

    def __init__(self) -> None:
        self.silent: set[str] = set()

    frequency = 0.2
    recheck = 5.0

    async def until_ready(self, address: Address, host: bytes | None, heard: Heard) -> float:
        if address.host in self.silent:
            heard(address, Answered.NOTHING)
            await asyncio.get_running_loop().create_future()
        return 0.0

    async def ask(self, address: Address) -> Answered:
        return Answered.NOTHING if address.host in self.silent else Answered.READY


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
        self.revisions, self.slices = informer(REVISION), informer(ENDPOINT_SLICE)
        self.services = informer(CORE_SERVICE)
        endpoints = EndpointTracker(self.slices)
        self.network = Network(engine, endpoints, self.services, lambda namespace: cast("Any", f"tls to {namespace}"))
        shared = Shared(
            engine,
            self.network,
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
        self.activator = Activator(
            shared,
            self.revisions,
            informer(POD_AUTOSCALER),
            self.services,
            endpoints,
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

    def has_service(self, cluster_ip: str) -> None:
        ports = [{"name": "http", "port": 80}, {"name": "https", "port": 443}]
        metadata = {"namespace": "default", "name": "hello-private"}
        put(self.services, {"metadata": metadata, "spec": {"clusterIP": cluster_ip, "ports": ports}})

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
