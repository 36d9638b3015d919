"""What a replica of the controller does, and for which objects: a duty for each reconciler, divided by Leases.

    candidate for every Lease of every duty ── holds one ──> works on the keys of its bucket, until it is lost

The Leases are named as the reference's controller names its own, one for each reconciler and bucket, so that the two
never act on the same objects at once, whether one replaces the other or both run for a while; and reconcilers spread
over replicas. A key's bucket is the reference's choice too. Source: contract, control-plane.md 13.
"""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from upwell.api.config_leader_election import LeaderElectionConfig, parse_leader_election
from upwell.api.objects import Key, key_of
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.election import CONFIG_MAP, candidate, free_lease_of_gone_pod
from upwell.cluster.informer import Informer
from upwell.cluster.reconciler import Reconciler
from upwell.policy.subset import choose_subset
from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["Duty", "bucket_count", "lease_names", "stand_for_election"]

LOG: Final = log.get("duties")
REMEMBERED_KEYS: Final = 16_384


class Duty:
    """One reconciler, and the buckets of its keys that are ours at present."""

    def __init__(self, name: str, queue: Reconciler, informer: Informer) -> None:
        """`name` is the reference's word for the reconciler; `informer` knows the objects whose keys it works on."""
        self.name = name
        self.queue = queue
        self._informer = informer
        self._leases = lease_names(name, 1)
        self._held: set[str] = set()
        self._lease_of = self._find_lease
        queue.limit_to(self.is_ours)

    def divide(self, buckets: int) -> tuple[str, ...]:
        """Divide the keys among `buckets`; the names of the Leases that stand for them."""
        self._leases = lease_names(self.name, buckets)
        self._lease_of = lru_cache(REMEMBERED_KEYS)(self._find_lease)
        return self._leases

    def is_ours(self, key: Key) -> bool:
        return self._lease_of(key) in self._held

    async def lead(self, lease: str) -> None:
        """Work on the keys behind `lease` until cancelled; what is under way then is broken off."""
        self._held.add(lease)
        try:
            for obj in self._informer.list():
                if self._lease_of(key_of(obj)) == lease:
                    self.queue.enqueue_object(obj)
            await asyncio.get_running_loop().create_future()
        finally:
            self._held.discard(lease)
            await self.queue.break_off()

    def _find_lease(self, key: Key) -> str:
        if len(self._leases) == 1:
            return self._leases[0]
        (lease,) = choose_subset(self._leases, 1, f"{key.namespace}/{key.name}")
        return lease


def lease_names(reconciler: str, buckets: int) -> tuple[str, ...]:
    """The reference's names, after its component and the package of the reconciler."""
    queue = f"controller.knative.dev.serving.pkg.reconciler.{reconciler}.reconciler"
    return tuple(f"{queue}.{number:02d}-of-{buckets:02d}" for number in range(buckets))


def bucket_count(data: Mapping[str, str]) -> int:
    """The number of buckets that config-leader-election asks for; the default where it cannot be used."""
    try:
        return parse_leader_election(data).buckets
    except ConfigError as error:
        LOG.error("config map refused, defaults are used", config_map=CONFIG_MAP, error=str(error))
        return LeaderElectionConfig().buckets


async def stand_for_election(
    client: Client, namespace: str, identity: str, data: Mapping[str, str], duty: Duty, clock: Clock
) -> None:
    """Be a candidate for every Lease of `duty` until cancelled; `data` is config-leader-election's."""

    async def stand(lease: str) -> None:
        await free_lease_of_gone_pod(client, lease, namespace)
        await candidate(client, lease, namespace, identity, data, clock).run(lambda: duty.lead(lease))

    async with asyncio.TaskGroup() as group:
        for lease in duty.divide(bucket_count(data)):
            group.create_task(stand(lease), name=f"election for {lease}")
