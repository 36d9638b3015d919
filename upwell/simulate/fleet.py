"""The pods of a simulated revision: asked for, starting, ready, draining, gone.

    scale_to ──> STARTING ──its time is over──> READY ──scaled down──> DRAINING ──last request answered──> gone
                    └────────────scaled down────────────────────────────────────────────────────────────────┘

When there are too many, those that are not ready go first, and of the others the youngest, as with a Deployment. A
pod costs from the moment it is asked for to the moment it is gone.
"""

import heapq
import math
import random
from enum import IntEnum
from typing import Final

from upwell.policy.breaker import Breaker
from upwell.policy.request_stats import RequestStats
from upwell.simulate.distributions import Distribution

__all__ = ["DRAINING", "READY", "STARTING", "Fleet", "SimulatedPod"]

QUEUE_DEPTH_FACTOR: Final = 10
"""Requests that may wait in a pod's sidecar, for each that it takes at once."""


class PodState(IntEnum):
    STARTING = 0
    READY = 1
    DRAINING = 2
    GONE = 3


STARTING: Final = PodState.STARTING
READY: Final = PodState.READY
DRAINING: Final = PodState.DRAINING
GONE: Final = PodState.GONE


class SimulatedPod:
    """One pod: its sidecar's limit and statistics, and how long it was busy."""

    __slots__ = (
        "address",
        "breaker",
        "busy_seconds",
        "busy_since",
        "created",
        "in_flight",
        "started",
        "state",
        "stats",
    )

    def __init__(self, number: int, container_concurrency: int, created: float, ready_at: float) -> None:
        self.address = f"{number:08d}"
        self.breaker: Breaker[int] | None = (
            Breaker(container_concurrency, QUEUE_DEPTH_FACTOR * container_concurrency)
            if container_concurrency
            else None
        )
        self.stats = RequestStats(ready_at)
        """Of the requests that did not come through the activator, which reports the others itself."""
        self.state = STARTING
        self.created = created
        self.started = ready_at
        """From when it has figures; it is asked for them from then on."""
        self.in_flight = 0
        """Requests in the pod, those that wait in its sidecar included."""
        self.busy_since = 0.0
        self.busy_seconds = 0.0
        """Time with at least one request in it, up to when it was last idle."""


class Fleet:
    """All pods of the revision, and what they cost."""

    def __init__(self, container_concurrency: int, cold_start: Distribution, rng: random.Random) -> None:
        self.ready: list[SimulatedPod] = []
        """In the order in which they became ready."""
        self.started = 0
        """Pods that were ever asked for, beyond those there were at the start."""
        self.pod_seconds = 0.0
        """Of pods that have gone."""
        self.idle_seconds = 0.0
        """Of pods that have gone: time without a request in them, their start included."""
        self.starting = 0
        self.draining = 0
        self._container_concurrency = container_concurrency
        self._cold_start = cold_start
        self._rng = rng
        self._starting: list[tuple[float, int, SimulatedPod]] = []
        self._leaving: dict[str, SimulatedPod] = {}
        self._numbers = 0

    @property
    def count(self) -> int:
        """Pods that cost something."""
        return self.starting + len(self.ready) + self.draining

    @property
    def next_ready(self) -> float:
        """When the next pod becomes ready; infinity when none is starting."""
        return self._starting[0][0] if self._starting else math.inf

    def begin_with(self, count: int) -> None:
        """Pods that are ready from the start."""
        for _ in range(count):
            self._add(0.0, 0.0)
        self.become_ready(0.0)

    def scale_to(self, replicas: int, now: float) -> bool:
        """Ask for pods or take some away; whether the ready ones changed."""
        missing = replicas - self.starting - len(self.ready)
        for _ in range(missing):
            self.started += 1
            self._add(now, now + self._cold_start.draw(self._rng))
        surplus = -missing
        while surplus > 0 and self._starting:
            self._cancel_youngest_start(now)
            surplus -= 1
        for _ in range(surplus):
            self._drain(self.ready.pop(), now)
        return surplus > 0

    def become_ready(self, now: float) -> bool:
        """Whether any pod became ready."""
        before = len(self.ready)
        while self._starting and self._starting[0][0] <= now:
            pod = heapq.heappop(self._starting)[2]
            pod.state = READY
            self.starting -= 1
            self.ready.append(pod)
        return len(self.ready) > before

    def idle(self, pod: SimulatedPod, now: float) -> None:
        """The last request has left `pod`."""
        pod.busy_seconds += now - pod.busy_since
        if pod.state is DRAINING:
            self.draining -= 1
            del self._leaving[pod.address]
            self._account(pod, now)

    def close(self, now: float) -> None:
        """The simulation ends: what is there is paid up to now."""
        starting = [pod for _, _, pod in self._starting]
        for pod in [*starting, *self.ready, *self._leaving.values()]:
            if pod.in_flight:
                pod.busy_seconds += now - pod.busy_since
            self._account(pod, now)

    def _add(self, now: float, ready_at: float) -> None:
        self._numbers += 1
        pod = SimulatedPod(self._numbers, self._container_concurrency, now, ready_at)
        heapq.heappush(self._starting, (ready_at, self._numbers, pod))
        self.starting += 1

    def _cancel_youngest_start(self, now: float) -> None:
        youngest = max(range(len(self._starting)), key=lambda place: self._starting[place][1])
        _, _, pod = self._starting.pop(youngest)
        heapq.heapify(self._starting)
        self.starting -= 1
        self._account(pod, now)

    def _drain(self, pod: SimulatedPod, now: float) -> None:
        if pod.in_flight:
            pod.state = DRAINING
            self.draining += 1
            self._leaving[pod.address] = pod
        else:
            self._account(pod, now)

    def _account(self, pod: SimulatedPod, now: float) -> None:
        pod.state = GONE
        lived = now - pod.created
        self.pod_seconds += lived
        self.idle_seconds += lived - pod.busy_seconds
