"""Sums over the recent past, in buckets of equal length: what an average is taken from.

A window is a ring of buckets. A value lands in the bucket of its time; several values in one bucket add up, because
several reporters (activators, the scraper) each see a part of the same second's load. Moving on to a new bucket
clears the ones that were skipped, so a gap counts as zeros; the seconds after the newest write are not zeros but
missing, and shorten the divisor instead. A late value still lands in its own bucket while the window holds it.

`LinearWindow` weighs all buckets alike, `WeightedWindow` the newest most. `SlidingMaximum` keeps the highest value
of the recent past, for delayed scale-down. Times are Unix seconds; bucket number i covers [i·g, (i+1)·g) for a
granularity g. Pure: the time is an argument. Source of the rules: contract, autoscaler.md 6.
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Final

__all__ = ["LinearWindow", "SlidingMaximum", "WeightedWindow", "Window", "smoothing_coefficient"]

_NEVER: Final = -(1 << 60)
_UNKNOWN: Final = 1 << 60


class Window(ABC):
    """The ring itself; how to average it is the subclasses' business."""

    __slots__ = ("_buckets", "_first", "_granularity", "_last", "_length", "_size", "_total")

    def __init__(self, window: float, granularity: float = 1.0) -> None:
        """`window` and `granularity` are in seconds; the ring has room for ceil(window / granularity) buckets."""
        self._granularity = granularity
        self._first = _UNKNOWN  # bucket number of the oldest write that still counts
        self._last = _NEVER  # bucket number of the newest write
        self._allocate(window)

    def _allocate(self, window: float) -> None:
        self._length = window / self._granularity  # in buckets; a fraction when the window is no multiple
        self._size = math.ceil(self._length)
        self._buckets = [0.0] * self._size
        self._total = 0.0

    def record(self, at: float, value: float) -> None:
        """Add `value` to the bucket of time `at`; values older than the window are dropped."""
        bucket = int(at // self._granularity)
        last = self._last
        if bucket != last:
            if last - bucket >= self._length:
                return
            if bucket < self._first:
                self._first = bucket
            if bucket > last:
                if bucket - last == 1 < self._length:  # what nearly all are: the oldest bucket makes room
                    slot, buckets = bucket % self._size, self._buckets
                    self._total = self._total - buckets[slot] + value
                    buckets[slot] = value
                    self._last = bucket
                    return
                self._advance(bucket)
        self._buckets[bucket % self._size] += value
        self._total += value

    def _advance(self, bucket: int) -> None:
        """Make `bucket` the newest; everything between it and the previous newest becomes zero."""
        buckets, size = self._buckets, self._size
        if bucket - self._last >= self._length:
            self._buckets = [0.0] * size
            self._total = 0.0
            self._first = bucket
        else:
            for index in range(self._last + 1, bucket + 1):
                slot = index % size
                self._total -= buckets[slot]
                buckets[slot] = 0.0
        self._last = bucket

    def is_empty(self, now: float) -> bool:
        """Whether nothing was written for longer than the window."""
        return int(now // self._granularity) - self._last > self._length

    def resize(self, window: float, now: float) -> None:
        """Change the length, keeping the newest buckets; a window that was partly filled counts as full after it."""
        if window == self._length * self._granularity:
            return
        old, old_size, stale = self._buckets, self._size, self.is_empty(now)
        self._allocate(window)
        if stale:
            self._first = _UNKNOWN
            return
        for index in range(self._last, self._last - min(old_size, self._size), -1):
            value = old[index % old_size]
            self._buckets[index % self._size] = value
            self._total += value
        self._first = self._last - (old_size - 1)

    def is_silent(self) -> bool:
        """Whether there is nothing but zeros in it; an average may be 0 for being rounded, too."""
        return not any(self._buckets)

    def contents(self) -> tuple[int, list[float]]:
        """The number of the newest bucket, and all buckets from the first write on, the oldest first; (0, []) if none.

        Recording them one by one into an empty window makes one that averages alike.
        """
        if self._last == _NEVER:
            return 0, []
        filled = min(self._last - self._first + 1, self._size)
        return self._last, [
            self._buckets[index % self._size] for index in range(self._last - filled + 1, self._last + 1)
        ]

    @abstractmethod
    def average(self, now: float) -> float:
        """The average as of `now`; 0 when nothing was written within the window."""


class LinearWindow(Window):
    """The plain mean of the buckets since the first write, rounded to six decimals."""

    __slots__ = ()

    def average(self, now: float) -> float:
        last, size = self._last, self._size
        missing = int(now // self._granularity) - last
        if missing <= 0:
            filled = last - self._first + 1
            return _rounded(self._total / (filled if filled < size else size))
        if missing >= self._length:
            return 0.0
        total, buckets = self._total, self._buckets
        for index in range(last + 1, last + missing + 1):
            total -= buckets[index % size]
        return _rounded(total / min(last - self._first + 1, size - missing))


class WeightedWindow(Window):
    """Each bucket weighs a fixed fraction less than the next newer one.

    Neither a partly filled window nor missing newest buckets are compensated for: the first value of all
    contributes only the newest weight's share, 0.2 with 42 buckets and more.
    """

    __slots__ = ("_weights",)

    def _allocate(self, window: float) -> None:
        super()._allocate(window)
        coefficient = smoothing_coefficient(self._size)
        self._weights = [coefficient * (1 - coefficient) ** age for age in range(self._size)]

    def average(self, now: float) -> float:
        last, size, buckets, weights = self._last, self._size, self._buckets, self._weights
        missing = int(now // self._granularity) - last
        if missing > self._length:
            return 0.0
        if missing < 0:
            missing = 0
        total = 0.0
        slot = last % size
        for age in range(missing, size):
            total += buckets[slot] * weights[age]
            slot -= 1  # a negative slot counts from the end, which is where the ring goes on
        return total


def smoothing_coefficient(buckets: int) -> float:
    """The newest bucket's weight: such that `buckets` hold 99.99 % of all weight, and at least 0.2."""
    return max(0.2, 1 - math.pow(1 - 0.9999, 1 / buckets))


def _rounded(value: float) -> float:
    # Half away from zero, as the recorded outcomes are; Python's round() goes to even.
    return math.floor(value * 1e6 + 0.5) / 1e6 if value >= 0 else -math.floor(-value * 1e6 + 0.5) / 1e6


class SlidingMaximum:
    """The highest value recorded over the last ceil(window / granularity) buckets."""

    __slots__ = ("_falling", "_granularity", "_size")

    def __init__(self, window: float, granularity: float) -> None:
        self._granularity = granularity
        self._size = math.ceil(window / granularity)
        # (bucket, value), both strictly ordered: a value is forgotten once a newer one is as high.
        self._falling: deque[tuple[int, int]] = deque()

    def contents(self) -> list[tuple[int, int]]:
        """What later maxima depend on, as (bucket, value), the oldest and highest first."""
        return list(self._falling)

    def record(self, at: float, value: int) -> int:
        """Take `value` in and return the maximum as of `at`; a time before the newest counts as the newest."""
        falling = self._falling
        bucket = int(at // self._granularity)
        if falling and falling[-1][0] > bucket:
            bucket = falling[-1][0]
        while falling and falling[-1][1] <= value:
            falling.pop()
        falling.append((bucket, value))
        while falling[0][0] <= bucket - self._size:
            falling.popleft()
        return falling[0][1]
