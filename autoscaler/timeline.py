"""A time that neither jumps nor goes back, to put measurements on.

Windows and panic count in Unix seconds, because reporters stamp their figures with them. But when somebody sets the
machine's clock back by an hour, an autoscaler that looked at it would take an hour's stats for late ones and drop
them. So the wall clock is read once, and the monotonic clock moves it on. That the two have come apart is said and
counted, since figures of others then no longer have the time that this machine shows.
"""

from typing import Final

from upwell.clock import Clock
from upwell.telemetry import log

__all__ = ["Timeline"]

BELIEVED_AGE: Final = 60.0
"""Seconds."""
JUMP: Final = 1.0
"""Seconds by which a clock that is set differs from one that is only kept right."""
LOOK_PERIOD: Final = 5.0

LOG: Final = log.get("clock")


class Timeline:
    """Unix seconds as they were at the start, moved on by the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self.jumps = 0
        """How often this machine's clock was set."""
        self.restamped = 0
        """Figures whose stamp was not believed."""
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()

    def now(self) -> float:
        return self._offset + self._clock.monotonic()

    def at(self, monotonic: float) -> float:
        """The Unix time that stands for a time of the monotonic clock."""
        return self._offset + monotonic

    def moment_of(self, timestamp: float) -> float:
        """When something happened that another machine stamped with `timestamp` Unix seconds; 0 is no stamp.

        A stamp is believed as long as it lies in the last minute. Beyond that the two clocks do not agree, and what
        was just received has just happened.
        """
        now = self.now()
        if now - BELIEVED_AGE <= timestamp <= now:
            return timestamp
        # A reporter's second that has just begun may be ahead of ours by a little; that is no disagreement.
        if timestamp and not now < timestamp <= now + JUMP:
            self.restamped += 1
        return now

    async def watch(self) -> None:
        """Count and say it when this machine's clock was set, until cancelled."""
        offset = self._offset
        while True:
            await self._clock.sleep(LOOK_PERIOD)
            current = self._clock.now() - self._clock.monotonic()
            if abs(current - offset) >= JUMP:
                self.jumps += 1
                LOG.warning("this machine's clock was set; windows go on as before", seconds=round(current - offset, 1))
            offset = current
