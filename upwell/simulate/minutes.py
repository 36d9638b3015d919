"""The simulation minute by minute: for counts of many functions over days, where each request would take too long.

The deciding code is the same as for single requests, fed with the same statistics every second and asked every two;
what is approximated is the traffic. Requests are evenly spaced in their minute, each takes the mean service time,
pods share the load evenly, and a queue is a fluid: what comes above the pods' capacity waits, first in, first out. So
chance makes no queues here, which matters most where containerConcurrency is 1.

Most of the time needs no look at all, and is passed in one step:

- at zero without a request, nothing happens;
- where the load of all minutes that the windows still see lies in a range of which both ends would be decided as
  things are, everything between would be too (a decision is monotonic in the load), so nothing changes;
- the same with any load at all as the lower end, for as long as each stable window holds a request.
"""

import heapq
import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from upwell.policy.activator_load import WAKING
from upwell.policy.capacity import ScrapeAverage, apply_bounds
from upwell.policy.collector import METRIC_RPS
from upwell.policy.decider import DECISION_TICK, DeciderState, Observation, decide
from upwell.simulate.arrivals import MINUTE, SpreadArrivals
from upwell.simulate.policy import PodModel, Policy
from upwell.simulate.scaling import Scaling
from upwell.simulate.traces import MinuteCounts

__all__ = ["FunctionRun", "simulate_minutes"]

TICK: Final = round(DECISION_TICK)
SECONDS: Final = round(MINUTE)
_SOME_LOAD: Final = 1e-9
_MOMENT: Final = 1e-6
TIMED_OUT: Final = "timed out"
QUEUE_FULL: Final = "activator's queue full"
QUEUE_MOST: Final = 10_000
REST_PATIENCE: Final = 120
"""Minutes after the last that the pods may take to come to rest."""


@dataclass(slots=True)
class FunctionRun:
    """What became of one function; the lists have a value per minute."""

    name: str
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    cold_starts: int = 0
    pods_started: int = 0
    pod_seconds: float = 0.0
    idle_seconds: float = 0.0
    peak_pods: int = 0
    panics: int = 0
    waits: defaultdict[float, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds waited, to two digits, and how many requests did; cold ones included."""
    cold_waits: defaultdict[float, float] = field(default_factory=lambda: defaultdict(float))
    ready: list[float] = field(default_factory=list)
    """The average over the minute, as all that follow."""
    starting: list[float] = field(default_factory=list)
    concurrency: list[float] = field(default_factory=list)
    queued: list[float] = field(default_factory=list)

    def figures(self) -> Mapping[str, object]:
        return {
            "function": self.name,
            "requests": self.requests,
            "failed": self.failed.total(),
            "cold_starts": self.cold_starts,
            "pods_started": self.pods_started,
            "peak_pods": self.peak_pods,
            "pod_seconds": round(self.pod_seconds, 3),
            "wasted_share": round(self.idle_seconds / self.pod_seconds, 6) if self.pod_seconds else 0.0,
        }


def simulate_minutes(policy: Policy, pods: PodModel, function: MinuteCounts, seed: int = 0) -> FunctionRun:
    """Try `policy` on one function's counts."""
    return _MinuteSimulation(policy, pods, function, random.Random(f"pods {seed} {function.name}")).run()


class _MinuteSimulation:
    def __init__(self, policy: Policy, pods: PodModel, function: MinuteCounts, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._cold_start = pods.cold_start
        self._duration = min(pods.service_time.mean, policy.timeout)
        self._counts = function.counts
        self._arrivals = SpreadArrivals(function.counts)
        self._run = FunctionRun(function.name, requests=sum(function.counts))
        self._settings = policy.settings
        self._scaling = Scaling(self._settings, just_deployed=policy.just_deployed)
        self._ready = 0 if policy.just_deployed else self._scaling.replicas
        self._starting: list[float] = []
        """A heap of when pods become ready."""
        self._queue: deque[tuple[float, float, bool]] = deque()
        """(arrived, how many, cold), in order."""
        self._queued = 0.0
        self._working = 0.0
        """Requests in service, while a queue is what decides how many."""
        self._recorded = 0
        """Up to when the windows know."""
        self._ready_since = 0.0
        """When the first of the present pods became ready."""
        spec = self._settings.decider
        seen = max(spec.stable_window, spec.scale_down_delay) + self._duration
        self._minutes_seen = math.ceil(seen / MINUTE)
        """Minutes before the present one whose requests may still matter to a decision in it."""
        self._woke = -math.inf
        """When the first request came of those that keep the present pods."""
        self._certified_for: tuple[object, ...] = ()
        """How things are for which the next two hold."""
        self._certified = (math.inf, -math.inf)
        """Requests per minute between which nothing changes."""
        self._certified_busy = -1.0
        """The same, from any load but none."""
        self._doubtful_minute = -1
        """The minute in which something may change, as things are."""
        self._sums = [0.0, 0.0, 0.0, 0.0]
        """Of the present minute: seconds times ready, starting, concurrency and queued."""

    def run(self) -> FunctionRun:
        minute = 0
        self._apply(0.0)
        while minute < len(self._counts) or not self._at_rest(minute):
            self._go_through(minute)
            minute += 1
        for _, waiting, _ in self._queue:
            self._run.failed[TIMED_OUT] += round(waiting)
        self._run.panics = self._scaling.panics
        return self._run

    def _count(self, minute: int) -> int:
        return self._counts[minute] if 0 <= minute < len(self._counts) else 0

    @property
    def _is_asleep(self) -> bool:
        return self._scaling.is_at_zero and not self._ready and not self._starting and not self._queued

    def _at_rest(self, minute: int) -> bool:
        if minute > len(self._counts) + REST_PATIENCE:
            return True
        scaling = self._scaling
        still = self._ready == scaling.at_rest == scaling.replicas and not self._starting and not self._queued
        return still and not scaling.in_panic

    def _go_through(self, minute: int) -> None:
        """One minute: in as few steps as what may happen in it allows."""
        self._sums = [0.0, 0.0, 0.0, 0.0]
        t = minute * SECONDS
        end = t + SECONDS
        while t < end:
            if self._is_asleep:
                following = self._arrivals.next_after(t) if self._count(minute) else None
                if following is None or following >= end:
                    break
                t = max(t, int(following) // TICK * TICK)
            quiet = min(end, self._quiet_until(t, minute))
            if quiet > t:
                self._pass(t, quiet)
                t = quiet
            else:
                self._catch_up(t)
                for second in (t, t + 1):
                    self._pass_second(second)
                t += TICK
                self._decide(t)
        run = self._run
        for values, total in zip((run.ready, run.starting, run.concurrency, run.queued), self._sums, strict=True):
            values.append(total / MINUTE)

    # How long nothing can change.

    def _quiet_until(self, t: int, minute: int) -> int:
        """A time, a whole number of ticks away, up to which each decision leaves things as they are; t when unknown."""
        scaling = self._scaling
        busy = self._starting or self._queued or scaling.look_again_at < math.inf
        if busy or not self._ready or self._ready != scaling.replicas:
            return t
        limit = math.inf
        if scaling.state.panic_since is not None:
            limit = scaling.state.panic_since + self._settings.decider.stable_window
        counts = [self._count(seen) for seen in range(minute - self._minutes_seen, minute + 1)]
        low, high = min(counts), max(counts)
        if t - self._woke < self._settings.decider.stable_window:
            return self._quiet_after_waking(t, minute, high, limit)
        key = (self._ready, scaling.serves, scaling.state.panic_since is not None, scaling.state.max_panic_pods)
        if key != self._certified_for:
            self._certified_for, self._certified, self._certified_busy = key, (math.inf, -math.inf), -1.0
            self._doubtful_minute = -1
        if minute == self._doubtful_minute:
            return t
        if self._is_certified(low, high):
            return int(min(limit, (minute + 1) * SECONDS) // TICK * TICK)
        if high <= self._certified_busy or self._changes_nothing(None, high):
            self._certified_busy = max(self._certified_busy, high)
            return int(min(limit, self._busy_until(t, minute)) // TICK * TICK)
        self._doubtful_minute = minute
        return t

    def _quiet_after_waking(self, t: int, minute: int, high: float, limit: float) -> int:
        """The same for windows that are not full yet, and average over the time since the waking request alone.

        In the n seconds since, whose first value was 1, the average is at most 1 + each above n times the load, over n.
        """
        filled = self._woke + self._settings.decider.stable_window
        if t - self._woke < TICK or not self._changes_nothing(None, high, 1 / (t - self._woke)):
            return t
        return max(t, int(min(limit, filled, self._busy_until(t, minute)) // TICK * TICK))

    def _is_certified(self, low: float, high: float) -> bool:
        """Whether nothing changes with requests per minute from `low` to `high`; what is known is kept."""
        lowest, highest = self._certified
        if lowest <= low and high <= highest:
            return True
        if not self._changes_nothing(low, high):
            return False
        self._certified = min(lowest, low), max(highest, high)
        return True

    def _busy_until(self, t: int, minute: int) -> float:
        """Up to which decision the stable window holds a request, looking no further than this minute.

        What arrives in second s is recorded at its end, s + 1, and in the window until s + 1 + window - 1.
        """
        window = self._settings.decider.stable_window
        end = (minute + 1) * MINUTE
        latest = self._arrivals.latest_before(t)
        until = -math.inf if latest is None else latest // 1 + window
        following = self._arrivals.next_after(t) if self._count(minute) else None
        while following is not None and following < end and following // 1 <= until:
            until = following // 1 + window
            following = self._arrivals.next_after(following + _MOMENT)
        return min(until, end)

    def _changes_nothing(self, low: float | None, high: float, waking: float = 0.0) -> bool:
        """Whether decisions at all loads from `low` to `high` requests per minute leave things as they are.

        None stands for any load but none. Evenly spaced requests make no queue up to their average in service,
        rounded up. In a window of w seconds there may be one more or less of them than on average. `waking` is what
        one more makes in a window that is not full, where the first value was 1.
        """
        spec, windows = self._settings.decider, self._settings.collection
        limit = self._policy.container_concurrency
        if limit and math.ceil(high / MINUTE * self._duration) > self._ready * limit:
            return False
        each = 1.0 if spec.metric == METRIC_RPS else self._duration
        shares = [1.0, 1.0] if windows.aggregation else [1 / windows.stable_window, 1 / windows.panic_window]
        lowest = [_SOME_LOAD if low is None else max(0.0, low / MINUTE * each - each * share) for share in shares]
        highest = [(high / MINUTE + max(share, waking)) * each + waking if high else 0.0 for share in shares]
        return self._keeps(*lowest) and self._keeps(*highest)

    def _keeps(self, stable: float, panic: float) -> bool:
        """Whether a decision on these averages means to leave things as they are, in or out of panic."""
        scaling, spec = self._scaling, self._settings.decider
        state = DeciderState(scaling.state.panic_since, scaling.state.max_panic_pods)
        decision = decide(spec, state, Observation(stable, panic, self._ready), scaling.state.panic_since or 0.0)
        scale = apply_bounds(decision.desired, self._settings.min_scale, self._settings.max_scale)
        is_burst = decision.wanted_panic / max(1, self._ready) >= spec.panic_threshold
        serves = scale > 0 and decision.excess_burst_capacity >= 0
        return scale == self._ready and not is_burst and serves == scaling.serves

    def _pass(self, begin: int, end: int) -> None:
        """Pass a time in which nothing changes."""
        seconds = end - begin
        concurrency = self._arrivals.in_service(begin, end, self._duration)
        self._run.waits[0.0] += self._arrivals.by(end) - self._arrivals.by(begin)
        self._cost(seconds, concurrency)
        self._sum_up(seconds, concurrency)

    def _cost(self, seconds: float, in_service: float) -> None:
        pods = self._ready + len(self._starting)
        self._run.pod_seconds += pods * seconds
        self._run.idle_seconds += (pods - min(self._ready, in_service)) * seconds

    def _sum_up(self, seconds: float, concurrency: float) -> None:
        sums = self._sums
        sums[0] += self._ready * seconds
        sums[1] += len(self._starting) * seconds
        sums[2] += concurrency * seconds
        sums[3] += self._queued * seconds

    # Second by second.

    def _catch_up(self, now: int) -> None:
        """Tell the windows what came while nobody looked; seconds with nothing count as such without being told."""
        if self._recorded == now:
            return
        # The first second is told in any case: a window averages over the time since its first value.
        second = first = max(self._recorded, now - math.ceil(self._settings.decider.stable_window))
        while self._ready and second < now:
            in_service = self._arrivals.in_service(second, second + 1, self._duration)
            if in_service or second in (first, now - 1):
                self._record(second + 1, in_service, self._new(second))
                second += 1
            else:
                following = self._arrivals.next_after(second)
                second = max(second + 1, min(now - 1, now if following is None else int(following)))
        if self._scaling.state.delay is not None:
            self._scaling.state.delay.record(now, self._scaling.desired_scale)
        self._recorded = now

    def _pass_second(self, second: int) -> None:
        """One second of traffic, and what reporters say of it."""
        end = second + 1
        new = self._new(second)
        if new and self._scaling.desired_scale == 0 and not self._ready and not self._starting:
            self._wake(self._arrivals.next_after(second) or float(second))
        had_pods = self._ready > 0
        self._become_ready(end)
        in_service = self._serve(second, new, had_pods)
        self._record(end, in_service + self._queued, new)
        self._cost(1, in_service)
        self._sum_up(1, in_service + self._queued)

    def _new(self, second: int) -> int:
        return self._arrivals.by(second + 1) - self._arrivals.by(second)

    def _wake(self, now: float) -> None:
        """The activator's first report of a revision that was quiet."""
        self._woke = now
        self._scaling.record(now, ScrapeAverage(WAKING.concurrency, 0.0, WAKING.requests, 0.0))
        self._scaling.poke(now, WAKING.concurrency, 0)
        self._apply(now)

    def _serve(self, second: int, new: int, had_pods: bool) -> float:
        """Take in a second's arrivals and serve what the pods bear; returns how many are in service.

        `had_pods` says whether there was a pod at its begin; without one, its arrivals wait for the first.
        """
        limit = self._policy.container_concurrency
        capacity = (self._ready * limit if limit else math.inf) if self._ready else 0.0
        demand = self._arrivals.in_service(second, second + 1, self._duration)
        if had_pods and not self._queue and demand <= capacity:
            self._run.waits[0.0] += new
            self._working = demand
            return demand
        if new:
            self._enqueue(second, new, not had_pods)
        if not capacity:
            return 0.0
        begin = max(float(second), self._ready_since)
        if self._duration > 1:
            self._working -= self._working / self._duration
            most = max(0.0, capacity - self._working)
        else:
            most = capacity / self._duration * (second + 1 - begin) if self._duration else math.inf
        served = self._dequeue(begin, most, capacity)
        if self._duration > 1:
            self._working += served
            return self._working
        return min(capacity, served * self._duration)

    def _enqueue(self, second: int, new: int, is_cold: bool) -> None:
        room = max(0, min(new, int(QUEUE_MOST - self._queued)))
        if room < new:
            self._run.failed[QUEUE_FULL] += new - room
        if room:
            self._run.cold_starts += room if is_cold else 0
            at = (self._arrivals.next_after(second) or second) if new == 1 else second + 0.5
            self._queue.append((at, room, is_cold))
            self._queued += room

    def _dequeue(self, begin: float, most: float, capacity: float) -> float:
        """Serve up to `most` of those in line from `begin` on, `capacity` at a time; returns how many."""
        served = 0.0
        while self._queue and served < most:
            arrived, waiting, is_cold = self._queue.popleft()
            taken = min(waiting, most - served)
            before = served // capacity * self._duration if capacity < math.inf else 0.0
            wait = max(0.0, begin + before - arrived)
            if wait > self._policy.timeout:
                self._run.failed[TIMED_OUT] += round(waiting)
                self._queued -= waiting
                continue
            if taken < waiting:
                self._queue.appendleft((arrived, waiting - taken, is_cold))
            served += taken
            self._account_wait(wait, taken, is_cold)
        self._queued = max(0.0, self._queued - served) if self._queue else 0.0
        return served

    def _account_wait(self, wait: float, count: float, is_cold: bool) -> None:
        if wait + self._duration > self._policy.timeout:
            self._run.failed[TIMED_OUT] += round(count)
            return
        rounded = float(f"{wait:.2g}")
        self._run.waits[rounded] += count
        if is_cold:
            self._run.cold_waits[rounded] += count

    def _record(self, at: int, concurrency: float, new: int) -> None:
        if self._ready or concurrency or new:
            self._scaling.record(at, ScrapeAverage(concurrency, 0.0, float(new), 0.0))
        self._recorded = at

    # Pods.

    def _decide(self, now: int) -> None:
        if self._scaling.look_again_at <= now:
            self._scaling.reconcile(now, self._ready)
        self._scaling.tick(now, self._ready)
        self._apply(now)

    def _apply(self, now: float) -> None:
        missing = self._scaling.replicas - self._ready - len(self._starting)
        for _ in range(missing):
            self._run.pods_started += 1
            heapq.heappush(self._starting, now + self._cold_start.draw(self._rng))
        surplus = -missing
        while surplus > 0 and self._starting:
            self._starting.remove(max(self._starting))
            heapq.heapify(self._starting)
            surplus -= 1
        self._ready -= max(0, surplus)
        self._run.peak_pods = max(self._run.peak_pods, self._ready + len(self._starting))

    def _become_ready(self, now: float) -> None:
        while self._starting and self._starting[0] <= now:
            since = heapq.heappop(self._starting)
            if not self._ready:
                self._ready_since = since
            self._ready += 1
            self._scaling.reconcile(now, self._ready)
