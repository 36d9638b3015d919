"""How busy a revision is, as an activator tells it: at once when it wakes up, then every second until it is quiet.

The first request for a revision that was quiet is told immediately, as concurrency 1 and count 1, before it is even
throttled: that message starts pods. The next periodic report takes this 1 off again. A revision without a request for
a whole interval is reported once with zeros and then left out, so the next request for it is a first one again.
Source: contract, activator.md 10.
"""

from typing import Final, NamedTuple

from upwell.policy.request_stats import RequestStats

__all__ = ["WAKING", "ActivatorLoad", "ActivatorReport"]


class ActivatorReport(NamedTuple):
    """What is told."""

    concurrency: float
    """Requests in the activator or on their way through it, averaged over the time since the last report."""
    requests: int
    """Requests that came in that time; -1 when the one that was told ahead fell into no period."""


WAKING: Final = ActivatorReport(1.0, 1)
"""What to tell when the first request comes, for which an `ActivatorLoad` is made."""


class ActivatorLoad:
    """The running figures of one revision, from its first request to the report that says it is quiet."""

    __slots__ = ("_already_told", "stats")

    def __init__(self, now: float) -> None:
        self.stats = RequestStats(now)
        self._already_told = WAKING.requests

    def report(self, now: float) -> tuple[ActivatorReport, bool]:
        """Close the interval: what to tell, and whether the revision is quiet, so that this report is its last."""
        report = self.stats.report(now)
        told, self._already_told = self._already_told, 0
        is_quiet = report.average_concurrency == 0 and not self.stats.in_flight
        return ActivatorReport(max(0.0, report.average_concurrency - told), report.request_count - told), is_quiet
