"""What the holder of a bucket does, from taking it over to leaving it.

    wait for the copies ─> read what the last holder knew ─> Term: reconcile, remember, be found ─> leave a last memory

The order at the end matters: first nothing is written any more, then the memory is made, then the revisions are
forgotten. A bucket that was lost rather than left gets no last memory: its next holder may be at work already.
"""

import asyncio
import gc
from collections.abc import Sequence
from typing import Final

from autoscaler.advertising import advertise
from autoscaler.collecting import Collecting
from autoscaler.deciders import Deciders
from autoscaler.memory import Memory
from autoscaler.ownership import Ownership, Term
from upwell.api.objects import Key, key_of
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.endpoints import Address
from upwell.cluster.informer import Informer
from upwell.cluster.reconciler import Reconcile, Reconciler

__all__ = ["Leading"]

SETTLED_AFTER: Final = 8.0
"""Seconds after which a bucket's revisions have their windows and deciders."""
WORKERS: Final = 16
"""Reconciles of a bucket under way at once; each waits for the API server most of its time."""


class Leading:
    """See the module; `lead` is for an election."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        address: Address,
        *,
        ownership: Ownership,
        copies: Sequence[Informer],
        autoscalers: Informer,
        collected: Informer,
        reconcile: Reconcile,
        collecting: Collecting,
        deciders: Deciders,
        memory: Memory,
        clock: Clock,
    ) -> None:
        """`address` is where this replica takes statistics, `reconcile` is for PodAutoscalers."""
        self.leaving = False
        """Set when the process is asked to end: buckets are left, not lost."""
        self._client = client
        self._namespace = namespace
        self._address = address
        self._ownership = ownership
        self._copies = copies
        self._autoscalers = autoscalers
        self._collected = collected
        self._reconcile = reconcile
        self._collecting = collecting
        self._deciders = deciders
        self._memory = memory
        self._clock = clock

    async def lead(self, bucket: str) -> None:
        """Collect, decide and write for the revisions of `bucket`, until cancelled."""
        for copy in self._copies:
            await copy.wait_synced()
        await self._memory.read(bucket, lambda key: self._ownership.buckets.of(key) == bucket)
        work = Reconciler("podautoscaler", self._reconcile, workers=WORKERS, clock=self._clock)
        metric_work = Reconciler("metric", self._collecting.reconcile, workers=WORKERS, clock=self._clock)
        self._ownership.terms[bucket] = Term(bucket, work, metric_work)
        for copy, reconciler in ((self._autoscalers, work), (self._collected, metric_work)):
            for obj in copy.list():
                if self._ownership.buckets.of(key_of(obj)) == bucket:
                    reconciler.enqueue_object(obj)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(work.run(), name=f"podautoscaler reconciler of {bucket}")
                group.create_task(metric_work.run(), name=f"metric reconciler of {bucket}")
                group.create_task(self._keep_memory(bucket), name=f"memory of {bucket}")
                group.create_task(self._settle(), name=f"settling of {bucket}")
                if "://" not in bucket:
                    advertisement = advertise(self._client, self._namespace, bucket, self._address, self._clock)
                    group.create_task(advertisement, name=f"advertisement of {bucket}")
        finally:
            await self._end(bucket)

    async def _settle(self) -> None:
        """Take what is there for good: looking through it for garbage costs 15 % of a core with 10,000 revisions."""
        await self._clock.sleep(SETTLED_AFTER)
        gc.freeze()

    async def _keep_memory(self, bucket: str) -> None:
        name = self._ownership.buckets.object_name(bucket)
        await self._memory.keep(bucket, name, lambda: self._keys(bucket), self._deciders.remember)

    async def _end(self, bucket: str) -> None:
        del self._ownership.terms[bucket]
        keys = self._keys(bucket)
        entries = self._memory.gathered(keys, self._deciders.remember) if self.leaving else {}
        for key in keys:
            self._deciders.delete(key)
            self._collecting.stop(key)
        if self.leaving:
            await self._memory.leave(bucket, self._ownership.buckets.object_name(bucket), entries)

    def _keys(self, bucket: str) -> list[Key]:
        """The revisions of `bucket` that are decided on or collected for."""
        known = {*self._deciders.keys(), *self._collecting.keys()}
        return [key for key in known if self._ownership.buckets.of(key) == bucket]
