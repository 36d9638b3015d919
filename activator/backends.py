"""Which pods of one revision can take requests right now, or whether all go to its private Service's address.

Kubernetes lists a revision's pods as ready or not ready. What counts here is what the pods say themselves: an address
is healthy once it answered a probe, whether or not Kubernetes thinks it ready, which saves the seconds until the
kubelet asks (contract: activator.md 7). It stays healthy while it is listed, until Kubernetes says that it is no
longer ready, or a request could not reach it; then it is asked again.

    listed ──> probed ──answer: ready──> healthy ──ready → not ready, or suspect──> probed
      └─ not ready, and only Kubernetes may say so: waits until it is listed as ready
    (no longer listed: forgotten, from any state)

In a mesh, pods may not be reachable one by one. When none is healthy, one that Kubernetes calls ready could not be
reached, and none answered as only a pod does, the Service's address is asked too. Once it answers, requests go there,
and it has to do without a limit per pod. A pod is tried again every few seconds, and when one answers all go back to
being addressed; in the reference that never happens in the life of a revision.

    PODS ──none reached, the Service answers──> SERVICE ──a pod answers, the Service refuses, no pod is left──> PODS
"""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from activator.cold_start import ColdStart
from activator.probing import Answered, Prober
from upwell.clock import Clock
from upwell.cluster.endpoints import Address
from upwell.telemetry import log

__all__ = ["Backends", "Reach", "Target"]

LOG: Final = log.get("backends")
RECHECK_JITTER: Final = 0.2
"""Up to this share less than the pause between two looks at the pods, so that not all activators ask at once."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How the pods of a revision may be reached."""

    probe_early: bool = True
    """Whether a pod may be asked that Kubernetes does not call ready."""
    trusted: bool = False
    """Whether a pod that Kubernetes calls ready is used without being asked."""
    pods: bool = True
    """Whether pods may be addressed one by one."""
    service: Address | None = None
    """Where else their requests may go."""
    host: bytes | None = None
    """The Host by which a mesh lets us through to one pod; None where nothing of the kind is needed."""


class Target(Protocol):
    """Whoever sends requests to what is found here."""

    def use_pods(self, addresses: list[Address]) -> None:
        """Requests go to these pods from now on."""
        ...

    def use_service(self, address: Address, pods: int) -> None:
        """Requests go to the Service from now on, behind which there are so many ready pods."""
        ...


class Backends:
    """The pods of one revision; `target` is told whenever what can be used has changed."""

    def __init__(
        self, prober: Prober, tasks: asyncio.TaskGroup, clock: Clock, cold_start: ColdStart, target: Target
    ) -> None:
        """Probes run in `tasks`; the moments of a cold start are noted in `cold_start`."""
        self._prober = prober
        self._tasks = tasks
        self._clock = clock
        self._cold_start = cold_start
        self._target = target
        self._reach = Reach()
        self._ready: set[Address] = set()
        self._eligible: set[Address] = set()
        """Those that may be asked."""
        self._healthy: set[Address] = set()
        self._direct: set[Address] = set()
        """Those that gave an answer which only a pod gives: no mesh is in between."""
        self._suspects: set[Address] = set()
        self._probes: dict[Address, asyncio.Task[None]] = {}
        self._service: Address | None = None
        """The Service's address while requests go there."""
        self._seeker: asyncio.Task[None] | None = None
        """Asks the Service, while no pod can be reached."""
        self._scout: asyncio.Task[None] | None = None
        """Asks pods, while requests go to the Service."""

    @property
    def healthy(self) -> frozenset[Address]:
        return frozenset(self._healthy)

    # What is told.

    def update(self, ready: Iterable[Address], not_ready: Iterable[Address], reach: Reach) -> None:
        """The endpoints are these now, and this is how they may be reached."""
        ready, not_ready = set(ready), set(not_ready)
        self._note(ready | not_ready)
        demoted = self._ready - ready
        self._ready = ready
        self._eligible = ready | not_ready if reach.probe_early else ready
        self._direct &= self._eligible
        self._suspects &= self._eligible
        if reach != self._reach:
            self._change_reach(reach)
        if self._service is not None:
            self._update_service(self._service, bool(ready or not_ready))
        else:
            self._update_pods(demoted)

    def suspect(self, address: Address) -> None:
        """A request could not reach this address: it gets no more until it has answered a probe again."""
        if address == self._service:
            self._start_over()
        elif address in self._healthy:
            self._healthy.discard(address)
            self._suspects.add(address)
            self._probe(address)
            self._target.use_pods(list(self._healthy))

    def close(self) -> None:
        """Stop asking."""
        self._end_probes()
        for task in (self._seeker, self._scout):
            if task is not None:
                task.cancel()
        self._seeker = self._scout = None

    # Pods, one by one.

    def _update_pods(self, demoted: set[Address]) -> None:
        before = frozenset(self._healthy)
        self._healthy = {one for one in self._healthy if one in self._eligible and one not in demoted}
        if self._reach.trusted:
            self._healthy |= self._ready - self._suspects
        for address in [one for one in self._probes if one not in self._eligible or one in self._healthy]:
            self._probes.pop(address).cancel()
        if self._healthy != before:
            self._target.use_pods(list(self._healthy))
        self._ask_the_rest()

    def _ask_the_rest(self) -> None:
        if not self._reach.pods:
            self._seek()
            return
        for address in self._eligible - self._healthy - self._probes.keys():
            self._probe(address)

    def _probe(self, address: Address) -> None:
        self._probes[address] = self._tasks.create_task(self._until_ready(address), name=f"probe of {address}")

    async def _until_ready(self, address: Address) -> None:
        up = await self._prober.until_ready(address, self._reach.host, self._heard)
        self._cold_start.mark("sidecar_up", up)
        self._cold_start.mark("app_ready", self._clock.monotonic())
        del self._probes[address]
        self._suspects.discard(address)
        self._healthy.add(address)
        self._target.use_pods(list(self._healthy))

    def _heard(self, address: Address, answered: Answered) -> None:
        """A probe was in vain."""
        if answered in (Answered.NOT_READY, Answered.HELD):
            self._direct.add(address)
        elif address in self._ready:
            self._seek()

    def _end_probes(self) -> None:
        for probe in self._probes.values():
            probe.cancel()
        self._probes.clear()

    # The Service in their place.

    def _worth_asking(self) -> Address | None:
        """The Service's address, if requests may go there as things are."""
        found_out = not self._healthy and not self._direct
        return self._reach.service if self._ready and (found_out or not self._reach.pods) else None

    def _seek(self) -> None:
        if self._seeker is None and self._service is None and self._worth_asking() is not None:
            self._seeker = self._tasks.create_task(self._until_service_answers(), name="probe of a service")

    async def _until_service_answers(self) -> None:
        while (service := self._worth_asking()) is not None:
            answered = await self._prober.ask(service)
            if answered is Answered.READY and service == self._worth_asking():
                self._seeker = None
                self._use_service(service)
                return
            await self._clock.sleep(self._prober.frequency)
        self._seeker = None

    def _use_service(self, service: Address) -> None:
        LOG.info("pods cannot be addressed, requests go to the service", service=str(service), pods=len(self._ready))
        self._end_probes()
        self._healthy.clear()
        self._service = service
        self._target.use_service(service, len(self._ready))
        if self._reach.pods:
            self._scout = self._tasks.create_task(self._until_a_pod_answers(), name="scout")

    def _update_service(self, service: Address, any_pods: bool) -> None:
        if any_pods:
            self._target.use_service(service, len(self._ready))
        else:
            self._start_over()

    async def _until_a_pod_answers(self) -> None:
        while True:
            await self._clock.sleep(self._prober.recheck * (1 - RECHECK_JITTER * random.random()))
            # One first: where there is a mesh, the others need not be troubled.
            if self._ready and await self._answers(random.choice(list(self._ready))):
                asked = list(self._ready)
                answers = await asyncio.gather(*(self._answers(one) for one in asked))
                healthy = {one for one, answer in zip(asked, answers, strict=True) if answer}
                if healthy & self._ready:
                    break
        LOG.info("pods can be addressed again", pods=len(healthy))
        self._scout = None
        self._service = None
        self._healthy = healthy & self._ready
        self._target.use_pods(list(self._healthy))
        self._ask_the_rest()

    async def _answers(self, address: Address) -> bool:
        return await self._prober.ask(address) is Answered.READY

    def _start_over(self) -> None:
        """Forget what was found out about how pods can be reached."""
        self.close()
        self._service = None
        self._direct.clear()
        self._healthy.clear()
        self._target.use_pods([])
        self._ask_the_rest()

    def _change_reach(self, reach: Reach) -> None:
        before, self._reach = self._reach, reach
        another_service = self._service is not None and reach.service != self._service
        if another_service or before.pods != reach.pods:
            self._start_over()
        elif before.host != reach.host:
            self._end_probes()

    def _note(self, listed: set[Address]) -> None:
        if listed:
            self._cold_start.mark("pod_created", self._clock.monotonic())
        else:
            self._cold_start.forget()
