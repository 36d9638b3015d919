"""The line in front of a function's pods, as a fluid: what comes above their capacity waits, first in, first out.

Requests of one second go in together, and as many go out as the pods have room for in it. Pods share the load evenly,
and each request takes the mean service time. A request that would not be answered within its revision's timeout has
failed; so has one that finds the activator's queue full.
"""

import math
from collections import deque
from typing import Final

from upwell.simulate.function_run import QUEUE_FULL, TIMED_OUT, FunctionRun

__all__ = ["FluidQueue"]

QUEUE_MOST: Final = 10_000


class FluidQueue:
    """See the module; what is waited and what fails is written into `run`."""

    __slots__ = ("_duration", "_line", "_run", "_timeout", "_working", "waiting")

    def __init__(self, run: FunctionRun, duration: float, timeout: float) -> None:
        """`duration` is what a request takes, `timeout` what it may take with its wait, both in seconds."""
        self.waiting = 0.0
        """How many are in line."""
        self._run = run
        self._duration = duration
        self._timeout = timeout
        self._line: deque[tuple[float, float, bool]] = deque()
        """(arrived, how many, cold), in order."""
        self._working = 0.0
        """Requests in service, while a queue is what decides how many."""

    def pass_by(self, new: int, demand: float, capacity: float) -> bool:
        """Whether `new` requests find no line and room for all, so that `demand` are in service."""
        if self._line or demand > capacity:
            return False
        if new:
            self._run.waits[0.0] += new
        self._working = demand
        return True

    def enter(self, at: float, new: int, is_cold: bool) -> None:
        """Put `new` requests in line that arrive at `at`; `is_cold` says that there was no pod for them."""
        room = max(0, min(new, int(QUEUE_MOST - self.waiting)))
        if room < new:
            self._run.failed[QUEUE_FULL] += new - room
        if room:
            self._run.cold_starts += room if is_cold else 0
            self._line.append((at, room, is_cold))
            self.waiting += room

    def serve(self, begin: float, end: float, capacity: float) -> float:
        """Serve from `begin` to `end` what pods bear that take `capacity` at once; returns how many are in service."""
        if not capacity:
            return 0.0
        if self._duration > 1:
            self._working -= self._working / self._duration
            most = max(0.0, capacity - self._working)
        else:
            most = capacity / self._duration * (end - begin) if self._duration else math.inf
        served = self._leave(begin, most, capacity)
        if self._duration > 1:
            self._working += served
            return self._working
        return min(capacity, served * self._duration)

    def close(self) -> None:
        """The end: who still waits has failed."""
        for _, waiting, _ in self._line:
            self._run.failed[TIMED_OUT] += round(waiting)

    def _leave(self, begin: float, most: float, capacity: float) -> float:
        """Take up to `most` out of the line from `begin` on, `capacity` at a time; returns how many."""
        served = 0.0
        while self._line and served < most:
            arrived, waiting, is_cold = self._line.popleft()
            taken = min(waiting, most - served)
            before = served // capacity * self._duration if capacity < math.inf else 0.0
            wait = max(0.0, begin + before - arrived)
            if wait > self._timeout:
                self._run.failed[TIMED_OUT] += round(waiting)
                self.waiting -= waiting
                continue
            if taken < waiting:
                self._line.appendleft((arrived, waiting - taken, is_cold))
            served += taken
            self._account_wait(wait, taken, is_cold)
        self.waiting = max(0.0, self.waiting - served) if self._line else 0.0
        return served

    def _account_wait(self, wait: float, count: float, is_cold: bool) -> None:
        if wait + self._duration > self._timeout:
            self._run.failed[TIMED_OUT] += round(count)
            return
        rounded = float(f"{wait:.2g}")
        self._run.waits[rounded] += count
        if is_cold:
            self._run.cold_waits[rounded] += count
