"""How a revision's scaling stands between two decisions, and what makes the next one matter.

A decision needs figures: without any (nothing collected yet, or nothing heard for a whole window) there is none, and
the revision keeps what it has. One means work when it wants another scale, or when the burst capacity has changed
its sign, which moves the revision between the pods and the activator. Between the regular decisions there is one more
as soon as an activator reports load for a revision at zero. Source: contract, autoscaler.md 7 and 8.
"""

from upwell.policy.collector import Collection
from upwell.policy.decider import UNKNOWN_SCALE, DeciderState, Decision, Observation, decide
from upwell.policy.resolution import Settings

__all__ = ["Standing", "serves"]


class Standing:
    """One revision's settings, what its decisions left behind, and what the latest wanted."""

    __slots__ = ("desired_scale", "excess_burst_capacity", "settings", "state")

    def __init__(self, settings: Settings, state: DeciderState) -> None:
        self.settings = settings
        self.state = state
        self.desired_scale = UNKNOWN_SCALE
        """-1 before the first decision."""
        self.excess_burst_capacity = settings.fresh_excess_burst_capacity()

    def decide(self, collection: Collection, ready_pods: int, now: float) -> Decision | None:
        """A decision by what `collection` knows at `now`, which is yet to be adopted; None without figures."""
        spec = self.settings.decider
        averages = collection.averages(spec.metric, now)
        if averages is None:
            return None
        return decide(spec, self.state, Observation(averages.stable, averages.panic, ready_pods), now)

    def adopt(self, decision: Decision) -> bool:
        """Stand by `decision` from now on; whether it means work."""
        excess = decision.excess_burst_capacity
        means_work = decision.desired != self.desired_scale or (excess < 0) != (self.excess_burst_capacity < 0)
        self.desired_scale = decision.desired
        self.excess_burst_capacity = excess
        return means_work

    def is_woken_by(self, concurrency: float, ready_pods: int) -> bool:
        """Whether to decide at once, since an activator reports `concurrency` and the revision is at zero.

        A revision without pods that was not decided on yet, since we just started, counts as being at zero.
        """
        scale = self.desired_scale
        return concurrency != 0 and (scale == 0 or (scale == UNKNOWN_SCALE and ready_pods == 0))


def serves(want: int, excess_burst_capacity: int) -> bool:
    """Whether requests are to go straight to the pods of a revision that is to have `want`; else to the activator."""
    return want > 0 and excess_burst_capacity >= 0
