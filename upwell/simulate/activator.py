"""The simulated activator: its line of waiting requests, and what it tells the autoscaler.

The line is the activator's own throttler. The reports are those of a real activator: the first request for a quiet
revision is told at once, as concurrency 1 and count 1, which the next report, a second after, takes off again.
"""

import random
from typing import Final

from upwell.policy.capacity import ScrapeAverage
from upwell.policy.picking import LeastLoadedOfTwo
from upwell.policy.request_stats import RequestStats
from upwell.policy.throttler import Throttler

__all__ = ["ActivatorLine", "ActivatorReports"]

ACTIVATOR_QUEUE: Final = 10_000
"""Requests that may wait in the activator for one revision."""


class ActivatorLine(Throttler[int]):
    """The activator's throttler, with its choices made from our own random numbers."""

    def __init__(self, container_concurrency: int, rng: random.Random) -> None:
        super().__init__(container_concurrency, ACTIVATOR_QUEUE)
        if container_concurrency == 0:
            self._picker = LeastLoadedOfTwo(rng.random)


class ActivatorReports:
    """What the activator tells the autoscaler: at once when a revision wakes up, then every second."""

    def __init__(self) -> None:
        self.stats = RequestStats(0.0)
        self.tracks = False
        self._already_told = 0

    def wake(self, now: float) -> ScrapeAverage:
        """The first request for a quiet revision: the message that starts pods."""
        self.tracks = True
        self.stats = RequestStats(now)
        self._already_told = 1
        return ScrapeAverage(1.0, 0.0, 1.0, 0.0)

    def report(self, now: float) -> ScrapeAverage:
        report = self.stats.report(now)
        concurrency = max(0.0, report.average_concurrency - self._already_told)
        count = report.request_count - self._already_told
        self._already_told = 0
        self.tracks = report.average_concurrency > 0 or self.stats.in_flight > 0
        return ScrapeAverage(concurrency, 0.0, count, 0.0)
