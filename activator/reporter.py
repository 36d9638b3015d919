"""How busy each revision is, as the autoscaler wants to hear it: once a second, and at once when a revision wakes up.

A request counts from its arrival to its end, waiting included, so that what waits calls for pods. What is told of a
revision, and until when, is `upwell.policy.activator_load`'s; here it is done for all of them.
"""

from collections.abc import Callable
from typing import Final

from activator.revisions import Revision
from upwell.api.objects import Key
from upwell.api.stat import Stat, WireStatMessage
from upwell.clock import Clock
from upwell.policy.activator_load import WAKING, ActivatorLoad, ActivatorReport
from upwell.telemetry.metrics import Family, Gauge

__all__ = ["ConcurrencyReporter"]

INTERVAL: Final = 1.0

Send = Callable[[list[WireStatMessage]], None]


class _Load(ActivatorLoad):
    """The running figures of one revision."""

    __slots__ = ("labels",)

    def __init__(self, now: float, labels: tuple[str, str, str, str]) -> None:
        super().__init__(now)
        self.labels = labels


class ConcurrencyReporter:
    """Counts requests and hands lists of messages to `send`, which must not block."""

    def __init__(self, pod_name: str, send: Send, clock: Clock, concurrency: Family[Gauge]) -> None:
        """`concurrency` is the metric that shows the last reported value, labelled as the revision is."""
        self._pod_name = pod_name
        self._send = send
        self._clock = clock
        self._concurrency = concurrency
        self._loads: dict[Key, _Load] = {}

    def request_in(self, revision: Revision) -> None:
        now = self._clock.monotonic()
        load = self._loads.get(revision.key)
        if load is None:
            load = self._loads[revision.key] = _Load(now, revision.metric_labels)
            self._send([self._message(revision.key, WAKING)])
        load.stats.request_in(now)

    def request_out(self, key: Key) -> None:
        self._loads[key].stats.request_out(self._clock.monotonic())

    def report(self) -> list[WireStatMessage]:
        """Close the interval: one message for each revision that was busy in it, or has just stopped to be."""
        now = self._clock.monotonic()
        return [self._report_one(key, load, now) for key, load in list(self._loads.items())]

    async def run(self) -> None:
        """Report every second until cancelled."""
        due = self._clock.monotonic()
        while True:
            # Never earlier than now: after a standstill one late report does for all that were missed.
            due = max(due + INTERVAL, self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())
            messages = self.report()
            if messages:
                self._send(messages)

    def _report_one(self, key: Key, load: _Load, now: float) -> WireStatMessage:
        report, is_quiet = load.report(now)
        if is_quiet:
            del self._loads[key]
            self._concurrency.remove(*load.labels)
        else:
            self._concurrency.labels(*load.labels).set(report.concurrency)
        return self._message(key, report)

    def _message(self, key: Key, report: ActivatorReport) -> WireStatMessage:
        stat = Stat(
            pod_name=self._pod_name, average_concurrent_requests=report.concurrency, request_count=report.requests
        )
        return WireStatMessage(key.namespace, key.name, stat)
