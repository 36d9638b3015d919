"""The requests of one revision, and the slots there are for them: who waits, who goes, and to which pod.

One activator has one throttler per revision. It knows the pods that are healthy, which of them are this activator's
own, how many exchanges each has, and the requests that wait. It is pure: what happens is told to it, and what follows
is asked from it, by an owner that does the I/O and holds to one rule: after anything that may have freed a slot
(`release`, `set_pods`, `set_service`, `set_activators`, `put_back`), call `take` until it returns None.

Then these hold at every moment: no pod has more exchanges than its limit (unless the limit was lowered below what it
had); no slot is idle while a request waits; requests go in the order they came, and one that came back unserved goes
before all others. `revision_capacity` is what a revision gets in total; with pods addressed one by one it is the sum
of their slots, so the slots decide. Exchanges still on a pod that has gone take nothing from the pods that are there,
where the reference's revision-wide limiter makes requests wait next to an idle pod.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from upwell.policy.capacity import assign_slice, revision_capacity
from upwell.policy.picking import Pod, picker_for
from upwell.policy.waiting_room import Share, WaitingRoom

__all__ = ["QueueFull", "Throttler"]

T = TypeVar("T")


class QueueFull(Exception):  # noqa: N818 - it is an answer, not a fault
    """As many requests wait as may, for this revision or in all."""


class Throttler(Generic[T]):
    """Requests are any hashable items."""

    def __init__(
        self,
        container_concurrency: int,
        queue_limit: int,
        share: Share | None = None,
        worker: tuple[int, int] = (0, 1),
        rng: Callable[[], float] = random.random,
    ) -> None:
        """`container_concurrency` is the slots per pod, 0 for no limit; `queue_limit` how many requests may wait.

        `share` bounds them too, by what waits elsewhere in the process. An activator may consist of several
        processes; `worker` is this one's number and their count. `rng` gives numbers in [0, 1), for choices by chance.
        """
        assert container_concurrency >= 0
        assert queue_limit >= 0
        self.container_concurrency = container_concurrency
        self.queue_limit = queue_limit
        self.share = share or Share(WaitingRoom())
        self.in_flight = 0
        """Exchanges on pods, those on pods that have gone included."""
        self.activators = 0
        self.index = -1
        self.uses_service = False
        """Whether requests go to the service address, not to pods."""
        self._worker, self._workers = worker
        self._picker = picker_for(container_concurrency, rng)
        self._listed: dict[str, Pod] = {}
        self._leaving: dict[str, Pod] = {}
        self._assigned: list[Pod] = []
        self._backends = 0
        self._queue: OrderedDict[T, None] = OrderedDict()
        self._returned: OrderedDict[T, None] = OrderedDict()

    # What there is to go to.

    def set_pods(self, addresses: Iterable[str]) -> list[Pod]:
        """From now on these pods are healthy and addressed directly; return those that no longer are."""
        self.uses_service = False
        gone = self._list(sorted(set(addresses)))
        self._backends = len(self._listed)
        self._assign()
        return gone

    def set_service(self, address: str, healthy: int) -> list[Pod]:
        """From now on requests go to the service `address`, behind which `healthy` pods are; return the pods left."""
        self.uses_service = True
        gone = self._list([address])
        self._backends = healthy
        self._assign()
        return gone

    def set_activators(self, count: int, index: int) -> None:
        """There are `count` activators in front of this revision, and this one is number `index` of them."""
        if (count, index) != (self.activators, self.index):
            self.activators = count
            self.index = index
            self._assign()

    # What happens to a request.

    def admit(self, item: T) -> Pod | None:
        """A slot for a new request, or None when it has to wait; raise QueueFull when it may not even do that."""
        if not self.waiting:
            pod = self._picker.reserve()
            if pod is not None:
                self.in_flight += 1
                return pod
        if len(self._queue) >= self.queue_limit or not self.share.enter():
            raise QueueFull
        self._queue[item] = None
        return None

    def take(self) -> tuple[T, Pod] | None:
        """The request that waits the longest and a slot for it, or None when nobody waits or no slot is free."""
        queue = self._returned or self._queue
        if not queue:
            return None
        pod = self._picker.reserve()
        if pod is None:
            return None
        self.in_flight += 1
        self.share.leave()
        return queue.popitem(last=False)[0], pod

    def release(self, pod: Pod) -> None:
        """An exchange on `pod` has ended; its slot is free again."""
        self._picker.release(pod)
        self.in_flight -= 1
        if pod.in_flight == 0 and self._leaving.get(pod.address) is pod:
            del self._leaving[pod.address]

    def put_back(self, item: T) -> None:
        """A request that had a slot, since released, was not served: it waits again, before all that never had one."""
        self._returned[item] = None
        self.share.reenter()

    def cancel(self, item: T) -> bool:
        """Take a waiting request out of the queue; whether it was there."""
        for queue in (self._queue, self._returned):
            if item in queue:
                del queue[item]
                self.share.leave()
                return True
        return False

    # How it stands.

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue) + len(self._returned)

    def waiting_items(self) -> list[T]:
        """Those in the queue, in the order in which they will go."""
        return [*self._returned, *self._queue]

    @property
    def capacity(self) -> int:
        """Exchanges that this activator may have in flight to the revision; `UNLIMITED` and 0 for open and closed."""
        assigned = 0 if self.uses_service else len(self._assigned)
        processes = max(1, self.activators) * self._workers
        return revision_capacity(self.container_concurrency, self._backends, assigned, processes)

    @property
    def assigned(self) -> list[Pod]:
        """The pods that this activator may use, in address order; none in service mode."""
        return [] if self.uses_service else list(self._assigned)

    @property
    def listed(self) -> list[Pod]:
        """All that there is to go to, whichever activator's."""
        return list(self._listed.values())

    @property
    def idle(self) -> bool:
        """Whether no request is anywhere in here."""
        return not (self.in_flight or self.waiting)

    def _list(self, addresses: list[str]) -> list[Pod]:
        """Make `addresses` the listed ones; a pod that stays, or comes back while still busy, keeps its exchanges."""
        before = self._listed
        self._listed = {}
        for address in addresses:
            pod = before.pop(address, None) or self._leaving.pop(address, None)
            self._listed[address] = pod or Pod(address, self.container_concurrency)
        self._leaving.update((pod.address, pod) for pod in before.values() if pod.in_flight)
        return list(before.values())

    def _assign(self) -> None:
        pods = list(self._listed.values())
        if self.uses_service:
            # The one address stands for all pods, so its slots are the whole revision's.
            limited = self.container_concurrency > 0
            capacity = self.capacity
            for pod in pods:
                pod.limit = capacity if limited else 0
            self._assigned = pods if capacity else []
        elif self.container_concurrency:
            for pod in pods:
                pod.limit = self.container_concurrency
            # First among activators, as all of them do it; then among this one's processes, which is its own affair.
            mine = assign_slice(pods, self.index, self.activators)
            self._assigned = assign_slice(mine, self._worker, self._workers)
        else:
            self._assigned = pods
        self._picker.assign(self._assigned)
