"""One of many: leader election over a Lease, as Kubernetes' own components do it.

    follow ──(lease free, ours, or unchanged for its duration)──> acquire ──> lead: renew every retry period
      ^                                                                         │ not renewed within the deadline,
      └──────────── stop leading, and wait until the work has stopped <─────────┘ or somebody else holds it

Whether a lease has run out is judged by our own clock since we last saw it change, so machines need not agree on
the time. A leader that cannot renew stops before others may start: the renew deadline is shorter than the lease.
On a clean end the lease is given back, and a successor need not wait.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from upwell.api.objects import Object, mutable, new_object
from upwell.api.resources import LEASE
from upwell.clock import Clock, SystemClock
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError, NotFound
from upwell.telemetry import log

__all__ = ["LeaderElector"]

LOG: Final = log.get("leader")
JITTER: Final = 0.2
"""Share by which pauses vary, so that candidates do not ask in step."""

Work = Callable[[], Coroutine[Any, Any, None]]


class LeaderElector:
    """A candidate for one Lease."""

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        *,
        lease_duration: float = 15,
        renew_deadline: float = 10,
        retry_period: float = 2,
        clock: Clock | None = None,
        hesitation: Callable[[], float] | None = None,
    ) -> None:
        """`identity` tells candidates apart; the times are in seconds.

        `hesitation` says how long to leave a free lease to others, for whoever has work enough.
        """
        self.is_leader = False
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._lease_duration = lease_duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._clock = clock or SystemClock()
        self._hesitation = hesitation or (lambda: 0.0)
        self._seen: tuple[Any, ...] | None = None
        self._seen_at = 0.0

    async def run(self, on_started: Work, on_stopped: Callable[[], None] | None = None) -> None:
        """Follow, lead, follow again, until cancelled. `on_started()` runs while we lead and is cancelled after.

        When the work itself ends or fails, so does `run`.
        """
        while True:
            while not await self._acquire():
                await self._clock.sleep(self._pause())
            LOG.info("leading", lease=self._name, identity=self._identity)
            self.is_leader = True
            try:
                finished = await self._lead(on_started)
            finally:
                self.is_leader = False
                if on_stopped is not None:
                    on_stopped()
                await self._release()
            if finished:
                return
            LOG.warning("no longer leading", lease=self._name, identity=self._identity)

    async def _lead(self, on_started: Work) -> bool:
        """Whether the work ended by itself, rather than because the lease was lost."""
        work = asyncio.create_task(on_started(), name=f"leader of {self._name}")
        renewal = asyncio.create_task(self._renew(), name=f"renewal of {self._name}")
        try:
            await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
            finished = work.done()
        finally:
            for task in (work, renewal):
                task.cancel()
            results = await asyncio.gather(work, renewal, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]
        return finished

    async def _renew(self) -> None:
        """Return when the lease is lost."""
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._pause())
            left = self._renew_deadline - (self._clock.monotonic() - renewed)
            if left <= 0:
                return
            try:
                # A server that hangs must not keep us leading past the deadline.
                async with asyncio.timeout(left):
                    held = await self._acquire()
            except TimeoutError:
                return
            if held:
                renewed = self._clock.monotonic()
            elif self._held_by_other():
                return

    async def _acquire(self) -> bool:
        """Take or renew the lease; False when somebody else has it or the server did not say yes."""
        try:
            try:
                lease = await self._client.get(LEASE, self._name, self._namespace)
            except NotFound:
                lease = new_object(LEASE, self._namespace, self._name, spec=self._spec({}))
                self._observe(await self._client.create(LEASE, lease))
                return True
            self._observe(lease)
            waits = self._duration_of(lease) if self._held_by_other() else 0.0
            if not self.is_leader and not self._holds():
                waits += self._hesitation()
            if self._clock.monotonic() - self._seen_at < waits:
                return False
            lease = mutable(lease)
            lease["spec"] = self._spec(lease.get("spec") or {})
            self._observe(await self._client.update(LEASE, lease))
        except ApiError as error:
            LOG.debug("lease not written", lease=self._name, error=str(error))
            return False
        return True

    def _spec(self, old: Object) -> Object:
        now = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours = old.get("holderIdentity") == self._identity
        return {
            **old,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._lease_duration)),
            "acquireTime": old.get("acquireTime") or now if ours else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if ours or not old else 1),
        }

    def _observe(self, lease: Object) -> None:
        spec = lease.get("spec") or {}
        seen = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if seen != self._seen:
            self._seen = seen
            self._seen_at = self._clock.monotonic()

    def _held_by_other(self) -> bool:
        holder = self._seen[0] if self._seen else None
        return bool(holder) and holder != self._identity

    def _holds(self) -> bool:
        return self._seen is not None and self._seen[0] == self._identity

    def _duration_of(self, lease: Object) -> float:
        return float((lease.get("spec") or {}).get("leaseDurationSeconds") or self._lease_duration)

    def _pause(self) -> float:
        return self._retry_period * random.uniform(1.0, 1.0 + JITTER)

    async def _release(self) -> None:
        """Give the lease back if it is ours; best effort, and short."""
        if self._held_by_other():
            return
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(2):
                lease = mutable(await self._client.get(LEASE, self._name, self._namespace))
                if (lease.get("spec") or {}).get("holderIdentity") != self._identity:
                    return
                lease["spec"].update(holderIdentity="", leaseDurationSeconds=1)
                await self._client.update(LEASE, lease)
