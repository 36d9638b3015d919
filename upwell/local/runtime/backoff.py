"""How long a container that keeps ending waits for its next start.

The first restart comes at once. After that, starts are at least 0.25 s apart, then 0.5 s, doubling up to 10 s; a run
of a minute forgives all. Because it is the distance between starts that grows, a process that ran for a while and
was then killed is back at once, and one that fails on its first line does not eat the machine.
"""

from typing import Final

__all__ = ["RestartBackoff"]

FIRST: Final = 0.25
MOST: Final = 10.0
FORGIVEN: Final = 60.0


class RestartBackoff:
    """The pauses of one container; times are in seconds."""

    def __init__(self) -> None:
        self._distance = 0.0

    def next(self, ran: float) -> float:
        """Seconds to wait before the next start, after a run that lasted `ran` seconds."""
        if ran >= FORGIVEN:
            self._distance = 0.0
        pause = max(0.0, self._distance - ran)
        self._distance = min(MOST, self._distance * 2) or FIRST
        return pause
