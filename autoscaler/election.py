"""Standing for election, with a shortcut past a leader that is gone for good.

A lease that is not given back runs out in its own time, and nothing is scaled meanwhile. But its holder's name says
which pod it was: when that pod does not exist any more, as after a crash of the machine it was on, waiting proves
nothing. So before standing for election such a lease is given back in its holder's place. A pod that still exists,
in whatever state, is waited for.
"""

from collections.abc import Mapping
from typing import Final

from upwell.api.objects import mutable
from upwell.api.resources import LEASE, POD
from upwell.api.settings import Settings
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError, NotFound
from upwell.cluster.leader import LeaderElector
from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["BUCKET", "CONFIG_LEADER_ELECTION", "elector", "free_lease_of_gone_pod"]

LOG: Final = log.get("election")
BUCKET: Final = "autoscaler-bucket-00-of-01"
"""The lease; its holder acts on all revisions."""
CONFIG_LEADER_ELECTION: Final = "config-leader-election"


def elector(client: Client, namespace: str, identity: str, data: Mapping[str, str], clock: Clock) -> LeaderElector:
    """A candidate for the bucket, with the times in config map `data`, or the defaults if they cannot be used."""
    try:
        duration, deadline, retry = _times(data)
    except ConfigError as error:
        LOG.error("config map refused, defaults are used", config_map=CONFIG_LEADER_ELECTION, error=str(error))
        duration, deadline, retry = _times({})
    return LeaderElector(
        client,
        BUCKET,
        namespace,
        identity,
        lease_duration=duration,
        renew_deadline=deadline,
        retry_period=retry,
        clock=clock,
    )


def _times(data: Mapping[str, str]) -> tuple[float, float, float]:
    settings = Settings(CONFIG_LEADER_ELECTION, data)
    return (
        settings.duration("lease-duration", 15, "leaseDuration", positive=True),
        settings.duration("renew-deadline", 10, "renewDeadline", positive=True),
        settings.duration("retry-period", 2, "retryPeriod", positive=True),
    )


async def free_lease_of_gone_pod(client: Client, namespace: str) -> None:
    """Give the bucket's lease back if the pod that holds it is no more; best effort."""
    try:
        lease = mutable(await client.get(LEASE, BUCKET, namespace))
        holder = str(lease["spec"].get("holderIdentity") or "")
        pod, found, _ = holder.rpartition("_")
        if not found or not await _is_gone(client, pod, namespace):
            return
        lease["spec"].update(holderIdentity="", leaseDurationSeconds=1)
        await client.update(LEASE, lease)
    except ApiError as error:
        LOG.debug("lease left as it is", lease=BUCKET, error=str(error))
    else:
        LOG.info("took the lease of a pod that is gone", lease=BUCKET, holder=holder)


async def _is_gone(client: Client, pod: str, namespace: str) -> bool:
    try:
        await client.get(POD, pod, namespace)
    except NotFound:
        return True
    return False
