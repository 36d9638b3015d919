"""Where a cold start's time goes: the moments of a revision that wakes up, and what they make of one request's wait.

    arrived ─> queued ─> decided ─> pod_created ─> sidecar_up ─> app_ready ─> first_byte

- queued: the request waits and the autoscaler has been told;
- decided: the PodAutoscaler wants at least one pod;
- pod_created: a pod's address appeared in the endpoints;
- sidecar_up: the pod's sidecar took the first probe (when that probe was sent);
- app_ready: the sidecar said that the app is ready;
- first_byte: the app's answer began.

A phase lasts from the moment before it to its own, so the phases of a request add up to its wait for the first byte.
What had happened before the request came took it no time: such phases are 0.
"""

from typing import Final, Literal, get_args

__all__ = ["PHASES", "ColdStart", "Moment"]

Moment = Literal["decided", "pod_created", "sidecar_up", "app_ready"]
PHASES: Final = ("queued", *get_args(Moment), "first_byte")


class ColdStart:
    """When each of a revision's moments happened last; times are the loop's, in seconds."""

    __slots__ = ("_moments", "told")

    def __init__(self) -> None:
        self._moments: dict[str, float] = {}
        self.told = False
        """Whether the log has a line about it."""

    def mark(self, moment: Moment, now: float) -> None:
        """`moment` happened now; only the first since `forget` counts."""
        self._moments.setdefault(moment, now)

    def forget(self) -> None:
        """The revision is at zero: the next pod makes the next cold start."""
        self._moments.clear()
        self.told = False

    def phases(self, arrived: float, queued: float, first_byte: float) -> dict[str, float]:
        """Seconds spent in each phase by a request with these times."""
        moments: dict[str, float] = {"queued": queued, **self._moments, "first_byte": first_byte}
        before = arrived
        lasted = {}
        for phase in PHASES:
            # A moment that was not seen, or came out of order, is taken to coincide with the one before it.
            at = min(max(moments.get(phase, before), before), first_byte)
            lasted[phase] = at - before
            before = at
        return lasted
