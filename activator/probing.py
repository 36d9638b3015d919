"""Asking one pod whether it can take requests, until it can.

The question is the contract's (activator.md 7.2): `GET /healthz` with `K-Network-Probe: queue`; 200 with the body
`queue` means yes. A sidecar of ours is told how long we would wait (`Upwell-Wait`, in milliseconds), holds its answer
until the app is ready, and says who it is (`Upwell-Sidecar`). So one waiting request replaces polling, and the
answer comes in the moment it is true. Any other sidecar ignores the header and is asked again and again, as in the
reference. Which one it is shows in the first answer; nothing is configured.

Before a sidecar listens, connections are refused. The pause between attempts is a fiftieth of the time since the
address appeared: the wait that polling adds stays in proportion to the start it waits for, and a pod that does not
come up costs little. The shortest pause grows with the number of pods being probed, so that a thousand of them
starting at once do not take the processor from each other.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final

from upwell.api import names
from upwell.clock import Clock
from upwell.cluster.endpoints import Address
from upwell.http import Fetcher, FetchError

__all__ = ["Answered", "Heard", "Pace", "Prober"]

SHORTEST_PAUSE: Final = 0.005
PAUSE_SHARE: Final = 0.02
UNHURRIED: Final = 2
"""As many pods are probed at the full rate; with n of them each gets 2/n of it."""
HELD_SECONDS: Final = 10.0
"""How long a sidecar of ours may hold its answer; a dead connection shows after that at the latest."""
MARGIN_SECONDS: Final = 2.0
BODY_MOST: Final = 256
_TARGET: Final = b"/healthz"
_BODY: Final = b"queue"
_PROBE: Final = (names.HEADER_PROBE.encode(), b"queue")
_AGENT: Final = (b"User-Agent", names.AGENT_ACTIVATOR.encode())
_PASSTHROUGH: Final = (names.HEADER_PASSTHROUGH.encode(), b"true")
_SIDECAR: Final = b"upwell-sidecar"


class Answered(Enum):
    """What an attempt came to."""

    READY = "ready"
    NOT_READY = "not ready"
    """The pod says so, or something else that no mesh would say in its place."""
    MESH = "perhaps a mesh"
    """502 or 503, and not from a sidecar of ours: a mesh says this when it does not let us through."""
    HELD = "held"
    """Not ready by the end of the time that a sidecar of ours held its answer."""
    NOTHING = "nothing"
    """No answer at all."""


Heard = Callable[[Address, Answered], None]


class Pace:
    """When to ask the next time."""

    def __init__(self, frequency: float) -> None:
        """`frequency` is the longest pause between the beginnings of two attempts, in seconds."""
        self._frequency = frequency

    def pause(self, answered: Answered, since_seen: float, took: float, probing: int) -> float:
        """Seconds to the next attempt, after one that `took` so long; `probing` pods are being asked in all."""
        shortest = SHORTEST_PAUSE * max(1.0, probing / UNHURRIED)
        if answered is Answered.HELD:
            return 0.0
        if answered is Answered.NOTHING:
            return min(max(shortest, since_seen * PAUSE_SHARE), self._frequency)
        return max(shortest, self._frequency - took)


class Prober:
    """Asks pods; one call of `until_ready` for each."""

    def __init__(
        self, fetcher: Fetcher, clock: Clock, *, timeout: float, frequency: float, recheck: float = 5.0
    ) -> None:
        """`timeout` is how long a sidecar not known as ours may take to answer, in seconds; `frequency` and `recheck`
        are the longest pauses between two probes, of pods that start and of those that a mesh seems to hide."""
        self.recheck = recheck
        self._fetcher = fetcher
        self._clock = clock
        self.frequency = frequency
        self._timeout = timeout
        self._pace = Pace(frequency)
        self._probing = 0

    async def ask(self, address: Address) -> Answered:
        """What is answered at `address` now; a sidecar of ours may hold its answer for as long as others may take."""
        return (await self._ask(address, None, False))[0]

    async def until_ready(self, address: Address, host: bytes | None = None, heard: Heard | None = None) -> float:
        """Return when the pod can take requests; the value is when the attempt began that was answered first.

        `host` is the name by which a mesh lets us through to one pod. `heard` is told of attempts that were in vain.
        """
        self._probing += 1
        try:
            return await self._until_ready(address, host, heard)
        finally:
            self._probing -= 1

    async def _until_ready(self, address: Address, host: bytes | None, heard: Heard | None) -> float:
        seen = self._clock.monotonic()
        up: float | None = None
        ours = False
        while True:
            began = self._clock.monotonic()
            answered, ours = await self._ask(address, host, ours)
            now = self._clock.monotonic()
            if up is None and answered is not Answered.NOTHING:
                up = began
            if answered is Answered.READY:
                return began if up is None else up
            if heard is not None:
                heard(address, answered)
            await self._clock.sleep(self._pace.pause(answered, now - seen, now - began, self._probing))

    async def _ask(self, address: Address, host: bytes | None, ours: bool) -> tuple[Answered, bool]:
        """What came of one attempt, and whether the sidecar is ours."""
        held = HELD_SECONDS if ours else self._timeout / 2
        began = self._clock.monotonic()
        headers = [(b"Host", host or str(address).encode()), _AGENT, _PROBE]
        headers.append((b"Upwell-Wait", b"%d" % int(held * 1000)))
        if host is not None:
            headers.append(_PASSTHROUGH)
        try:
            result = await self._fetcher.fetch(
                b"GET",
                address.host,
                address.port,
                _TARGET,
                headers,
                timeout=held + MARGIN_SECONDS if ours else self._timeout,
                max_body=BODY_MOST,
            )
        except FetchError:
            return Answered.NOTHING, False
        ours = any(name.lower() == _SIDECAR for name, _ in result.headers)
        if result.status == 200 and result.body == _BODY:
            return Answered.READY, ours
        if result.status in (502, 503) and not ours:
            return Answered.MESH, ours
        # One that is shutting down answers at once; asking it again at once would be a busy loop.
        held_on = ours and self._clock.monotonic() - began >= held / 2
        return (Answered.HELD if held_on else Answered.NOT_READY), ours
