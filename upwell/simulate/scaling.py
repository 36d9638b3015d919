"""The autoscaler of one revision, as the lab runs it: the policy's own code, and what happens between its parts.

    record ──> windows ──tick, poke──> decide ──changed──> reconcile: plan ──> replicas, Serve or Proxy
                                                              ▲ pods became ready, a wait is over

On a cluster, objects and their watches lie between the parts; here one calls the other, so writing a scale or flipping
a mode takes no time, and the proof that the activator is in the path is there at once. Times are in seconds from the
simulation's start. The start is a revision that has been at rest for long, or one that has just been deployed and asks
for its initial scale.
"""

import math
from typing import Final

from upwell.policy.collector import Collection
from upwell.policy.decider import DeciderState, Observation, decide
from upwell.policy.load import Load
from upwell.policy.resolution import Settings
from upwell.policy.scale_to_zero import (
    ACTIVATING,
    ACTIVE,
    INACTIVE,
    Activity,
    Outlook,
    Situation,
    next_activity,
    proven_plan,
)
from upwell.policy.standing import Standing, serves

__all__ = ["Scaling"]

_LONG_AGO: Final = -1e9
_ACTIVITIES: Final = {
    Outlook.ACTIVE: ACTIVE,
    Outlook.QUEUED: ACTIVATING,
    Outlook.NO_TRAFFIC: INACTIVE,
    Outlook.TIMED_OUT: INACTIVE,
}


class Scaling(Standing):
    """Statistics in, replicas and mode out."""

    def __init__(self, settings: Settings, *, just_deployed: bool = False) -> None:
        super().__init__(settings, DeciderState.start(settings.decider, 0, 0.0))
        self.collection = Collection(settings.collection)
        self.panics = 0
        """How often panic began."""
        self.look_again_at = math.inf
        self.replicas = max(settings.initial_scale, settings.min_scale) if just_deployed else self.at_rest
        """Pods that the workload is set to."""
        self._initialized = not just_deployed
        self._activity: Activity = ACTIVE if self.replicas else INACTIVE
        self._active_since = _LONG_AGO
        if just_deployed:
            self._activity, self._active_since = ACTIVATING, 0.0
        else:
            self.desired_scale = 0
            self.excess_burst_capacity = self._excess_at_rest()
        self.serves = not just_deployed and serves(self.replicas, self.excess_burst_capacity)
        """Whether requests go straight to the pods; else through the activator."""
        self._proxying_since: float | None = None if self.serves else self._active_since

    @property
    def at_rest(self) -> int:
        """Pods without any traffic."""
        lowest = self.settings.min_scale
        return lowest if lowest or self.settings.enable_scale_to_zero else 1

    @property
    def in_panic(self) -> bool:
        return self.state.panic_since is not None

    @property
    def is_at_zero(self) -> bool:
        """No pods wanted, none set, and no figures that could change that: until a poke, nothing happens."""
        return self.replicas == 0 and self.desired_scale == 0 and self.look_again_at == math.inf

    def record(self, at: float, load: Load) -> None:
        self.collection.record(at, load)

    def poke(self, now: float, concurrency: float, ready: int) -> None:
        """An activator reports: decide at once if the revision is at zero."""
        if self.is_woken_by(concurrency, ready):
            self.tick(now, ready)

    def tick(self, now: float, ready: int) -> None:
        """Decide, if there are figures to go by."""
        was_in_panic = self.in_panic
        decision = self.decide(self.collection, ready, now)
        if decision is None:
            return
        self.panics += decision.in_panic and not was_in_panic
        if self.adopt(decision):
            self.reconcile(now, ready)

    def reconcile(self, now: float, ready: int) -> None:
        """Carry out what is wanted, until nothing changes any more: each step may be the ground for the next."""
        while self._step(now, ready):
            pass

    def _step(self, now: float, ready: int) -> bool:
        """One pass, as over a PodAutoscaler; whether it changed what the next would go by."""
        before = (self._activity, self.serves, self.replicas)
        step = proven_plan(self.settings, self._situation(now), self.desired_scale, lambda: True)
        self.look_again_at = math.inf if step.look_again_after is None else now + step.look_again_after
        if step.replicas is not None:
            self.replicas = step.replicas
        self.serves = serves(step.scale, self.excess_burst_capacity)
        # The activator is the backend as long as it shall be, or there is no pod.
        if self.serves and ready:
            self._proxying_since = None
        elif self._proxying_since is None:
            self._proxying_since = now
        threshold = self.settings.active_threshold(self._initialized)
        self._initialized = self._initialized or ready >= threshold
        self._become(next_activity(self._activity, step.scale, ready, threshold), now)
        return before != (self._activity, self.serves, self.replicas)

    def _become(self, outlook: Outlook, now: float) -> None:
        activity = _ACTIVITIES.get(outlook, self._activity)
        if activity is not self._activity:
            self._activity = activity
            self._active_since = math.floor(now)  # a condition's time has no fractions

    def _situation(self, now: float) -> Situation:
        return Situation(
            activity=self._activity,
            in_activity_for=max(0.0, now - self._active_since),
            initialized=self._initialized,
            wants_proxy=not self.serves,
            proxying_for=None if self._proxying_since is None else max(0.0, now - self._proxying_since),
            replicas=self.replicas,
        )

    def _excess_at_rest(self) -> int:
        spec = self.settings.decider
        return decide(spec, DeciderState(), Observation(0.0, 0.0, self.replicas), 0.0).excess_burst_capacity
