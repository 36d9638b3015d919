"""Waiting until an object is Ready, with each step on the way told as its conditions tell it.

The lines go to stderr, so that what a command prints for programs stays clean:

      0.051s  ContainersNotReady: waiting for pods
      1.310s  Ready to serve.
"""

import asyncio
import sys
from time import monotonic

from upwell.api.objects import Object, name_of, namespace_of
from upwell.api.resources import Resource
from upwell.cli.errors import CommandError
from upwell.cli.observe import condition
from upwell.cli.tasks import background
from upwell.cluster.client import Client
from upwell.cluster.informer import Informer

__all__ = ["told_state", "wait_ready"]

_DETAILS = (
    "ConfigurationsReady",
    "DomainClaimed",
    "ReferenceResolved",
    "CertificateProvisioned",
    "RoutesReady",
    "IngressReady",
)
"""In order of what stands in the way of what."""


def told_state(obj: Object) -> str:
    """What the object's conditions say about why it is not ready; nothing before it was reconciled."""
    ready = condition(obj, "Ready")
    # Ready may only say that a part is not; the part says why.
    told = next((c for c in (condition(obj, name) for name in _DETAILS) if c.get("message")), ready)
    return ": ".join(filter(None, (told.get("reason"), told.get("message"))))


async def wait_ready(client: Client, resource: Resource, obj: Object, timeout: float, window: float) -> Object:
    """The object once it is Ready.

    Raise CommandError when it says for `window` seconds that it is not, or says neither for `timeout` seconds: it may
    say so in between, since what stood before a change is worked off first.
    """
    waiter = _Waiter(client, resource, obj, window)
    return await waiter.run(timeout)


class _Waiter:
    def __init__(self, client: Client, resource: Resource, obj: Object, window: float) -> None:
        self._informer = Informer(client, resource, namespace=namespace_of(obj), fields=f"metadata.name={name_of(obj)}")
        self._informer.add_handler(self._on_change)
        self._name = f"{resource.kind.lower()} {name_of(obj)}"
        self._generation = int(obj["metadata"].get("generation") or 0)
        self._window = window
        self._changed = asyncio.Event()
        self._latest: Object | None = obj
        self._said = ""
        self._failed_since = 0.0

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        del old
        self._latest = new
        self._changed.set()

    async def run(self, timeout: float) -> Object:
        started = monotonic()
        async with background("wait for ready", self._informer.run()):
            while True:
                now = monotonic()
                found = self._look(now, now - started)
                if found is not None:
                    return found
                left = started + timeout - now
                if left <= 0:
                    hint = "give it longer with --wait-timeout, or see `upwell get pods`"
                    raise CommandError(
                        f"{self._name}: not ready after {timeout:g} s: {self._said or 'no reason given'}", hint
                    )
                if self._failed_since:
                    left = min(left, self._failed_since + self._window - now)
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), max(left, 0.01))
                except TimeoutError:
                    continue

    def _look(self, now: float, elapsed: float) -> Object | None:
        """The object if it is Ready; raise CommandError if it has failed for long enough."""
        obj = self._latest
        if obj is None:
            raise CommandError(f"{self._name}: was deleted meanwhile")
        observed = int((obj.get("status") or {}).get("observedGeneration") or 0) >= self._generation
        status = condition(obj, "Ready").get("status") if observed else None
        if status == "True":
            self._say(elapsed, "Ready to serve.")
            return obj
        self._say(elapsed, told_state(obj))
        if status != "False":
            self._failed_since = 0.0
        elif not self._failed_since:
            self._failed_since = now
        elif now - self._failed_since >= self._window:
            raise CommandError(f"{self._name}: not ready: {self._said}", "see `upwell logs` and `upwell get pods`")
        return None

    def _say(self, elapsed: float, text: str) -> None:
        if text and text != self._said:
            self._said = text
            print(f"  {elapsed:6.3f}s  {text}", file=sys.stderr, flush=True)
