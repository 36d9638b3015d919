"""The autoscaler of one revision, as the lab runs it: the policy's own code, and what happens between its parts.

    record ──> windows ──tick, poke──> decide ──changed──> reconcile: plan ──> replicas, Serve or Proxy
                                                              ▲ pods became ready, a wait is over

On a cluster, objects and their watches lie between the parts; here one calls the other, so writing a scale or flipping
a mode takes no time, and the proof that the activator is in the path is there at once. Times are in seconds from the
simulation's start. What a revision looks like that has been at rest for long is the start.
"""

import math
from typing import Final

from upwell.policy.collector import Averages, Collection
from upwell.policy.decider import DeciderState, Decision, Observation, decide
from upwell.policy.load import Load
from upwell.policy.resolution import Settings
from upwell.policy.scale_to_zero import ACTIVATING, ACTIVE, INACTIVE, Activity, Outlook, Situation, next_activity, plan

__all__ = ["Scaling"]

_LONG_AGO: Final = -1e9
_ACTIVITIES: Final = {
    Outlook.ACTIVE: ACTIVE,
    Outlook.QUEUED: ACTIVATING,
    Outlook.NO_TRAFFIC: INACTIVE,
    Outlook.TIMED_OUT: INACTIVE,
}


class Scaling:
    """Statistics in, replicas and mode out."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.collection = Collection(settings.collection)
        self.state = DeciderState.start(settings.decider, 0, 0.0)
        self.desired = 0
        """What the decider wants, before minimum and maximum."""
        self.replicas = self.at_rest
        """Pods that the workload is set to."""
        self.decision: Decision | None = None
        self.averages: Averages | None = None
        self.panics = 0
        """How often panic began."""
        self.look_again_at = math.inf
        self._activity: Activity = ACTIVE if self.replicas else INACTIVE
        self._active_since = _LONG_AGO
        self._excess_burst_capacity = self._excess_at_rest()
        self.serves = bool(self.replicas) and self._excess_burst_capacity >= 0
        """Whether requests go straight to the pods; else through the activator."""
        self._proxying_since: float | None = None if self.serves else _LONG_AGO

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
        return self.replicas == 0 and self.desired == 0 and self.look_again_at == math.inf

    def record(self, at: float, load: Load) -> None:
        self.collection.record(at, load)

    def poke(self, now: float, concurrency: float, ready: int) -> None:
        """An activator reports: decide at once if the revision is at zero."""
        if concurrency != 0 and self.desired == 0:
            self.tick(now, ready)

    def tick(self, now: float, ready: int) -> None:
        """Decide, if there are figures to go by."""
        spec = self.settings.decider
        averages = self.averages = self.collection.averages(spec.metric, now)
        if averages is None:
            return
        was_in_panic = self.state.panic_since is not None
        decision = decide(spec, self.state, Observation(averages.stable, averages.panic, ready), now)
        self.decision = decision
        self.panics += decision.in_panic and not was_in_panic
        excess = decision.excess_burst_capacity
        means_work = decision.desired != self.desired or (excess < 0) != (self._excess_burst_capacity < 0)
        self.desired = decision.desired
        self._excess_burst_capacity = excess
        if means_work:
            self.reconcile(now, ready)

    def reconcile(self, now: float, ready: int) -> None:
        """Carry out what is wanted, until nothing changes any more: each step may be the ground for the next."""
        while self._step(now, ready):
            pass

    def _step(self, now: float, ready: int) -> bool:
        """One pass, as over a PodAutoscaler; whether it changed what the next would go by."""
        before = (self._activity, self.serves, self.replicas)
        step = plan(self.settings, self._situation(now), self.desired, activator_in_path=True)
        self.look_again_at = math.inf if step.look_again_after is None else now + step.look_again_after
        if step.replicas is not None:
            self.replicas = step.replicas
        self.serves = step.scale > 0 and self._excess_burst_capacity >= 0
        # The activator is the backend as long as it shall be, or there is no pod.
        if self.serves and ready:
            self._proxying_since = None
        elif self._proxying_since is None:
            self._proxying_since = now
        self._become(next_activity(self._activity, step.scale, ready, self.settings.active_threshold(True)), now)
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
            initialized=True,
            wants_proxy=not self.serves,
            proxying_for=None if self._proxying_since is None else max(0.0, now - self._proxying_since),
            replicas=self.replicas,
        )

    def _excess_at_rest(self) -> int:
        spec = self.settings.decider
        return decide(spec, DeciderState(), Observation(0.0, 0.0, self.replicas), 0.0).excess_burst_capacity
