"""Every revision's decider: made when its PodAutoscaler is first seen, asked every two seconds, and at once on a poke.

What a decision is made of, and when it means work, is `upwell.policy.standing`'s; `on_change` is told when it does.
The last decisions are kept with the numbers that led to them.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from autoscaler.metrics import AutoscalerMetrics, RevisionLabels, RevisionMetrics
from autoscaler.pods import Pods
from autoscaler.rounds import Rounds
from autoscaler.timeline import Timeline
from upwell.api.objects import Key
from upwell.clock import Clock
from upwell.policy.collector import Collector
from upwell.policy.decider import DECISION_TICK, DeciderState, Decision
from upwell.policy.memory import RevisionMemory, remember, resume
from upwell.policy.resolution import Settings
from upwell.policy.scale_to_zero import Plan
from upwell.policy.standing import Standing

__all__ = ["Decider", "Deciders"]

REMEMBERED_DECISIONS: Final = 16


class Decider(Standing):
    """How one revision's scaling stands, and what was made of it."""

    __slots__ = (
        "active",
        "decisions",
        "key",
        "labels",
        "metrics",
        "poked_at",
        "step",
    )

    def __init__(
        self, key: Key, settings: Settings, state: DeciderState, labels: RevisionLabels, metrics: RevisionMetrics
    ) -> None:
        super().__init__(settings, state)
        self.key = key
        self.labels = labels
        self.metrics = metrics
        self.decisions: deque[tuple[float, Decision]] = deque(maxlen=REMEMBERED_DECISIONS)
        """The latest of each run of decisions that said the same, and when the run began; the newest last."""
        self.step: Plan | None = None
        """What was last done about a decision."""
        self.active = True
        """Whether there was a pod to be had then."""
        self.poked_at: float | None = None
        """Monotonic time of the poke whose scale is not written yet."""

    @property
    def latest(self) -> Decision | None:
        """The newest decision."""
        return self.decisions[-1][1] if self.decisions else None

    def keep(self, decision: Decision) -> None:
        """Keep `decision` in mind, in place of the one before if that said the same."""
        since = decision.at
        if self.decisions:
            begun, before = self.decisions[-1]
            if (
                before.desired == decision.desired
                and before.in_panic == decision.in_panic
                and before.held == decision.held
            ):
                self.decisions.pop()
                since = begun
        self.decisions.append((since, decision))


class Deciders:
    """All of them."""

    def __init__(
        self,
        collector: Collector[Key],
        pods: Pods,
        metrics: AutoscalerMetrics,
        clock: Clock,
        timeline: Timeline,
        on_change: Callable[[Key], None],
        recall: Callable[[Key], tuple[RevisionMemory | None, bool]] = lambda key: (None, False),
    ) -> None:
        """`recall` gives what a predecessor knew of a revision, and whether that is all it knew."""
        self._recall = recall
        self._collector = collector
        self._pods = pods
        self._metrics = metrics
        self._clock = clock
        self._timeline = timeline
        self._on_change = on_change
        self._deciders: dict[Key, Decider] = {}
        self._rounds = Rounds(DECISION_TICK, clock)

    def get(self, key: Key) -> Decider | None:
        return self._deciders.get(key)

    def update(self, key: Key, settings: Settings, labels: RevisionLabels, replicas: int | None = None) -> Decider:
        """The decider of revision `key`, which goes by `settings` from now on.

        `replicas` is what the workload of a revision that was scaled before is set to; None for a new one.
        """
        decider = self._deciders.get(key)
        if decider is None:
            state = self._first_state(key, settings, replicas)
            decider = self._deciders[key] = Decider(key, settings, state, labels, self._metrics.of_revision(labels))
            self._rounds.add(key)
        else:
            decider.settings = settings
        return decider

    def _first_state(self, key: Key, settings: Settings, replicas: int | None) -> DeciderState:
        ready, now = self._pods.counts(key).ready, self._timeline.now()
        if replicas is None:
            return DeciderState.start(settings.decider, ready, now)
        memory, complete = self._recall(key)
        return resume(settings.decider, ready, replicas, memory, complete, now)

    def all(self) -> list[Decider]:
        return list(self._deciders.values())

    def keys(self) -> list[Key]:
        return list(self._deciders)

    def remember(self, key: Key, coarse: bool) -> dict[str, Any] | None:
        """What the next holder of the revision's bucket should know of it; `coarse` makes do with less."""
        decider, collection = self._deciders.get(key), self._collector.collections.get(key)
        if decider is None or collection is None:
            return None
        return remember(collection, decider.settings.decider.metric, decider.state, self._timeline.now(), coarse=coarse)

    def delete(self, key: Key) -> None:
        decider = self._deciders.pop(key, None)
        if decider is not None:
            self._rounds.remove(key)
            decider.metrics.remove()

    async def run(self) -> None:
        """Decide for each revision every two seconds, until cancelled."""
        await self._rounds.run(self.tick)

    def tick(self, key: Key) -> None:
        """Decide for `key` now, if there are figures to go by."""
        decider = self._deciders[key]
        collection = self._collector.collections.get(key)
        if collection is None:
            return
        began = time.perf_counter()
        decision = decider.decide(collection, self._pods.counts(key).ready, self._timeline.now())
        if decision is None:
            return
        self._metrics.decisions.inc()
        self._metrics.decision_seconds.inc(time.perf_counter() - began)
        decider.keep(decision)
        decider.metrics.show_decision(decision)
        if decider.adopt(decision):
            self._on_change(key)

    def poke(self, key: Key, concurrency: float) -> None:
        """An activator reports `concurrency` for `key`: decide at once if the revision is at zero."""
        decider = self._deciders.get(key)
        if decider is not None and decider.is_woken_by(concurrency, self._pods.counts(key).ready):
            self._metrics.pokes.inc()
            decider.poked_at = self._clock.monotonic()
            self.tick(key)
