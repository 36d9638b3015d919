"""For how long each decision leaves a function's pods and mode as they are, so that time can be passed in one step.

A decision is monotonic in the load. So where the decisions at the least and at the greatest load that the windows can
see both leave things as they are, each decision in between does too. Both ends are asked through `decide` itself, and
the answers are kept: most functions come back to the same few situations all day.

    all minutes that the windows see lie in a known range       until the end of the minute
    any load but none, up to a known one, changes nothing       for as long as each stable window holds a request
    the windows began to fill with the pod's first request      the same, up to when they are full
"""

import math
from typing import Final

from upwell.policy.capacity import apply_bounds
from upwell.policy.collector import METRIC_RPS
from upwell.policy.decider import DECISION_TICK, DeciderState, Observation, decide
from upwell.simulate.arrivals import MINUTE, SpreadArrivals
from upwell.simulate.policy import Policy
from upwell.simulate.scaling import Scaling

__all__ = ["TICK", "Stillness"]

TICK: Final = round(DECISION_TICK)
SECONDS: Final = round(MINUTE)
_SOME_LOAD: Final = 1e-9
_MOMENT: Final = 1e-6


class Stillness:
    """See the module; for one function, whose `scaling` it only looks at."""

    def __init__(self, policy: Policy, scaling: Scaling, arrivals: SpreadArrivals, duration: float) -> None:
        """`duration` is what a request takes, in seconds."""
        self.woke = -math.inf
        """When the first request came of those that keep the present pods."""
        self._container_concurrency = policy.container_concurrency
        self._settings = scaling.settings
        self._scaling = scaling
        self._arrivals = arrivals
        self._duration = duration
        spec = self._settings.decider
        self._window = spec.stable_window
        self._minutes_seen = math.ceil((max(self._window, spec.scale_down_delay) + duration) / MINUTE)
        """Minutes before the present one whose requests may still matter to a decision in it."""
        self._as_it_is: tuple[object, ...] = ()
        """Pods, mode and panic, for which the next three hold."""
        self._calm = (math.inf, -math.inf)
        """Requests per minute between which nothing changes."""
        self._calm_busy = -1.0
        """The same, from any load but none."""
        self._doubtful_minute = -1
        """The minute in which something may change, as things are."""
        self._known: dict[tuple[object, ...], bool] = {}
        """What decisions were found to leave things as they are, and which not."""

    def until(self, t: int, minute: int, ready: int) -> int:
        """A time, a whole number of ticks away, up to which nothing changes; t when that is not known.

        To be asked only while all pods are ready and nobody waits.
        """
        scaling, counts = self._scaling, self._arrivals.counts
        panic_since = scaling.state.panic_since
        limit = math.inf if panic_since is None else panic_since + self._window
        seen = counts[max(0, minute - self._minutes_seen) : minute + 1]
        high = max(seen, default=0)
        as_it_is = (ready, scaling.serves, panic_since is not None, scaling.state.max_panic_pods)
        if as_it_is != self._as_it_is:
            self._as_it_is, self._calm, self._calm_busy = as_it_is, (math.inf, -math.inf), -1.0
            self._doubtful_minute = -1
        if t - self.woke < self._window:
            return self._until_full(t, minute, high, limit)
        if minute == self._doubtful_minute:
            return t
        # Minutes before the first and after the last have no requests.
        low = min(seen) if len(seen) > self._minutes_seen else 0
        if self._is_calm(low, high):
            return int(min(limit, (minute + 1) * SECONDS) // TICK * TICK)
        if high <= self._calm_busy or self._changes_nothing(None, high):
            self._calm_busy = max(self._calm_busy, high)
            return int(min(limit, self._busy_until(t, minute)) // TICK * TICK)
        self._doubtful_minute = minute
        return t

    def _until_full(self, t: int, minute: int, high: float, limit: float) -> int:
        """The same for windows that are not full yet, and average over the time since the waking request alone.

        In the n seconds since, whose first value was 1, the average is at most 1 + each above n times the load, over n.
        """
        filled = self.woke + self._window
        if t - self.woke < TICK or not self._changes_nothing(None, high, 1 / (t - self.woke)):
            return t
        return max(t, int(min(limit, filled, self._busy_until(t, minute)) // TICK * TICK))

    def _is_calm(self, low: float, high: float) -> bool:
        """Whether nothing changes with requests per minute from `low` to `high`; what is known is kept."""
        lowest, highest = self._calm
        if lowest <= low and high <= highest:
            return True
        if not self._changes_nothing(low, high):
            return False
        self._calm = min(lowest, low), max(highest, high)
        return True

    def _busy_until(self, t: int, minute: int) -> float:
        """Up to which decision the stable window holds a request, looking no further than this minute.

        What arrives in second s is recorded at its end, s + 1, and in the window until s + 1 + window - 1.
        """
        end = (minute + 1) * MINUTE
        latest = self._arrivals.latest_before(t)
        until = -math.inf if latest is None else latest // 1 + self._window
        following = self._arrivals.next_before(t, end)
        while following is not None and following // 1 <= until:
            until = following // 1 + self._window
            following = self._arrivals.next_before(following + _MOMENT, end)
        return min(until, end)

    def _changes_nothing(self, low: float | None, high: float, waking: float = 0.0) -> bool:
        """Whether decisions at all loads from `low` to `high` requests per minute leave things as they are.

        None stands for any load but none. Evenly spaced requests make no queue up to their average in service,
        rounded up. In a window of w seconds there may be one more or less of them than on average. `waking` is what
        one more makes in a window that is not full, where the first value was 1.
        """
        question = (self._as_it_is, low, high, waking)
        known = self._known.get(question)
        if known is None:
            known = self._known[question] = self._ask(low, high, waking)
        return known

    def _ask(self, low: float | None, high: float, waking: float) -> bool:
        ready = self._scaling.replicas
        limit = self._container_concurrency
        if limit and math.ceil(high / MINUTE * self._duration) > ready * limit:
            return False
        windows = self._settings.collection
        each = 1.0 if self._settings.decider.metric == METRIC_RPS else self._duration
        shares = [1.0, 1.0] if windows.aggregation else [1 / windows.stable_window, 1 / windows.panic_window]
        lowest = [_SOME_LOAD if low is None else max(0.0, low / MINUTE * each - each * share) for share in shares]
        highest = [(high / MINUTE + max(share, waking)) * each + waking if high else 0.0 for share in shares]
        return self._keeps(ready, *lowest) and self._keeps(ready, *highest)

    def _keeps(self, ready: int, stable: float, panic: float) -> bool:
        """Whether a decision on these averages means to leave things as they are, in or out of panic."""
        scaling, spec = self._scaling, self._settings.decider
        state = DeciderState(scaling.state.panic_since, scaling.state.max_panic_pods)
        decision = decide(spec, state, Observation(stable, panic, ready), scaling.state.panic_since or 0.0)
        scale = apply_bounds(decision.desired, self._settings.min_scale, self._settings.max_scale)
        is_burst = decision.wanted_panic / max(1, ready) >= spec.panic_threshold
        serves = scale > 0 and decision.excess_burst_capacity >= 0
        return scale == ready and not is_burst and serves == scaling.serves
