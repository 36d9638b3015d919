"""How many requests were in flight on average, and how many came, since the last report.

The average is weighted by time: the sum of (requests in flight x seconds at that level) divided by the seconds since
the last report. Two requests of 500 ms each within one second make 1.0. The level carries over from one report to
the next; sums and counts start anew. A request that came through an activator ("proxied") counts in both the totals
and the proxied figures, because the autoscaler subtracts the latter: the activator has reported it already.

Source: Knative's request statistics (contract: queue-proxy.md 9).
"""

from typing import NamedTuple

__all__ = ["RequestStats", "StatsReport"]


class StatsReport(NamedTuple):
    """The figures of one reporting period."""

    average_concurrency: float = 0.0
    average_proxied_concurrency: float = 0.0
    request_count: int = 0
    """Requests that arrived within the period."""
    proxied_request_count: int = 0


class RequestStats:
    """The running sums; `now` is in seconds on any clock, and an event that seems to lie in the past takes no time."""

    __slots__ = (
        "_changed",
        "_in_flight_seconds",
        "_proxied_count",
        "_proxied_seconds",
        "_request_count",
        "_seconds",
        "in_flight",
        "proxied_in_flight",
    )

    def __init__(self, now: float) -> None:
        self.in_flight = 0
        self.proxied_in_flight = 0
        self._changed = now
        self._start_period()

    def request_in(self, now: float, proxied: bool = False) -> None:
        """A request arrived."""
        self._pass_time(now)
        self.in_flight += 1
        self._request_count += 1
        if proxied:
            self.proxied_in_flight += 1
            self._proxied_count += 1

    def request_out(self, now: float, proxied: bool = False) -> None:
        """A request ended; `proxied` as it was when it arrived."""
        self._pass_time(now)
        self.in_flight -= 1
        if proxied:
            self.proxied_in_flight -= 1

    def report(self, now: float) -> StatsReport:
        """The figures since the last report, after which a new period starts; averages are 0 if no time passed."""
        self._pass_time(now)
        seconds = self._seconds
        report = StatsReport(
            self._in_flight_seconds / seconds if seconds else 0.0,
            self._proxied_seconds / seconds if seconds else 0.0,
            self._request_count,
            self._proxied_count,
        )
        self._start_period()
        return report

    def _pass_time(self, now: float) -> None:
        passed = now - self._changed
        if passed > 0:
            self._seconds += passed
            self._in_flight_seconds += self.in_flight * passed
            self._proxied_seconds += self.proxied_in_flight * passed
            self._changed = now

    def _start_period(self) -> None:
        self._seconds = 0.0
        self._in_flight_seconds = 0.0
        self._proxied_seconds = 0.0
        self._request_count = 0
        self._proxied_count = 0
