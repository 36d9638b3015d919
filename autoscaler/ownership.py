"""Which buckets this replica answers for, and the work that goes with each.

    candidate for every bucket ── holds its Lease ──> Term: two work queues, with their workers, until it is lost

All that is done for a revision is done in the term of its bucket, so that the end of a term ends it too, also what is
under way. Who holds many buckets hesitates to take one more, so that they spread over the replicas. Times and number
come from config-leader-election when the process starts.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from autoscaler.buckets import Buckets, StatefulSet
from upwell.api.config_leader_election import LeaderElectionConfig, parse_leader_election
from upwell.api.objects import Key
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.election import CONFIG_MAP, candidate, free_lease_of_gone_pod
from upwell.cluster.leader import LeaderElector
from upwell.cluster.reconciler import Reconciler
from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["Ownership", "Term", "bucket_count", "lead_as_member", "stand_for_election"]

LOG: Final = log.get("buckets")
HESITATION: Final = 0.5
"""Seconds for each bucket held, before one more that is free is taken."""
STAGGER: Final = 0.1
"""Seconds between the first tries for one bucket and the next."""


@dataclass(frozen=True, slots=True)
class Term:
    """The work on one bucket, as long as we hold it."""

    bucket: str
    work: Reconciler
    """On PodAutoscalers."""
    metric_work: Reconciler
    """On Metrics."""


class Ownership:
    """The terms that are under way."""

    def __init__(self) -> None:
        self.buckets = Buckets.leased(1)
        """Set once the config map that gives their number is known; nothing is owned before."""
        self.terms: dict[str, Term] = {}

    def owns(self, bucket: str) -> bool:
        return bucket in self.terms

    def term_of(self, key: Key) -> Term | None:
        """The term that revision `key` is worked on in; None when another replica does it."""
        return self.terms.get(self.buckets.of(key))

    def enqueue(self, key: Key) -> None:
        """Have PodAutoscaler `key` worked on, if that is ours to do."""
        term = self.term_of(key)
        if term is not None:
            term.work.enqueue(key)

    def enqueue_metric(self, key: Key) -> None:
        """Have Metric `key` worked on, if that is ours to do."""
        term = self.term_of(key)
        if term is not None:
            term.metric_work.enqueue(key)


def bucket_count(data: Mapping[str, str]) -> int:
    """The number of buckets that the config map's `data` asks for; the default where it cannot be used."""
    try:
        return parse_leader_election(data).buckets
    except ConfigError as error:
        LOG.error("config map refused, defaults are used", config_map=CONFIG_MAP, error=str(error))
        return LeaderElectionConfig().buckets


async def stand_for_election(
    client: Client,
    namespace: str,
    identity: str,
    data: Mapping[str, str],
    ownership: Ownership,
    lead: Callable[[str], Coroutine[Any, Any, None]],
    clock: Clock,
) -> None:
    """Be a candidate for every bucket until cancelled; `lead(bucket)` runs while we hold it."""

    def elector(bucket: str) -> LeaderElector:
        return candidate(client, bucket, namespace, identity, data, clock, hesitation=hesitation)

    def hesitation() -> float:
        return HESITATION * len(ownership.terms)

    async def stand(bucket: str, after: float) -> None:
        await clock.sleep(after)
        await free_lease_of_gone_pod(client, bucket, namespace)
        await elector(bucket).run(lambda: lead(bucket))

    # Replicas that start together begin with different buckets.
    order = random.sample(ownership.buckets.names, len(ownership.buckets.names))
    async with asyncio.TaskGroup() as group:
        for place, bucket in enumerate(order):
            group.create_task(stand(bucket, place * STAGGER), name=f"election for {bucket}")


async def lead_as_member(
    ownership: Ownership, place: StatefulSet, lead: Callable[[str], Coroutine[Any, Any, None]]
) -> None:
    """Lead the bucket of our ordinal until cancelled; there may be more replicas than buckets."""
    names = ownership.buckets.names
    if place.ordinal < len(names):
        await lead(names[place.ordinal])
    else:
        LOG.warning("there are fewer buckets than replicas, this one only forwards", buckets=len(names))
        await asyncio.Event().wait()
