"""Time as a dependency, so that tests run hours in milliseconds.

Whatever looks at the time or waits takes a `Clock`. Processes use `SystemClock`; tests use `FakeClock`, which
moves only when told to and wakes the sleepers whose time has come, in order.
"""

import asyncio
import heapq
import itertools
import time
from typing import Protocol

__all__ = ["Clock", "FakeClock", "SystemClock"]


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> float:
        """Wall-clock time in Unix seconds; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed; at once, but after a turn of the loop, when not positive."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeClock:
    """A time that stands still until `advance` moves it."""

    def __init__(self, start: float = 946_684_800.0) -> None:
        """`start` is in Unix seconds; the default is midnight UTC, 2000-01-01."""
        self._now = start
        self._monotonic = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), woken))
        await woken

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, as an adjustment of the machine's time does."""
        self._now += seconds

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass; every sleeper runs at its own time, and so does what it wakes."""
        end = self._monotonic + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            self._move_to(due)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._move_to(end)
        await self._settle()

    def _move_to(self, monotonic: float) -> None:
        self._now += monotonic - self._monotonic
        self._monotonic = monotonic

    @staticmethod
    async def _settle() -> None:
        # Tasks wake one another in chains; this many turns is far more than any chain here needs.
        for _ in range(50):
            await asyncio.sleep(0)
