"""What the autoscaler scrapes: the load of the last whole second, as one protobuf message.

Source: contract queue-proxy.md 9. Before the first second is over the message holds the pod's name alone.
"""

from typing import Final

from upwell.api.stat import Stat, encode_stat
from upwell.clock import Clock
from upwell.policy.request_stats import RequestStats

__all__ = ["CONTENT_TYPE", "StatsReporter"]

PERIOD: Final = 1.0
CONTENT_TYPE: Final = b"application/protobuf"
"""Exactly so: the reference's scraper refuses it with parameters."""


class StatsReporter:
    """Turns the running statistics into a message once a second."""

    def __init__(self, stats: RequestStats, pod: str, clock: Clock) -> None:
        self._stats = stats
        self._pod = pod
        self._clock = clock
        self._started = clock.monotonic()
        self.message = encode_stat(Stat(pod_name=pod))

    async def run(self) -> None:
        """Report once a second, for ever."""
        due = self._started
        while True:
            due += PERIOD
            await self._clock.sleep(due - self._clock.monotonic())
            self.report()

    def report(self) -> None:
        """Close the period and keep its message for the next scrapes."""
        now = self._clock.monotonic()
        report = self._stats.report(now)
        stat = Stat(
            pod_name=self._pod,
            average_concurrent_requests=report.average_concurrency,
            average_proxied_concurrent_requests=report.average_proxied_concurrency,
            request_count=report.request_count / PERIOD,
            proxied_request_count=report.proxied_request_count / PERIOD,
            process_uptime=now - self._started,
        )
        self.message = encode_stat(stat)
