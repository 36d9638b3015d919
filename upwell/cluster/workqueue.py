"""Keys that need work: each once, each by one worker at a time, some later.

A key that is added while it waits is the same piece of work. A key that is added while a worker has it waits
until that worker is done with it, and then comes again, so that a change is never lost and a key never worked on
twice at once. Keys that failed come again after a pause that doubles with each failure in a row.
"""

import asyncio
import heapq
import random
from collections import deque
from typing import Final

from upwell.api.objects import Key
from upwell.clock import Clock, SystemClock

__all__ = ["ShutDown", "WorkQueue"]

FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 60.0
_DOUBLINGS: Final = 16
"""Enough to reach the longest pause; bounds the exponent of a key that fails for days."""


class ShutDown(Exception):  # noqa: N818 - not an error
    """The queue gives out no more keys."""


class WorkQueue:
    """Bounded by the number of different keys. `run` serves the delayed ones and has to be running for them."""

    def __init__(self, clock: Clock | None = None, rng: random.Random | None = None) -> None:
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()
        self._processing: set[Key] = set()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._delayed: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}
        self._earlier = asyncio.Event()
        self._failures: dict[Key, int] = {}
        self._closed = False

    def __len__(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._waiting)

    def add(self, key: Key) -> None:
        """Have `key` worked on as soon as possible."""
        if self._closed or key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._processing:
            self._offer(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Have `key` worked on in `seconds`; of several such wishes the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if self._closed or self._due.get(key, due + 1.0) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._delayed, (due, key))
        self._earlier.set()

    def add_rate_limited(self, key: Key, at_least: float = 0.0) -> None:
        """Have `key` worked on again after the pause that its failures in a row have earned it.

        `at_least` are the seconds that a server asked to be left alone; those who were all told the same do not come
        back all at once.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = min(failures + 1, _DOUBLINGS)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures) * self._rng.uniform(0.5, 1.0)
        self.add_after(key, max(pause, at_least * self._rng.uniform(1.0, 1.25)))

    def failures(self, key: Key) -> int:
        """How often in a row `key` failed."""
        return self._failures.get(key, 0)

    def forget(self, key: Key) -> None:
        """`key` went well: its next failure is the first again."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key, which is the caller's until `done`; raise ShutDown at the end."""
        while not self._ready:
            if self._closed:
                raise ShutDown
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._pass_on(waiter)
                raise
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: Key) -> None:
        """The worker is through with `key`, however it went."""
        self._processing.discard(key)
        if key in self._waiting:
            self._offer(key)

    def shut_down(self) -> None:
        """Give out no more keys and take none."""
        self._closed = True
        self._ready.clear()
        self._waiting.clear()
        self._delayed.clear()
        self._due.clear()
        self._earlier.set()
        while self._getters:
            self._wake_one()

    async def run(self) -> None:
        """Move delayed keys to the others when their time has come; until shut down or cancelled."""
        while not self._closed:
            self._earlier.clear()
            now = self._clock.monotonic()
            while self._delayed and self._delayed[0][0] <= now:
                due, key = heapq.heappop(self._delayed)
                if self._due.get(key) == due:
                    del self._due[key]
                    self.add(key)
            await self._nap(self._delayed[0][0] - now if self._delayed else None)

    async def _nap(self, seconds: float | None) -> None:
        # Until then, or until something earlier was added.
        waits = [asyncio.create_task(self._wait_for_earlier(), name="work queue: something earlier")]
        if seconds is not None:
            waits.append(asyncio.create_task(self._clock.sleep(seconds), name="work queue: next delayed key"))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _wait_for_earlier(self) -> None:
        await self._earlier.wait()

    def _offer(self, key: Key) -> None:
        self._ready.append(key)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            waiter = self._getters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _pass_on(self, waiter: "asyncio.Future[None]") -> None:
        # Cancelled while waiting; woken already means that somebody else has to take the key.
        if waiter.done() and not waiter.cancelled() and self._ready:
            self._wake_one()
        elif waiter in self._getters:
            self._getters.remove(waiter)
