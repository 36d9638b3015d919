"""Leaving without refusing anybody (contract: queue-proxy.md 13).

    SERVING ── begin (SIGTERM, or /wait-for-drain) ──> DRAINING ── quiet for 30 s ──> DRAINED
       ^                                                  │
       └──────────────── reset (no SIGTERM came) ─────────┘

While draining, probes fail, so that nobody new is sent here; requests are still served, and each that arrives starts
the quiet period anew. Everyone who waits shares the one drain. A drain that /wait-for-drain began is reset when no
SIGTERM follows within a second: then only the app's container is being restarted, and it need not wait.
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final

from upwell.clock import Clock

__all__ = ["DrainState", "Drainer"]

SIGNAL_GRACE: Final = 1.0


class DrainState(Enum):
    """Where in the picture above."""

    SERVING = "serving"
    DRAINING = "draining"
    DRAINED = "drained"


class Drainer:
    """The state, and the wait for a quiet period."""

    def __init__(self, quiet: float, clock: Clock) -> None:
        """`quiet` is in seconds."""
        self._quiet = quiet
        self._clock = clock
        self._last_request = 0.0
        self._released: asyncio.Event = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._signalled = False
        self.state = DrainState.SERVING
        self.draining = False
        """Read for each request; true in both later states."""
        self.began: Callable[[], None] = lambda: None
        """Called when a drain begins."""

    def request_arrived(self) -> None:
        """A real request came while draining."""
        self._last_request = self._clock.monotonic()

    async def drain_for_signal(self) -> None:
        """SIGTERM: drain, whatever began before, and return when the quiet period has passed."""
        self._signalled = True
        self._begin()
        await self._released.wait()

    async def drain_for_hook(self) -> None:
        """/wait-for-drain: return when drained, or after a second when no SIGTERM has come by then."""
        self._begin()
        released = self._released
        if not self._signalled:
            await self._clock.sleep(SIGNAL_GRACE)
        if not self._signalled and released is self._released:
            self._reset()
        await released.wait()

    async def close(self) -> None:
        """End the watch of the quiet period."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    def _begin(self) -> None:
        if self.state is not DrainState.SERVING:
            return
        self.state = DrainState.DRAINING
        self.draining = True
        self._released = asyncio.Event()
        self.request_arrived()
        self._watch = asyncio.create_task(self._watch_for_quiet(self._released), name="drain watch")
        self.began()

    def _reset(self) -> None:
        if self.state is not DrainState.DRAINING:
            return
        assert self._watch is not None, "what is reset has begun"
        self._watch.cancel()
        self.state = DrainState.SERVING
        self.draining = False
        self._released.set()

    async def _watch_for_quiet(self, released: asyncio.Event) -> None:
        while (left := self._last_request + self._quiet - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
        self.state = DrainState.DRAINED
        released.set()
