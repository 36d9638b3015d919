"""The simulation minute by minute: for counts of many functions over days, where each request would take too long.

The deciding code is the same as for single requests, fed with the same statistics every second and asked every two;
what is approximated is the traffic. Requests are evenly spaced in their minute, each takes the mean service time,
pods share the load evenly, and a queue is a fluid (`fluid`). So chance makes no queues here, which matters most where
containerConcurrency is 1.

Most of the time needs no look at all and is passed in one step: at zero without a request nothing happens, and
`stillness` says how long decisions would leave things as they are. What the windows missed is told to them afterwards.
"""

import heapq
import math
import random
from typing import Final

from upwell.policy.activator_load import WAKING
from upwell.policy.capacity import ScrapeAverage
from upwell.simulate.arrivals import MINUTE, SpreadArrivals
from upwell.simulate.fluid import FluidQueue
from upwell.simulate.function_run import FunctionRun
from upwell.simulate.policy import PodModel, Policy
from upwell.simulate.scaling import Scaling
from upwell.simulate.stillness import TICK, Stillness
from upwell.simulate.traces import MinuteCounts

__all__ = ["simulate_minutes"]

SECONDS: Final = round(MINUTE)
REST_PATIENCE: Final = 120
"""Minutes after the last that the pods may take to come to rest."""


def simulate_minutes(policy: Policy, pods: PodModel, function: MinuteCounts, seed: int = 0) -> FunctionRun:
    """Try `policy` on one function's counts."""
    return _MinuteSimulation(policy, pods, function, random.Random(f"pods {seed} {function.name}")).run()


class _MinuteSimulation:
    def __init__(self, policy: Policy, pods: PodModel, function: MinuteCounts, rng: random.Random) -> None:
        self._container_concurrency = policy.container_concurrency
        self._rng = rng
        self._cold_start = pods.cold_start
        self._duration = min(pods.service_time.mean, policy.timeout)
        self._counts = function.counts
        self._arrivals = SpreadArrivals(function.counts)
        self._run = FunctionRun(function.name, requests=sum(function.counts))
        self._scaling = Scaling(policy.settings, just_deployed=policy.just_deployed)
        self._window = self._scaling.settings.decider.stable_window
        self._stillness = Stillness(policy, self._scaling, self._arrivals, self._duration)
        self._queue = FluidQueue(self._run, self._duration, policy.timeout)
        self._ready = 0 if policy.just_deployed else self._scaling.replicas
        self._starting: list[float] = []
        """A heap of when pods become ready."""
        self._recorded = 0
        """Up to when the windows know."""
        self._ready_since = 0.0
        """When the first of the present pods became ready."""
        self._sums = [0.0, 0.0, 0.0, 0.0]
        """Of the present minute: seconds times ready, starting, concurrency and queued."""

    def run(self) -> FunctionRun:
        minute = 0
        self._apply(0.0)
        while minute < len(self._counts) or not self._at_rest(minute):
            self._go_through(minute)
            minute += 1
        self._queue.close()
        self._run.panics = self._scaling.panics
        return self._run

    @property
    def _is_asleep(self) -> bool:
        return not self._ready and self._scaling.is_at_zero and not self._starting and not self._queue.waiting

    def _at_rest(self, minute: int) -> bool:
        if minute > len(self._counts) + REST_PATIENCE:
            return True
        scaling = self._scaling
        still = self._ready == scaling.at_rest == scaling.replicas and not self._starting and not self._queue.waiting
        return still and not scaling.in_panic

    def _go_through(self, minute: int) -> None:
        """One minute: in as few steps as what may happen in it allows."""
        self._sums = [0.0, 0.0, 0.0, 0.0]
        t = minute * SECONDS
        end = t + SECONDS
        while t < end:
            if self._is_asleep:
                following = self._arrivals.next_before(t, end)
                if following is None:
                    break
                t = max(t, int(following) // TICK * TICK)
            quiet = min(end, self._quiet_until(t, minute))
            if quiet > t:
                self._pass(t, quiet)
                t = quiet
            else:
                self._catch_up(t)
                for second in range(t, t + TICK):
                    self._pass_second(second)
                t += TICK
                self._decide(t)
        run = self._run
        for values, total in zip((run.ready, run.starting, run.concurrency, run.queued), self._sums, strict=True):
            values.append(total / MINUTE)

    def _quiet_until(self, t: int, minute: int) -> int:
        """Up to when nothing changes; t when that is not known."""
        scaling = self._scaling
        busy = self._starting or self._queue.waiting or scaling.look_again_at < math.inf
        if busy or not self._ready or self._ready != scaling.replicas:
            return t
        return self._stillness.until(t, minute, self._ready)

    def _pass(self, begin: int, end: int) -> None:
        """Pass a time in which nothing changes."""
        seconds = end - begin
        new, concurrency = self._arrivals.between(begin, end, self._duration)
        self._run.waits[0.0] += new
        self._account(seconds, concurrency, concurrency)

    def _account(self, seconds: int, in_service: float, in_system: float) -> None:
        ready, starting, run, sums = self._ready, len(self._starting), self._run, self._sums
        pods = ready + starting
        run.pod_seconds += pods * seconds
        run.idle_seconds += (pods - min(ready, in_service)) * seconds
        sums[0] += ready * seconds
        sums[1] += starting * seconds
        sums[2] += in_system * seconds
        sums[3] += self._queue.waiting * seconds

    # Second by second.

    def _catch_up(self, now: int) -> None:
        """Tell the windows what came while nobody looked; seconds with nothing count as such without being told."""
        if self._recorded == now:
            return
        if self._ready:
            # The first second is told in any case: a window averages over the time since its first value.
            second = first = max(self._recorded, now - math.ceil(self._window))
            while second < now:
                new, in_service = self._arrivals.between(second, second + 1, self._duration)
                if in_service or second in (first, now - 1):
                    self._record(second + 1, in_service, new)
                    second += 1
                else:
                    following = self._arrivals.next_before(second, now - 1)
                    second = max(second + 1, now - 1 if following is None else int(following))
        if self._scaling.state.delay is not None:
            self._scaling.state.delay.record(now, self._scaling.desired_scale)
        self._recorded = now

    def _pass_second(self, second: int) -> None:
        """One second of traffic, and what reporters say of it."""
        end = second + 1
        new, demand = self._arrivals.between(second, end, self._duration)
        if new and self._scaling.desired_scale == 0 and not self._ready and not self._starting:
            self._wake(self._arrivals.next_before(second, end) or float(second))
        had_pods = self._ready > 0
        if self._starting:
            self._become_ready(end)
        in_service = self._serve(second, new, demand, had_pods)
        in_system = in_service + self._queue.waiting
        self._record(end, in_system, new)
        self._account(1, in_service, in_system)

    def _wake(self, now: float) -> None:
        """The activator's first report of a revision that was quiet."""
        self._stillness.woke = now
        self._scaling.record(now, ScrapeAverage(WAKING.concurrency, 0.0, WAKING.requests, 0.0))
        self._scaling.poke(now, WAKING.concurrency, 0)
        self._apply(now)

    def _serve(self, second: int, new: int, demand: float, had_pods: bool) -> float:
        """Take in a second's arrivals and serve what the pods bear; returns how many are in service.

        `had_pods` says whether there was a pod at its begin; without one, its arrivals wait for the first.
        """
        limit = self._container_concurrency
        capacity = (self._ready * limit if limit else math.inf) if self._ready else 0.0
        if had_pods and self._queue.pass_by(new, demand, capacity):
            return demand
        if new:
            at = (self._arrivals.next_before(second, second + 1) or second) if new == 1 else second + 0.5
            self._queue.enter(at, new, not had_pods)
        return self._queue.serve(max(float(second), self._ready_since), second + 1, capacity)

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
