"""Deadlines without timers: one ordered queue per kind and duration, one sweep for all.

A request that gets a timer of its own pays for arming and cancelling it, and nearly no timer ever fires. Here all
owners that wait equally long stand in one queue, a dict in order of arrival, so adding and discarding are one
dictionary operation each, and only the head of a queue needs to be looked at. One loop timer sweeps the queues when
the earliest of them is due, but at most every 50 ms: a deadline is never early and up to that much late. A process
with nothing to wait for has no timer at all.
"""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Generic, TypeVar

from upwell.clock import Clock, SystemClock

__all__ = ["SWEEP_INTERVAL", "DeadlineQueue", "Deadlines"]

SWEEP_INTERVAL = 0.05
"""Seconds between two sweeps at least; a quarter of the shortest wait anybody sets."""

_CACHED_QUEUES_MAX = 256

Owner = TypeVar("Owner")


class DeadlineQueue(Generic[Owner]):
    """Owners that each wait for `seconds`, in the order in which their time runs out."""

    __slots__ = ("_deadlines", "_due", "_expired", "_listed", "seconds")

    def __init__(self, deadlines: "Deadlines", seconds: float, expired: Callable[[Owner], None]) -> None:
        self.seconds = seconds or inf
        """0 is no deadline: its owners wait for ever."""
        self._deadlines = deadlines
        self._expired = expired
        self._due: dict[Owner, float] = {}
        self._listed = False

    def __len__(self) -> int:
        return len(self._due)

    def add(self, owner: Owner, now: float) -> None:
        """Call `expired(owner)` `seconds` after `now`, unless it is discarded before. It may stand here once only."""
        due = now + self.seconds
        self._due[owner] = due
        if not self._listed or due < self._deadlines.next_sweep:
            self._listed = True
            self._deadlines.watch(self, due)

    def ensure(self, owner: Owner, now: float) -> None:
        """Add `owner` unless it is waiting already."""
        if owner not in self._due:
            self.add(owner, now)

    def discard(self, owner: Owner) -> None:
        """Forget `owner`, if it is here."""
        self._due.pop(owner, None)

    def restart(self, owner: Owner, now: float) -> None:
        """Give `owner` its whole time again."""
        self._due.pop(owner, None)
        self.add(owner, now)

    def first(self) -> Owner:
        """Whose time runs out first; there has to be one."""
        return next(iter(self._due))

    def expire(self, now: float) -> float:
        """Let go of those whose time has come; return when the next is due (`inf` when nobody waits)."""
        late = []
        for owner, due in self._due.items():
            if due > now:
                break
            late.append(owner)
        for owner in late:
            # An owner may have been discarded by what an earlier one set off.
            if self._due.pop(owner, None) is not None:
                self._expired(owner)
        for due in self._due.values():
            return due
        self._listed = False
        return inf


class Deadlines:
    """All queues of an engine, and the timer that sweeps them."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        # The system's clock is asked some times per request: then without the call in between.
        self.now: Callable[[], float] = monotonic if isinstance(clock, SystemClock) else clock.monotonic
        self.next_sweep = inf
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._watched: dict[DeadlineQueue[object], None] = {}
        self._queues: dict[tuple[str, float], DeadlineQueue[object]] = {}

    def queue(self, kind: str, seconds: float, expired: Callable[[Owner], None]) -> DeadlineQueue[Owner]:
        """The queue of this kind and duration; `expired` must be the same for all of a kind."""
        found = self._queues.get((kind, seconds))
        if found is None:
            if len(self._queues) >= _CACHED_QUEUES_MAX:
                self._queues = {key: queue for key, queue in self._queues.items() if len(queue)}
            found = DeadlineQueue(self, seconds, expired)  # type: ignore[arg-type]
            self._queues[kind, seconds] = found
        return found  # type: ignore[return-value]

    def watch(self, queue: DeadlineQueue[Owner], due: float) -> None:
        """Sweep `queue` from now on, the first time when `due` has come."""
        self._watched[queue] = None  # type: ignore[index]
        if due < self.next_sweep:
            self._arm(due)

    def sweep(self) -> None:
        """Expire what is due, in every queue, and wait for the next."""
        self._timer = None
        self.next_sweep = inf
        now = self.now()
        earliest = inf
        for queue in list(self._watched):
            due = queue.expire(now)
            if due == inf:
                self._watched.pop(queue, None)
            elif due < earliest:
                earliest = due
        if earliest < self.next_sweep:
            self._arm(max(earliest, now + SWEEP_INTERVAL))

    def close(self) -> None:
        """Stop the timer; nothing expires any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._watched.clear()
        self.next_sweep = inf

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.next_sweep = when
        self._timer = self._loop.call_later(max(0.0, when - self.now()), self.sweep)
