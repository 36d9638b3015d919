"""A time that neither jumps nor goes back, to put measurements on.

Windows and panic count in Unix seconds, because reporters stamp their figures with them. But when somebody sets the
machine's clock back by an hour, an autoscaler that looked at it would take an hour's stats for late ones and drop
them. So the wall clock is read once, and the monotonic clock moves it on.
"""

from typing import Final

from upwell.clock import Clock

__all__ = ["Timeline"]

BELIEVED_AGE: Final = 60.0
"""Seconds."""


class Timeline:
    """Unix seconds as they were at the start, moved on by the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()

    def now(self) -> float:
        return self._offset + self._clock.monotonic()

    def moment_of(self, timestamp: float) -> float:
        """When something happened that another machine stamped with `timestamp` Unix seconds; 0 is no stamp.

        A stamp is believed as long as it lies in the last minute. Beyond that the two clocks do not agree, and what
        was just received has just happened.
        """
        now = self.now()
        return timestamp if now - BELIEVED_AGE <= timestamp <= now else now
