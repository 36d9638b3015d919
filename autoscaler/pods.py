"""The pods of each revision: how many are in which state, and where the ready ones answer a scrape.

Kept per revision as small tuples, renewed when a pod changes, so that a decision only looks up a number. What
counts as ready, and where the statistics port is, is the contract's (autoscaler.md 5.3 and 8).
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, NamedTuple

from upwell.api.names import LABEL_REVISION, PORT_NAME_STATS, PORT_STATS
from upwell.api.objects import Key, Object, is_deleting, labels_of, name_of, namespace_of, timestamp_seconds

__all__ = ["NO_PODS", "PodCounts", "Pods", "ReadyPod"]


class PodState(Enum):
    """As far as scaling is concerned."""

    PENDING = "pending"
    NOT_READY = "not ready"
    READY = "ready"
    TERMINATING = "terminating"
    OVER = "over"
    """Succeeded or failed; does not count at all."""


class PodCounts(NamedTuple):
    """How many pods of a revision are in which state."""

    ready: int
    not_ready: int
    """All that run or will run and are not ready, pending and terminating ones included."""
    pending: int
    terminating: int


NO_PODS: Final = PodCounts(0, 0, 0, 0)


class ReadyPod(NamedTuple):
    """Where to scrape a pod."""

    name: str
    host: str
    port: int
    started: float
    """Unix seconds."""


class _Pod(NamedTuple):
    state: PodState
    scrape: ReadyPod


class Pods:
    """All pods of revisions; its `changed` is to be a handler of an informer on them."""

    def __init__(self, on_change: Callable[[Key], None], on_gone: Callable[[ReadyPod], None]) -> None:
        """`on_change` is called with a revision when one of its pods changed in what is kept here.

        `on_gone` is called with where a pod was scraped when that is over.
        """
        self._on_change = on_change
        self._on_gone = on_gone
        self._pods: dict[Key, dict[str, _Pod]] = {}
        self._counts: dict[Key, PodCounts] = {}
        self._ready: dict[Key, list[ReadyPod]] = {}

    def counts(self, revision: Key) -> PodCounts:
        return self._counts.get(revision, NO_PODS)

    def ready(self, revision: Key) -> list[ReadyPod]:
        """A shared list, not to be changed."""
        return self._ready.get(revision, [])

    def changed(self, old: Object | None, new: Object | None) -> None:
        """An informer's handler."""
        pod = new if new is not None else old
        name = labels_of(pod).get(LABEL_REVISION) if pod is not None else None
        if pod is None or not name:
            return
        revision = Key(namespace_of(pod), name)
        known = self._pods.setdefault(revision, {})
        seen = _view(pod) if new is not None else None
        if seen == known.get(name_of(pod)):
            return
        before = known.get(name_of(pod))
        if before is not None and (seen is None or seen.scrape[:3] != before.scrape[:3]):
            self._on_gone(before.scrape)
        if seen is None:
            del known[name_of(pod)]
        else:
            known[name_of(pod)] = seen
        self._sum_up(revision, known)
        self._on_change(revision)

    def _sum_up(self, revision: Key, known: dict[str, _Pod]) -> None:
        if not known:
            for kept in (self._pods, self._counts, self._ready):
                del kept[revision]
            return
        states = [pod.state for pod in known.values()]
        pending, terminating = states.count(PodState.PENDING), states.count(PodState.TERMINATING)
        self._counts[revision] = PodCounts(
            ready=states.count(PodState.READY),
            not_ready=states.count(PodState.NOT_READY) + pending + terminating,
            pending=pending,
            terminating=terminating,
        )
        self._ready[revision] = [pod.scrape for pod in known.values() if pod.state is PodState.READY]


def _view(pod: Object) -> _Pod:
    status = pod.get("status") or {}
    started = status.get("startTime")
    scrape = ReadyPod(
        name_of(pod), str(status.get("podIP") or ""), _stats_port(pod), timestamp_seconds(started) if started else 0.0
    )
    return _Pod(_state(pod, status), scrape)


def _state(pod: Object, status: dict[str, Any]) -> PodState:
    phase = status.get("phase")
    if phase == "Pending":
        return PodState.PENDING
    if phase != "Running":
        return PodState.OVER
    if is_deleting(pod):
        return PodState.TERMINATING
    ready = any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )
    return PodState.READY if ready else PodState.NOT_READY


def _stats_port(pod: Object) -> int:
    # Where pods share an address, each has ports of its own; the names stay.
    for container in (pod.get("spec") or {}).get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == PORT_NAME_STATS:
                return int(port["containerPort"])
    return PORT_STATS
