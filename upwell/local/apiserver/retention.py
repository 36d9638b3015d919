"""Events do not stay: those last seen more than an hour ago go, as in a cluster."""

import asyncio
from typing import Final

from upwell.api.objects import Object, timestamp_seconds
from upwell.api.resources import EVENT
from upwell.clock import Clock
from upwell.local.apiserver.store import Store

__all__ = ["Retention"]

_KEPT_SECONDS: Final = 3600.0
_PERIOD_SECONDS: Final = 60.0
_SLICE: Final = 500
"""Events removed between two turns of the event loop."""


class Retention:
    """Removes old Events of a store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Look once a minute, for ever."""
        while True:
            while self.remove_old():
                await self._store.committed()
                await asyncio.sleep(0)
            await self._clock.sleep(_PERIOD_SECONDS)

    def remove_old(self) -> int:
        """Remove some of the old Events; the answer is how many."""
        oldest = self._clock.now() - _KEPT_SECONDS
        old = [record for record in self._store.records(EVENT) if _last_seen(record.obj) < oldest][:_SLICE]
        for record in old:
            self._store.remove(record)
        return len(old)


def _last_seen(event: Object) -> float:
    series = event.get("series") or {}
    for time in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime")):
        try:
            if time:
                return timestamp_seconds(time)
        except (TypeError, ValueError):
            continue
    return timestamp_seconds(event["metadata"]["creationTimestamp"])
