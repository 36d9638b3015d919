"""Proof that the activator is in a revision's path, before its last pod goes.

Every address that the revision's public Service leads to is asked, and each must answer as an activator does: then
whoever opens a connection from now on meets one. Asking takes as long as the slowest address, so it is done beside
the reconciler: `ask` starts it, and `on_proof` is called when it succeeded. It asks again every second, for 45 seconds;
then `on_proof` is called without a proof, and the caller decides whether to ask on. A proof is good for a few seconds.
Source: contract, autoscaler.md 9.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from upwell.api.names import AGENT_AUTOSCALER, HEADER_PROBE
from upwell.api.objects import Key
from upwell.clock import Clock
from upwell.cluster.endpoints import Address
from upwell.http import Fetcher, FetchError
from upwell.telemetry import log

__all__ = ["ActivatorProbe"]

LOG: Final = log.get("activator probe")
TIMEOUT: Final = 1.0
PAUSE: Final = 1.0
PATIENCE: Final = 45.0
GOOD_FOR: Final = 3.0
"""Seconds; long enough for the reconcile that a proof sets off."""
# The constant of the reference starts with a slash, and so does what it is appended to; activators look at the header.
TARGET: Final = b"//healthz"
ANSWER: Final = b"activator"

Addresses = Callable[[Key, str], Sequence[Address]]
"""The ready addresses of a Service's port with that name."""


class ActivatorProbe:
    """One question at a time for each revision."""

    def __init__(self, fetcher: Fetcher, addresses: Addresses, clock: Clock, on_proof: Callable[[Key], None]) -> None:
        self._fetcher = fetcher
        self._addresses = addresses
        self._clock = clock
        self._on_proof = on_proof
        self._asking: dict[Key, asyncio.Task[None]] = {}
        self._proofs: dict[Key, float] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own the questions that are under way, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None
                self._asking.clear()
                self._proofs.clear()

    def is_proven(self, revision: Key) -> bool:
        """Whether an answer of the last few seconds says that the activator is in the path."""
        return self._clock.monotonic() - self._proofs.get(revision, -GOOD_FOR) < GOOD_FOR

    def ask(self, revision: Key, service: Key, port_name: str) -> None:
        """Find out, unless that is under way already."""
        if self._group is not None and revision not in self._asking:
            question = self._group.create_task(
                self._until_proven(revision, service, port_name), name=f"activator probe of {revision}"
            )
            self._asking[revision] = question

    def forget(self, revision: Key) -> None:
        """The revision has traffic again, or is gone: what was found out does not hold any more."""
        self._proofs.pop(revision, None)
        question = self._asking.pop(revision, None)
        if question is not None:
            question.cancel()

    async def _until_proven(self, revision: Key, service: Key, port_name: str) -> None:
        deadline = self._clock.monotonic() + PATIENCE
        while True:
            if await self._is_in_path(service, port_name):
                self._proofs[revision] = self._clock.monotonic()
                break
            if self._clock.monotonic() >= deadline:
                LOG.warning("the activator is not in the path, pods stay", revision=str(revision), seconds=PATIENCE)
                break
            await self._clock.sleep(PAUSE)
        del self._asking[revision]
        self._on_proof(revision)

    async def _is_in_path(self, service: Key, port_name: str) -> bool:
        addresses = self._addresses(service, port_name)
        if not addresses:
            return False
        return all(await asyncio.gather(*(self._is_activator(address) for address in addresses)))

    async def _is_activator(self, address: Address) -> bool:
        headers = [
            (b"Host", str(address).encode()),
            (b"User-Agent", AGENT_AUTOSCALER.encode()),
            (HEADER_PROBE.encode(), ANSWER),
        ]
        try:
            answer = await self._fetcher.fetch(
                b"GET", address.host, address.port, TARGET, headers, timeout=TIMEOUT, max_body=1024
            )
        except FetchError as error:
            LOG.debug("no answer to the activator probe", endpoint=str(address), error=error)
            return False
        return answer.status == 200 and answer.body == ANSWER
