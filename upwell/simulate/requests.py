"""The simulation request by request: a revision behind the activator, from one event to the next.

What decides is what decides in production: the throttler and its pickers, the sidecar's breaker, the running
statistics, windows, decider and plan. What is simulated is time, pods and the app. An arrival or an answer is an
event; once a second the reporters report and the pods are scraped, every two seconds there is a decision; pods
become ready and timers run out in between. No object is made for a request: it is a number, its times lie in arrays.

    arrive ──Proxy──> throttler ──slot──> sidecar's breaker ──slot──> app ──> answered
       └────Serve───> one of two pods at random ──┘                └── 503, 504

One activator and one gateway are simulated, and a scrape is never late or lost. While a revision is at zero and
nothing is on its way, the clock goes to the next arrival at once.
"""

import math
import random
from array import array
from collections import Counter
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from upwell.policy.activator_load import WAKING, ActivatorLoad, ActivatorReport
from upwell.policy.breaker import REJECTED, RUNNING
from upwell.policy.capacity import ScrapeAverage, sample_size, scrape_average
from upwell.policy.decider import DECISION_TICK
from upwell.policy.picking import LeastLoadedOfTwo
from upwell.policy.picking import Pod as Slot
from upwell.policy.request_stats import StatsReport
from upwell.policy.sampling import candidates
from upwell.policy.throttler import QueueFull, Throttler
from upwell.simulate.fleet import Fleet, SimulatedPod
from upwell.simulate.policy import PodModel, Policy
from upwell.simulate.recording import Latencies, Outcome, Point, Timeline, latency_over_time
from upwell.simulate.scaling import Scaling
from upwell.simulate.traces import Requests

__all__ = ["simulate_requests"]

NOT_ANSWERED: Final = -1.0
QUEUE_FULL: Final = "activator's queue full"
SIDECAR_FULL: Final = "pod's queue full"
TIMED_OUT: Final = "timed out"
ACTIVATOR_QUEUE: Final = 10_000
"""Requests that may wait in the activator for one revision."""
REST_PATIENCE: Final = 7200.0
"""Seconds after the last request in which the pods may come to rest; then the simulation ends as it stands."""


def simulate_requests(policy: Policy, pods: PodModel, requests: Requests, seed: int = 0) -> Outcome:
    """Try `policy` on `requests`; the same arguments have the same outcome."""
    simulation = _Simulation(policy, pods, requests, seed)
    simulation.run()
    return simulation.outcome()


class _Simulation:
    def __init__(self, policy: Policy, pods: PodModel, requests: Requests, seed: int) -> None:
        self._policy = policy
        self._requests = requests
        self._arrivals, self._durations = requests.arrivals, requests.durations
        self._latencies = array("d", [NOT_ANSWERED]) * len(requests.arrivals)
        self._scaling = Scaling(policy.settings, just_deployed=policy.just_deployed)
        self._fleet = Fleet(policy.container_concurrency, pods.cold_start, random.Random(f"pods {seed}"))
        self._line: Throttler[int] = Throttler(
            policy.container_concurrency, ACTIVATOR_QUEUE, rng=random.Random(f"activator {seed}").random
        )
        self._gateway = LeastLoadedOfTwo(random.Random(f"gateway {seed}").random)
        self._scrapes = random.Random(f"scrapes {seed}")
        self._activator: ActivatorLoad | None = None
        """What the activator counts; None while the revision is quiet."""
        self._direct_slots: dict[str, Slot] = {}
        self._direct = False
        """Whether requests go straight to a pod."""
        self._next = 0
        """The request that arrives next."""
        self._finishing: list[tuple[float, int, Slot, bool]] = []
        """A heap of (when, request, slot, whether it came through the activator)."""
        self._in_sidecar: dict[int, tuple[Slot, bool]] = {}
        """Requests that wait in a sidecar."""
        self._late: set[int] = set()
        """Requests that are cut off when they are in `_finishing` for the last time."""
        self._woken = False
        self._ended = 0
        self._cold: list[int] = []
        self._failed: Counter[str] = Counter()
        self._second = 0
        self._peak_pods = 0
        self._timeline = Timeline()
        self._noted: Point | None = None
        self._held: Point | None = None
        """A point that says the same as the one before, and is added when something changes."""
        self._pods = [(0.0, 0 if policy.just_deployed else self._scaling.replicas)]
        self._seen = 0
        self._now = 0.0

    # From moment to moment.

    def run(self) -> None:
        if self._policy.just_deployed:
            self._fleet.scale_to(self._scaling.replicas, 0.0)
        else:
            self._fleet.begin_with(self._scaling.replicas)
        self._route()
        last = self._arrivals[-1]
        while True:
            until = min(float(self._second), self._fleet.next_ready, self._scaling.look_again_at)
            self._pass_traffic(until)
            if self._woken:
                self._woken = False  # pods may be ready before the moment that was thought of
                continue
            self._now = until
            if self._fleet.become_ready(until):
                self._pods_changed(until)
            if self._scaling.look_again_at <= until:
                self._reconcile(until)
            if until == self._second:
                self._pass_second(until)
                if self._next == len(self._arrivals) and self._at_rest(until - last):
                    break
        self._pods.append((self._now, len(self._fleet.ready)))
        self._note_held()
        self._fleet.close(self._now)

    def _pass_traffic(self, until: float) -> None:
        """Arrivals and answers up to `until`, or to an arrival that wakes the revision."""
        arrivals, finishing, count = self._arrivals, self._finishing, len(self._arrivals)
        arrive, finish = self._arrive, self._finish
        while True:
            index = self._next
            arrival = arrivals[index] if index < count else math.inf
            if finishing and finishing[0][0] <= arrival:
                if finishing[0][0] > until:
                    return
                finish(*heappop(finishing))
            elif arrival > until or index == count:
                return
            else:
                self._next = index + 1
                arrive(arrival, index)
                if self._woken:
                    return

    def _at_rest(self, since_last: float) -> bool:
        if since_last > REST_PATIENCE + self._policy.timeout:
            return True
        if self._ended < len(self._arrivals) or self._activator or self._scaling.in_panic:
            return False
        return self._fleet.count == self._scaling.at_rest == self._scaling.replicas

    # A request.

    def _arrive(self, now: float, index: int) -> None:
        if self._direct:
            slot = self._gateway.reserve()
            assert slot is not None
            slot.target.stats.request_in(now)
            self._enter(now, index, slot, False)
            return
        activator = self._activator or self._wake(now)
        activator.stats.request_in(now)
        try:
            slot = self._line.admit(index)
        except QueueFull:
            self._fail(index, QUEUE_FULL)
            activator.stats.request_out(now)
            return
        if slot is not None:
            self._enter(now, index, slot, True)
        elif not self._fleet.ready:
            self._cold.append(index)

    def _enter(self, now: float, index: int, slot: Slot, proxied: bool) -> None:
        """A request has come to a pod."""
        pod: SimulatedPod = slot.target
        pod.in_flight += 1
        if pod.in_flight == 1:
            pod.busy_since = now
        if pod.breaker is not None:
            admission = pod.breaker.enter(index)
            if admission is not RUNNING:
                if admission is REJECTED:
                    self._fail(index, SIDECAR_FULL)
                    self._leave(now, slot, proxied)
                else:
                    self._in_sidecar[index] = slot, proxied
                return
        self._begin(now, index, slot, proxied)

    def _begin(self, now: float, index: int, slot: Slot, proxied: bool) -> None:
        """The app begins to work on it."""
        finish = now + self._durations[index]
        deadline = self._arrivals[index] + self._policy.timeout
        if finish > deadline:
            self._late.add(index)
            finish = max(now, deadline)
        heappush(self._finishing, (finish, index, slot, proxied))

    def _finish(self, now: float, index: int, slot: Slot, proxied: bool) -> None:
        if self._late and index in self._late:
            self._fail(index, TIMED_OUT)
        else:
            self._latencies[index] = now - self._arrivals[index]
            self._ended += 1
        breaker = slot.target.breaker
        if breaker is not None:
            following = breaker.leave(index)
            if following is not None:
                self._begin(now, following, *self._in_sidecar.pop(following))
        self._leave(now, slot, proxied)

    def _leave(self, now: float, slot: Slot, proxied: bool) -> None:
        pod: SimulatedPod = slot.target
        pod.in_flight -= 1
        if pod.in_flight == 0:
            self._fleet.idle(pod, now)
        if proxied:
            self._proxied_out(now)
            self._line.release(slot)
            self._pump(now)
        else:
            pod.stats.request_out(now)
            self._gateway.release(slot)

    def _proxied_out(self, now: float) -> None:
        assert self._activator is not None  # a request that is in flight keeps it
        self._activator.stats.request_out(now)

    def _pump(self, now: float) -> None:
        """Send on everyone for whom there is a slot."""
        while (taken := self._line.take()) is not None:
            index, slot = taken
            self._enter(now, index, slot, True)

    def _fail(self, index: int, reason: str) -> None:
        self._failed[reason] += 1
        self._ended += 1

    # The autoscaler.

    def _wake(self, now: float) -> ActivatorLoad:
        activator = self._activator = ActivatorLoad(now)
        self._take_report(now, WAKING)
        return activator

    def _take_report(self, now: float, report: ActivatorReport) -> None:
        """What the activator reports arrives."""
        scaling = self._scaling
        scaling.record(now, ScrapeAverage(report.concurrency, 0.0, report.requests, 0.0))
        before = scaling.replicas, scaling.serves
        scaling.poke(now, report.concurrency, len(self._fleet.ready))
        if before != (scaling.replicas, scaling.serves):
            self._woken = True
            self._apply(now)

    def _reconcile(self, now: float) -> None:
        self._scaling.reconcile(now, len(self._fleet.ready))
        self._apply(now)

    def _apply(self, now: float) -> None:
        """Have as many pods as are asked for, and send requests the way that is asked for."""
        if self._fleet.scale_to(self._scaling.replicas, now):
            self._pods_changed(now)
        self._peak_pods = max(self._peak_pods, self._fleet.count)
        self._direct = self._scaling.serves and bool(self._fleet.ready)

    def _pods_changed(self, now: float) -> None:
        self._route()
        self._pump(now)
        self._reconcile(now)

    def _route(self) -> None:
        """Where requests can go from now on."""
        pods = {pod.address: pod for pod in self._fleet.ready}
        self._line.set_pods(pods)
        for slot in self._line.assigned:
            slot.target = pods[slot.address]
        self._direct_slots = {address: self._direct_slots.get(address) or _slot(pod) for address, pod in pods.items()}
        self._gateway.assign(list(self._direct_slots.values()))
        self._direct = self._scaling.serves and bool(pods)
        if len(pods) != self._pods[-1][1]:
            self._pods.append((self._now, len(pods)))

    # Once a second.

    def _pass_second(self, now: float) -> None:
        if self._line.waiting:
            self._cut_off_late(now)
        if self._activator is not None:
            report, is_quiet = self._activator.report(now)
            if is_quiet:
                self._activator = None
            self._take_report(now, report)
        self._scrape(now)
        if now % DECISION_TICK == 0:
            before = self._scaling.replicas, self._scaling.serves
            self._scaling.tick(now, len(self._fleet.ready))
            if before != (self._scaling.replicas, self._scaling.serves):
                self._apply(now)
        self._woken = False
        self._note(now)
        self._second += 1
        if self._scaling.is_at_zero and self._fleet.count == 0 and self._activator is None:
            self._skip_to_next_arrival(now)

    def _scrape(self, now: float) -> None:
        ready = self._fleet.ready
        if not ready or not self._scaling.collection.spec.scrapes_pods:
            return
        wanted = sample_size(len(ready))
        settled = now - self._scaling.collection.spec.stable_window
        asked = islice(candidates(ready, wanted, settled, self._scrapes), wanted)
        reports = {pod.address: pod.stats.report(now) for pod in ready}
        loads = [_direct_load(reports[pod.address]) for pod in asked]
        self._scaling.record(now, scrape_average(loads, len(ready)))

    def _cut_off_late(self, now: float) -> None:
        """End those that waited in the activator for longer than a request may take."""
        for index in self._line.waiting_items():
            if self._arrivals[index] + self._policy.timeout > now:
                return
            self._line.cancel(index)
            self._proxied_out(now)
            self._fail(index, TIMED_OUT)

    def _skip_to_next_arrival(self, now: float) -> None:
        if self._next < len(self._arrivals):
            second = math.floor(self._arrivals[self._next])
            if second > self._second:
                self._note(float(second))
                self._second = second + 1

    def _note(self, now: float) -> None:
        """A point of the timeline, unless it would say the same as the one before."""
        fleet, scaling = self._fleet, self._scaling
        point = Point(
            now,
            len(fleet.ready),
            fleet.starting,
            fleet.draining,
            scaling.desired_scale,
            self._next - self._ended,
            self._line.waiting + len(self._in_sidecar),
            self._next - self._seen,
            scaling.in_panic,
            not self._direct,
        )
        self._seen = self._next
        if self._noted is not None and point.arrivals == 0 and point[1:] == self._noted[1:]:
            self._held = point
            return
        self._note_held()
        self._timeline.add(point)
        self._noted = point

    def _note_held(self) -> None:
        """The last moment of a stretch in which nothing changed."""
        if self._held is not None:
            self._timeline.add(self._held)
            self._held = None

    # The end.

    def outcome(self) -> Outcome:
        answered = [latency for latency in self._latencies if latency >= 0]
        cold = [self._latencies[index] for index in self._cold]
        worked = sum(d for d, latency in zip(self._durations, self._latencies, strict=True) if latency >= 0)
        return Outcome(
            policy=self._policy.name,
            settings=self._policy.described(),
            trace=self._requests.name,
            model="requests",
            seconds=self._now,
            requests=len(self._arrivals),
            failed=dict(self._failed),
            cold_starts=len(cold),
            pods_started=self._fleet.started,
            pod_seconds=self._fleet.pod_seconds,
            idle_seconds=self._fleet.idle_seconds,
            busy_request_seconds=worked,
            peak_pods=self._peak_pods,
            panics=self._scaling.panics,
            latency=Latencies.of(answered),
            cold_latency=Latencies.of([latency for latency in cold if latency >= 0]),
            pods=self._pods,
            timeline=self._timeline,
            latency_over_time=latency_over_time(self._arrivals, self._latencies),
        )


def _slot(pod: SimulatedPod) -> Slot:
    slot = Slot(pod.address, 0)
    slot.target = pod
    return slot


def _direct_load(report: StatsReport) -> ScrapeAverage:
    return ScrapeAverage(report.average_concurrency, 0.0, float(report.request_count), 0.0)
