"""Standing for election as a component does: times from config-leader-election, and no waiting for the dead.

A lease that is not given back runs out in its own time, and nobody acts meanwhile. But its holder's name says which
pod it was, so a lease whose pod does not exist any more, as after a crash of its machine, is given back in its
holder's place. A pod that still exists, in whatever state, is waited for.
"""

from collections.abc import Callable, Mapping
from typing import Final

from upwell.api.config_leader_election import LeaderElectionConfig, parse_leader_election
from upwell.api.objects import mutable
from upwell.api.resources import LEASE, POD
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError, NotFound
from upwell.cluster.leader import LeaderElector
from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["CONFIG_MAP", "candidate", "free_lease_of_gone_pod"]

LOG: Final = log.get("election")
CONFIG_MAP: Final = "config-leader-election"


def candidate(
    client: Client,
    lease: str,
    namespace: str,
    identity: str,
    data: Mapping[str, str],
    clock: Clock,
    hesitation: Callable[[], float] | None = None,
) -> LeaderElector:
    """A candidate with the times in the config map's `data`, or the defaults where they cannot be used.

    `identity` is the pod's name, an underscore, and its address; without an underscore it is no pod's.
    """
    try:
        times = parse_leader_election(data)
    except ConfigError as error:
        LOG.error("config map refused, defaults are used", config_map=CONFIG_MAP, error=str(error))
        times = LeaderElectionConfig()
    return LeaderElector(
        client,
        lease,
        namespace,
        identity,
        lease_duration=times.lease_duration,
        renew_deadline=times.renew_deadline,
        retry_period=times.retry_period,
        clock=clock,
        hesitation=hesitation,
    )


async def free_lease_of_gone_pod(client: Client, lease: str, namespace: str) -> None:
    """Give the lease back if the pod that holds it is no more; best effort."""
    try:
        stored = mutable(await client.get(LEASE, lease, namespace))
        holder = str(stored["spec"].get("holderIdentity") or "")
        pod, of_a_pod, _ = holder.rpartition("_")
        if not of_a_pod or not await _is_gone(client, pod, namespace):
            return
        stored["spec"].update(holderIdentity="", leaseDurationSeconds=1)
        await client.update(LEASE, stored)
    except ApiError as error:
        LOG.debug("lease left as it is", lease=lease, error=str(error))
    else:
        LOG.info("took the lease of a pod that is gone", lease=lease, holder=holder)


async def _is_gone(client: Client, pod: str, namespace: str) -> bool:
    try:
        await client.get(POD, pod, namespace)
    except NotFound:
        return True
    return False
