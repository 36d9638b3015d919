"""Which pods of one revision can take requests right now.

Kubernetes lists a revision's pods as ready or not ready. What counts here is what the pods say themselves: an address
is healthy once it answered a probe, whether or not Kubernetes thinks it ready, which saves the seconds until the
kubelet asks (contract: activator.md 7). It stays healthy while it is listed, until Kubernetes says that it is no
longer ready, or a request could not reach it; then it is asked again.

    listed ──> probed ──answer: ready──> healthy ──ready → not ready, or suspect──> probed
      └─ not ready, and only Kubernetes may say so: waits until it is listed as ready
    (no longer listed: forgotten, from any state)
"""

import asyncio
from collections.abc import Callable, Iterable

from activator.cold_start import ColdStart
from activator.probing import Prober
from upwell.clock import Clock
from upwell.cluster.endpoints import Address

__all__ = ["Backends"]

Publish = Callable[[list[Address]], None]


class Backends:
    """The pods of one revision; `publish` gets the healthy ones whenever they have changed."""

    def __init__(
        self, prober: Prober, tasks: asyncio.TaskGroup, clock: Clock, cold_start: ColdStart, publish: Publish
    ) -> None:
        """Probes run in `tasks`; the moments of a cold start are noted in `cold_start`."""
        self._prober = prober
        self._tasks = tasks
        self._clock = clock
        self._cold_start = cold_start
        self._publish = publish
        self._ready: set[Address] = set()
        self._healthy: set[Address] = set()
        self._probes: dict[Address, asyncio.Task[None]] = {}

    @property
    def healthy(self) -> frozenset[Address]:
        return frozenset(self._healthy)

    def update(self, ready: Iterable[Address], not_ready: Iterable[Address], *, probe_early: bool) -> None:
        """The endpoints are these now; `probe_early` says whether those not ready may be asked."""
        ready = set(ready)
        demoted = self._ready - ready
        eligible = ready | set(not_ready) if probe_early else ready
        self._note(ready, not_ready)
        self._ready = ready
        before = frozenset(self._healthy)
        self._healthy = {address for address in self._healthy if address in eligible and address not in demoted}
        for address in [address for address in self._probes if address not in eligible]:
            self._probes.pop(address).cancel()
        for address in eligible - self._healthy - self._probes.keys():
            self._probe(address)
        if self._healthy != before:
            self._publish(list(self._healthy))

    def suspect(self, address: Address) -> None:
        """A request could not reach this pod: it gets no more until it has answered a probe again."""
        if address in self._healthy:
            self._healthy.discard(address)
            self._probe(address)
            self._publish(list(self._healthy))

    def close(self) -> None:
        """Stop asking."""
        for probe in self._probes.values():
            probe.cancel()
        self._probes.clear()

    def _note(self, ready: set[Address], not_ready: Iterable[Address]) -> None:
        if ready or not_ready:
            self._cold_start.mark("pod_created", self._clock.monotonic())
        else:
            self._cold_start.forget()

    def _probe(self, address: Address) -> None:
        self._probes[address] = self._tasks.create_task(self._until_ready(address), name=f"probe of {address}")

    async def _until_ready(self, address: Address) -> None:
        up = await self._prober.until_ready(address)
        self._cold_start.mark("sidecar_up", up)
        self._cold_start.mark("app_ready", self._clock.monotonic())
        del self._probes[address]
        self._healthy.add(address)
        self._publish(list(self._healthy))
