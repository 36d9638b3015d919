"""The requests of one revision on their way through this activator.

    arrive ──slot free──> forwarded ──────────────────────────────────────> ended: slot given back, next in line goes
      │                      │ pod could not take it, and it may be sent again       ▲
      └──no slot──> waits <──┘ (in front of all others)      ──client gone, time out─┘

Who waits and which pod is next is decided by `upwell.policy.throttler`; which pods there are, by `Backends`. Here
those decisions become calls to the engine, and the counts that the autoscaler and the metrics see.

What a waiting request keeps of its body counts against the process' total; where that is used up, nothing more is
read of bodies that wait, and requests that bring one are turned away. A crowd that is released goes in batches, with
a turn of the loop between them, so that others' requests do not wait for its end; and while a batch waits for
connections the next one does not go, so that requests reach the pods in their order and over few connections.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from activator.backends import Backends
from activator.cold_start import ColdStart
from activator.deadlines import deadline_passed, patience_of
from activator.metrics import Metrics, RevisionMetrics
from activator.network import Destination, Network
from activator.observing import Observers
from activator.probe_answers import text
from activator.reporter import ConcurrencyReporter
from activator.revisions import Revision
from activator.waiting_page import Visits, is_navigation
from upwell.api import names
from upwell.clock import Clock
from upwell.cluster.endpoints import Address
from upwell.http import Engine, Exchange, FailureKind, UpstreamFailure
from upwell.http.states import ExchangeState
from upwell.policy.picking import Pod
from upwell.policy.throttler import QueueFull, Throttler
from upwell.policy.waiting_room import Share, WaitingRoom

if TYPE_CHECKING:
    from activator.probing import Prober
    from upwell.telemetry.request_trace import Trace

__all__ = ["QUEUE_FULL", "Passage", "Shared", "Traffic"]

CONNECTING: Final = ExchangeState.CONNECTING
ATTEMPTS_MOST: Final = 10
"""Each failed attempt takes a pod out until it answers again, so a request that comes here has met ten of them."""
TIMEOUT_BODY: Final = b"activator request timeout"
_ERROR: Final = names.HEADER_ERROR.encode()
QUEUE_FULL: Final = text(
    503, b"pending request queue full", (b"Retry-After", b"1"), (_ERROR, b"activator; reason=queue-full; unsent")
)
_REMOVED: Final = frozenset(
    name.lower().encode()
    for name in (names.HEADER_PROXY, names.HEADER_REVISION, names.HEADER_NAMESPACE, names.HEADER_HASH)
)
_ORIGINAL_HOST: Final = names.HEADER_ORIGINAL_HOST.encode()
_REMOVED_WITH_HOST: Final = _REMOVED | {_ORIGINAL_HOST.lower()}
BATCH: Final = 64
"""As many waiting requests are sent on at once: about a millisecond or two of the loop's time."""
CONNECT_PAUSE: Final = 0.001
"""Seconds until a crowd is looked at again whose last ones wait for connections."""
CONNECT_PATIENCE: Final = 0.05
"""Seconds after which one that still waits for a connection holds up nobody behind it."""
_UNREACHED: Final = (FailureKind.CONNECT_REFUSED, FailureKind.CONNECT_TIMEOUT, FailureKind.UNSENT)


class Shared:
    """What all revisions use together."""

    def __init__(
        self,
        engine: Engine,
        network: Network,
        prober: "Prober",
        tasks: asyncio.TaskGroup,
        reporter: ConcurrencyReporter,
        metrics: Metrics,
        observers: Observers,
        visits: Visits,
        clock: Clock,
        queue_limit: int,
        room: WaitingRoom,
        worker: tuple[int, int] = (0, 1),
    ) -> None:
        self.engine = engine
        self.network = network
        self.prober = prober
        self.tasks = tasks
        self.reporter = reporter
        self.metrics = metrics
        self.observers = observers
        self.visits = visits
        self.clock = clock
        self.queue_limit = queue_limit
        self.room = room
        self.worker = worker
        """This process' number among those of the activator, and their count."""


class Passage:
    """One request's state here; the exchange's context."""

    __slots__ = (
        "address",
        "cold",
        "deadline",
        "first_byte",
        "forwarded",
        "kept",
        "pod",
        "queued",
        "trace",
        "traffic",
        "visit",
    )

    def __init__(self, traffic: "Traffic") -> None:
        self.traffic = traffic
        self.pod: Pod | None = None
        """Whose slot it has; None while it waits."""
        self.address: Address | None = None
        """Where it was sent last."""
        self.queued = 0.0
        """When it began to wait, 0 if it did not."""
        self.kept = 0
        """Bytes of its body that count as kept for waiting."""
        self.cold = False
        """Whether there was no pod at all when it came."""
        self.forwarded = 0.0
        """When it was first sent to a pod, if it had to wait for one."""
        self.first_byte = 0.0
        """When the answer began; only of cold ones."""
        self.trace: Trace | None = None
        self.deadline: asyncio.TimerHandle | None = None
        """Ends its wait when its caller no longer waits."""
        self.visit = 0
        """Seconds until its sender should be back, if it was answered with the waiting page."""


class Traffic:
    """One revision's throttler, pods and counters."""

    def __init__(self, revision: Revision, shared: Shared) -> None:
        self.revision = revision
        self.throttler: Throttler[Exchange] = Throttler(
            revision.container_concurrency, shared.queue_limit, Share(shared.room), shared.worker
        )
        self.cold_start = ColdStart()
        self.backends = Backends(shared.prober, shared.tasks, shared.clock, self.cold_start, self)
        self._shared = shared
        self._addresses: dict[str, Address] = {}
        self._metrics = RevisionMetrics(shared.metrics, revision)
        self._gone: tuple[int, Any, bytes] | None = None
        """What requests are answered once the revision is gone."""
        self._pumping = False
        """Whether the next batch is due, in the loop's next turn or soon after."""
        self._connecting: list[tuple[Exchange, float]] = []
        """Of those that were sent on after a wait, the ones that may not have a connection yet, and since when."""

    # What the application reports.

    def arrive(self, exchange: Exchange) -> None:
        """A request for this revision."""
        revision = self.revision
        passage = exchange.context = Passage(self)
        # Told before anything else: at zero, this is what starts a pod.
        self._shared.reporter.request_in(revision)
        tracing = self._shared.observers.tracing
        if tracing is not None:
            passage.trace = tracing.begin(exchange.request.fields)
        exchange.retry_unsent = True
        exchange.set_timeouts(
            revision.timeout, revision.response_start_timeout, revision.idle_timeout, body=TIMEOUT_BODY
        )
        try:
            pod = self.throttler.admit(exchange)
        except QueueFull:
            exchange.respond(*QUEUE_FULL)
            return
        if pod is not None:
            self._forward(exchange, passage, pod)
            return
        passage.queued = self._shared.clock.monotonic()
        passage.cold = not self._addresses
        self._metrics.queued.value += 1
        if exchange.request.has_body and not self._keep_body(exchange, passage):
            exchange.respond(*QUEUE_FULL)
            return
        self._watch_deadline(exchange, passage)
        if passage.cold:
            self._wait_cold(exchange, passage)

    def _wait_cold(self, exchange: Exchange, passage: Passage) -> None:
        """There is no pod at all: people are shown a page where the revision has one, programs wait."""
        page = self.revision.waiting_page
        if page is not None and is_navigation(exchange.request):
            passage.visit = page.refresh
            self._metrics.page_shown()
            exchange.respond(*page.answer())
        else:
            self._shared.observers.waits_for_pod(exchange)

    def ended(self, exchange: Exchange, passage: Passage) -> None:
        """A request is over, whatever became of it."""
        if passage.pod is not None:
            self._leave_pod(passage)
            self._pump()
        elif self.throttler.cancel(exchange):
            self._stopped_waiting(passage)
        if passage.visit:
            self._shared.visits.add(self.revision.key, passage.visit)
        else:
            self._shared.reporter.request_out(self.revision.key)
        self._observe(exchange, passage)

    def failed(self, exchange: Exchange, passage: Passage, failure: UpstreamFailure) -> None:
        """The pod could not answer: try again where the failure table allows it, else say so."""
        assert passage.address is not None, "only a forwarded request fails"
        self._leave_pod(passage)
        if self._gone is not None:
            exchange.respond(*self._gone)
        elif failure.retryable and exchange.attempts < ATTEMPTS_MOST:
            self._metrics.retries.inc()
            self._metrics.queued.value += 1
            self.throttler.put_back(exchange)
            self._keep(passage, exchange.request_bytes)
            self._watch_deadline(exchange, passage)
        else:
            exchange.respond(*_failed_answer(failure))
        # After the request is back in line: what follows gives free slots away, and it comes first.
        # Behind a Service there are other pods than the one that could not pass a request on.
        if failure.kind in _UNREACHED and not (self.throttler.uses_service and failure.kind is FailureKind.UNSENT):
            self.backends.suspect(passage.address)
        self._pump()

    # What the cluster says.

    def set_endpoints(self, ready: list[Address], not_ready: list[Address]) -> None:
        """The revision's pods, as Kubernetes sees them."""
        self.backends.update(ready, not_ready, self._shared.network.reach(self.revision))

    def reroute(self) -> None:
        """The way to the pods may be another now, whichever pods there are."""
        for pod in self.throttler.listed:
            self._forget_way(pod)

    def set_activators(self, count: int, index: int) -> None:
        """This activator's place among those in front of the revision."""
        self.throttler.set_activators(count, index)
        self._pump()

    def close(self, status: int, headers: Any, body: bytes) -> None:
        """The revision is gone: whoever waits for it gets this answer, and whoever would have to go to another pod."""
        self._gone = (status, headers, body)
        self.backends.close()
        for exchange in self.throttler.waiting_items():
            exchange.respond(status, headers, body)
        self.use_pods([])
        self._metrics.close()

    # What the backends say.

    def use_pods(self, addresses: list[Address]) -> None:
        self._addresses = {str(address): address for address in addresses}
        for pod in self.throttler.set_pods(self._addresses):
            self._forget_way(pod)
        self._pump()

    def use_service(self, address: Address, pods: int) -> None:
        self._addresses = {str(address): address}
        for pod in self.throttler.set_service(str(address), pods):
            self._forget_way(pod)
        self._pump()

    # What follows.

    def _keep_body(self, exchange: Exchange, passage: Passage) -> bool:
        """A request with a body waits: count what it brings; False when it cannot be kept."""
        if not self.throttler.share.has_room_for_bytes:
            return False
        self._keep(passage, exchange.request_bytes)
        if not exchange.request_complete:
            exchange.on_kept = self._body_grew
        return True

    def _body_grew(self, exchange: Exchange, size: int) -> None:
        passage: Passage = exchange.context
        if passage.pod is None:
            self._keep(passage, size)
            if not self.throttler.share.has_room_for_bytes:
                exchange.hold_body()

    def _keep(self, passage: Passage, size: int) -> None:
        passage.kept += size
        self.throttler.share.keep(size)

    def _watch_deadline(self, exchange: Exchange, passage: Passage) -> None:
        """See that it leaves the queue when its caller has given up."""
        patience = patience_of(exchange.request)
        if patience is not None and patience < self.revision.timeout:
            left = exchange.started + patience - self._shared.clock.monotonic()
            loop = asyncio.get_running_loop()
            passage.deadline = loop.call_later(
                max(0.0, left), lambda: exchange.respond(*deadline_passed(exchange.request))
            )

    def _stopped_waiting(self, passage: Passage) -> None:
        self._metrics.queued.value -= 1
        if passage.deadline is not None:
            passage.deadline.cancel()
            passage.deadline = None
        if passage.kept:
            self.throttler.share.drop(passage.kept)
            passage.kept = 0

    def _pump(self) -> None:
        """Send on those for whom there is a slot, a batch of them in each turn of the loop."""
        if self._pumping:
            return
        if not self.throttler.waiting:
            self._connecting.clear()
            return
        if self._connecting and not self._may_connect():
            self._pumping = True
            asyncio.get_running_loop().call_later(CONNECT_PAUSE, self._pump_on)
            return
        for _ in range(BATCH):
            taken = self.throttler.take()
            if taken is None:
                return
            exchange, pod = taken
            passage: Passage = exchange.context
            self._stopped_waiting(passage)
            now = self._shared.clock.monotonic()
            if passage.queued and not passage.forwarded:
                passage.forwarded = now
            self._forward(exchange, passage, pod)
            if exchange.state is CONNECTING:
                self._connecting.append((exchange, now))
        self._pumping = True
        asyncio.get_running_loop().call_soon(self._pump_on)

    def _pump_on(self) -> None:
        self._pumping = False
        self._pump()

    def _may_connect(self) -> bool:
        """Whether less than a batch of those sent on still wait for a connection, and have not for long."""
        since = self._shared.clock.monotonic() - CONNECT_PATIENCE
        self._connecting = [
            (exchange, at) for exchange, at in self._connecting if exchange.state is CONNECTING and at > since
        ]
        return len(self._connecting) < BATCH

    def _forward(self, exchange: Exchange, passage: Passage, pod: Pod) -> None:
        passage.pod = pod
        self._metrics.active.value += 1
        destination: Destination | None = pod.target
        if destination is None:
            destination = pod.target = self._shared.network.destination(
                self.revision, self._addresses[pod.address], is_service=self.throttler.uses_service
            )
        passage.address = destination.address
        request = exchange.request
        remove: frozenset[bytes]
        add: tuple[tuple[bytes, bytes], ...]
        if request.fields.get(b"k-original-host"):
            remove, add = _REMOVED, destination.add
        else:
            remove, add = _REMOVED_WITH_HOST, (*destination.add, (_ORIGINAL_HOST, request.host))
        trace = passage.trace
        if trace is not None:
            remove, add = remove | trace.remove, (*add, *trace.add)
        exchange.forward(destination.upstream, host=destination.host, remove=remove, add=add)

    def _forget_way(self, pod: Pod) -> None:
        if pod.target is not None:
            self._shared.engine.discard(pod.target.upstream)
            pod.target = None

    def _leave_pod(self, passage: Passage) -> None:
        pod, passage.pod = passage.pod, None
        assert pod is not None
        self._metrics.active.value -= 1
        self.throttler.release(pod)

    def _observe(self, exchange: Exchange, passage: Passage) -> None:
        now = self._shared.clock.monotonic()
        started, observers = exchange.started, self._shared.observers
        proxied = now - (passage.forwarded or started) if exchange.attempts else None
        self._metrics.ended(exchange, now - started, proxied)
        if passage.cold or passage.trace is not None or observers.request_log is not None:
            observers.ended(exchange, passage, now)


def _failed_answer(failure: UpstreamFailure) -> Any:
    reason = b"activator; reason=" + failure.kind.value.encode() + (b"" if failure.sent else b"; unsent")
    return text(502, failure.message.encode(), (_ERROR, reason))
