"""Trying policies on traffic: which model, on how many processors, and the parts put together.

Requests are simulated one by one, each policy in a process of its own. Counts per minute of many functions are
simulated minute by minute, a share of the functions in each process, and added up; those of one function alone are
spread to single requests first, at random within their minute, unless that is asked for otherwise.
"""

import multiprocessing
import random
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from upwell.simulate.arrivals import MINUTE
from upwell.simulate.distributions import Distribution
from upwell.simulate.errors import InputError
from upwell.simulate.function_run import FunctionRun
from upwell.simulate.minutes import simulate_minutes
from upwell.simulate.policy import PodModel, Policy
from upwell.simulate.recording import Latencies, Outcome, Point, Timeline
from upwell.simulate.requests import simulate_requests
from upwell.simulate.traces import REQUESTS_MOST, MinuteCounts, Requests, make_requests

__all__ = ["Traffic", "spread", "try_policies"]

Traffic = Requests | Sequence[MinuteCounts]
SERVICE_TIME_PARTS: Final = 100
"""Equal shares that a distribution of service times is cut into, where waits are added to it."""
SMALL_TRACE: Final = 50_000
"""Requests; below, starting processes takes longer than the work."""

T = TypeVar("T")
R = TypeVar("R")


def try_policies(
    policies: Sequence[Policy], pods: PodModel, traffic: Traffic, *, seed: int = 0, jobs: int = 1
) -> list[Outcome]:
    """Each policy's outcome on the same traffic, with the same luck."""
    if isinstance(traffic, Requests):
        alone = jobs if len(traffic.arrivals) * len(policies) > SMALL_TRACE else 1
        return _spread_over(partial(_try_requests, pods, traffic, seed), policies, alone, chunk=1)
    return [_try_minutes(policy, pods, traffic, seed, jobs) for policy in policies]


def spread(function: MinuteCounts, service_time: Distribution, seed: int) -> Requests:
    """Single requests for counts per minute, each at a random moment of its minute."""
    if sum(function.counts) > REQUESTS_MOST:
        raise InputError(f"{function.name}: more than {REQUESTS_MOST} requests", "simulate it with --model minutes")
    rng, work = random.Random(f"arrivals {seed}"), random.Random(f"durations {seed}")
    arrivals = array("d")
    for minute, count in enumerate(function.counts):
        arrivals.extend(sorted(MINUTE * (minute + rng.random()) for _ in range(count)))
    return make_requests(function.name, arrivals, array("d", (service_time.draw(work) for _ in arrivals)))


def _try_requests(pods: PodModel, requests: Requests, seed: int, policy: Policy) -> Outcome:
    return simulate_requests(policy, pods, requests, seed)


def _spread_over(work: Callable[[T], R], items: Sequence[T], jobs: int, *, chunk: int) -> list[R]:
    """`work` on each item, in order; in processes of their own when there is more than one job."""
    if jobs == 1 or len(items) <= chunk:
        return [work(item) for item in items]
    # Forked where that is possible: then the traffic is there already, and is not copied.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(min(jobs, len(items)), mp_context=context, initializer=_keep, initargs=(work,)) as pool:
        return list(pool.map(_do, items, chunksize=chunk))


_work: Callable[[Any], Any] | None = None


def _keep(work: Callable[[Any], Any]) -> None:
    """In a worker process: what to do with each item."""
    global _work
    _work = work


def _do(item: Any) -> Any:
    assert _work is not None
    return _work(item)


def _try_minutes(policy: Policy, pods: PodModel, functions: Sequence[MinuteCounts], seed: int, jobs: int) -> Outcome:
    runs = _spread_over(partial(_try_function, policy, pods, seed), functions, jobs, chunk=25)
    name = functions[0].name if len(functions) == 1 else f"{len(functions)} functions"
    return _added_up(policy, pods, name, runs, functions)


def _try_function(policy: Policy, pods: PodModel, seed: int, function: MinuteCounts) -> FunctionRun:
    return simulate_minutes(policy, pods, function, seed)


def _added_up(
    policy: Policy, pods: PodModel, name: str, runs: Sequence[FunctionRun], functions: Sequence[MinuteCounts]
) -> Outcome:
    failed: Counter[str] = Counter()
    waits: defaultdict[float, float] = defaultdict(float)
    cold_waits: defaultdict[float, float] = defaultdict(float)
    for run in runs:
        failed.update(run.failed)
        for total, own in ((waits, run.waits), (cold_waits, run.cold_waits)):
            for wait, count in own.items():
                total[wait] += count
    parts = pods.service_time.quantiles(SERVICE_TIME_PARTS)
    minutes = max(len(run.ready) for run in runs)
    timeline = _timeline(runs, functions, minutes)
    ready = timeline.column("ready")
    return Outcome(
        policy=policy.name,
        settings=policy.described(),
        trace=name,
        model="minutes",
        seconds=minutes * MINUTE,
        requests=sum(run.requests for run in runs),
        failed=dict(failed),
        cold_starts=sum(run.cold_starts for run in runs),
        pods_started=sum(run.pods_started for run in runs),
        pod_seconds=sum(run.pod_seconds for run in runs),
        idle_seconds=sum(run.idle_seconds for run in runs),
        busy_request_seconds=sum(waits.values()) * pods.service_time.mean,
        peak_pods=round(max(map(sum, zip(ready, timeline.column("starting"), strict=True)), default=0)),
        panics=sum(run.panics for run in runs),
        latency=Latencies.weighted(_with_service(waits, parts)),
        cold_latency=Latencies.weighted(_with_service(cold_waits, parts)),
        pods=[(round(t), round(pods, 4)) for t, pods in zip(timeline.column("t"), ready, strict=True)],
        timeline=timeline,
        revisions=[run.figures() for run in runs] if len(runs) > 1 else (),
    )


def _with_service(waits: defaultdict[float, float], parts: Sequence[float]) -> list[tuple[float, float]]:
    share = 1 / len(parts)
    return [(wait + part, count * share) for wait, count in waits.items() for part in parts]


def _timeline(runs: Sequence[FunctionRun], functions: Sequence[MinuteCounts], minutes: int) -> Timeline:
    """The sums over all functions, a point for each minute; what is averaged there is not wanted or panic."""

    def total(per_run: Callable[[FunctionRun], Sequence[float]]) -> list[float]:
        sums = [0.0] * minutes
        for run in runs:
            values = per_run(run)
            for minute, value in enumerate(values):
                sums[minute] += value
            rest = values[-1] if values else 0.0
            for minute in range(len(values), minutes):
                sums[minute] += rest
        return sums

    arrivals = [0.0] * minutes
    for function in functions:
        for minute, count in enumerate(function.counts):
            arrivals[minute] += count
    timeline = Timeline()
    columns = zip(
        total(lambda run: run.ready),
        total(lambda run: run.starting),
        total(lambda run: run.concurrency),
        total(lambda run: run.queued),
        arrivals,
        strict=True,
    )
    for minute, (ready, starting, concurrency, queued, arrived) in enumerate(columns):
        timeline.add(Point(minute * MINUTE, ready, starting, 0, ready, concurrency, queued, arrived, 0, 0))
    return timeline
