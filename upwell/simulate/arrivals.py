"""Requests that are known by their number per minute, evenly spaced within each minute.

With n requests in a minute, number i arrives at (i + 1/2) · 60/n s. How many have arrived by a time, and how many
are in service when each takes as long as the mean, then have closed forms, so that neither a request nor a second
need be visited: the number in service is A(t) - A(t - d), with A the arrivals by t, and its average over a second
comes from A's integral, which within a minute is k·x - 60/n · k²/2 for the k arrivals in its first x seconds.
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

__all__ = ["MINUTE", "SpreadArrivals"]

MINUTE: Final = 60.0


class SpreadArrivals:
    """Arrivals over all minutes; before the first and after the last there are none."""

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = counts
        self._minutes = len(counts)
        self._before = list(accumulate(counts, initial=0))
        """Arrivals before each minute."""
        areas = (MINUTE * before + MINUTE / 2 * count for before, count in zip(self._before, counts, strict=False))
        self._area_before = list(accumulate(areas, initial=0.0))
        """The integral of A up to each minute."""

    def by(self, t: float) -> int:
        """Arrivals before time t, in seconds."""
        minute = int(t // MINUTE)
        if minute < 0:
            return 0
        if minute >= self._minutes:
            return self._before[-1]
        count = self.counts[minute]
        return self._before[minute] + _arrived(t - minute * MINUTE, count) if count else self._before[minute]

    def next_before(self, t: float, end: float) -> float | None:
        """When the first request at t or later arrives, if that is before `end`."""
        minute = max(0, int(t // MINUTE))
        while minute < self._minutes and minute * MINUTE < end:
            count = self.counts[minute]
            if count:
                place = _arrived(max(0.0, t - minute * MINUTE), count)
                if place < count:
                    found = max(t, minute * MINUTE + (place + 0.5) * MINUTE / count)
                    return found if found < end else None
            minute += 1
        return None

    def latest_before(self, t: float) -> float | None:
        """When the last request before t arrived."""
        minute = min(int(t // MINUTE), self._minutes - 1)
        while minute >= 0:
            count = self.counts[minute]
            arrived = min(count, _arrived(t - minute * MINUTE, count))
            if arrived:
                return minute * MINUTE + (arrived - 0.5) * MINUTE / count
            minute -= 1
        return None

    def between(self, begin: float, end: float, duration: float) -> tuple[int, float]:
        """How many arrive between two times, and how many are in service then on average.

        Each is in service for `duration` seconds from its arrival.
        """
        before, by_end, over = self.by(begin), self.by(end), self.by(begin - duration)
        if over == by_end:
            # What would be left of the differences is rounding, and no load at all is not the same as a little.
            return 0, 0.0
        area = self._area(end) - self._area(begin) - self._area(end - duration) + self._area(begin - duration)
        return by_end - before, max(0.0, area / (end - begin))

    def _area(self, t: float) -> float:
        """The integral of A up to t."""
        minute = int(t // MINUTE)
        if minute < 0:
            return 0.0
        if minute >= self._minutes:
            return self._area_before[-1] + self._before[-1] * (t - self._minutes * MINUTE)
        x, count = t - minute * MINUTE, self.counts[minute]
        within = 0.0
        if count:
            arrived = _arrived(x, count)
            within = arrived * x - MINUTE / count * arrived * arrived / 2
        return self._area_before[minute] + self._before[minute] * x + within


def _arrived(x: float, count: int) -> int:
    """Of `count` requests in a minute, those that arrive before its second x."""
    arrived = math.ceil(x * count / MINUTE - 0.5)
    return arrived if arrived > 0 else 0
