"""Where a cold start's time goes: the moments of a revision that wakes up, and what they make of one request's wait.

    arrived ─> queued ─> decided ─> pod_created ─> sidecar_up ─> app_ready ─> answered

- queued: the request waits and the autoscaler has been told;
- decided: the PodAutoscaler wants at least one pod;
- pod_created: a pod's address appeared in the endpoints;
- sidecar_up: the pod's sidecar took the first probe (when that probe was sent);
- app_ready: the sidecar said that the app is ready;
- answered: the answer was complete.

A phase lasts from the moment before it to its own, so the phases of a request add up to its whole time here. What
had happened before the request came took it no time: such phases are 0.
"""

from typing import Final, Literal, get_args

__all__ = ["PHASES", "ColdStart", "Moment"]

Moment = Literal["decided", "pod_created", "sidecar_up", "app_ready"]
PHASES: Final = ("queued", *get_args(Moment), "answered")


class ColdStart:
    """When each of a revision's moments happened last; times are the loop's, in seconds."""

    __slots__ = ("_moments",)

    def __init__(self) -> None:
        self._moments: dict[str, float] = {}

    def mark(self, moment: Moment, now: float) -> None:
        """`moment` happened now; only the first since `forget` counts."""
        self._moments.setdefault(moment, now)

    def forget(self) -> None:
        """The revision is at zero: the next pod makes the next cold start."""
        self._moments.clear()

    def phases(self, arrived: float, queued: float, answered: float) -> dict[str, float]:
        """Seconds spent in each phase by a request with these times."""
        moments: dict[str, float] = {"queued": queued, **self._moments, "answered": answered}
        before = arrived
        lasted = {}
        for phase in PHASES:
            # A moment that was not seen, or came out of order, is taken to coincide with the one before it.
            at = min(max(moments.get(phase, before), before), answered)
            lasted[phase] = at - before
            before = at
        return lasted
