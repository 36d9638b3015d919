"""config-leader-election: how long a leader may be silent before another takes over."""

from collections.abc import Mapping
from dataclasses import dataclass

from upwell.api.settings import Settings

__all__ = ["LeaderElectionConfig", "parse_leader_election"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElectionConfig:
    """Times are in seconds; shorter than the contract's, so that a lost leader costs less."""

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    buckets: int = 1


def parse_leader_election(data: Mapping[str, str]) -> LeaderElectionConfig:
    """Read config-leader-election; raise SettingError."""
    settings = Settings("config-leader-election", data)
    return LeaderElectionConfig(
        lease_duration=settings.duration("lease-duration", 15.0, "leaseDuration", positive=True),
        renew_deadline=settings.duration("renew-deadline", 10.0, "renewDeadline", positive=True),
        retry_period=settings.duration("retry-period", 2.0, "retryPeriod", positive=True),
        buckets=settings.integer("buckets", 1, low=1, high=10),
    )
