"""Whether the app is ready: asked only on demand, answered to all who ask at the same time (contract 4.2).

While one run of the probes is under way every caller waits for it and shares its result. A run does not end when its
caller gives up: a prober that waits 300 ms each time attaches to the same run again and again. With `periodSeconds`
0 a run is eager: it tries until the app is ready, for up to 10 s. Otherwise it is one attempt.

Two things go beyond the reference, because every millisecond here is part of a cold start:
- where nobody listens yet (a refused connection costs next to nothing) an eager run asks every 5 ms for the first
  two seconds and every 20 ms later, not every 50 ms;
- `wait` keeps asking until the app is ready or the caller's own deadline, eager or not, so that a caller can be told
  the moment it happens.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from queueproxy.probe import NotReadyError, attempt
from queueproxy.probe_spec import ProbeSpec
from upwell.clock import Clock
from upwell.telemetry import log

__all__ = ["Readiness"]

EAGER_LIMIT: Final = 10.0
EAGER_TIMEOUT: Final = 0.1
EAGER_INTERVAL: Final = 0.05
REFUSED_INTERVAL: Final = 0.005
REFUSED_INTERVAL_LATER: Final = 0.02
REFUSED_SOON: Final = 2.0

_log = log.get("readiness")


class Readiness:
    """The probes of all containers of the pod; all must pass."""

    def __init__(self, specs: Sequence[ProbeSpec], clock: Clock) -> None:
        self._probes = [_Probe(spec, clock) for spec in specs]
        self._clock = clock
        self._run: asyncio.Task[bool] | None = None

    @property
    def probed(self) -> bool:
        """Whether there is anything to ask; if not, the app counts as ready."""
        return bool(self._probes)

    async def check(self) -> bool:
        """The result of the run under way, or of a new one."""
        if self._run is None:
            self._run = asyncio.create_task(self._run_probes(), name="readiness run")
        # The run outlives a caller that is cancelled; the next one attaches to it, or `close` ends it.
        return await asyncio.shield(self._run)

    async def wait(self, seconds: float) -> bool:
        """True the moment the app is ready; False when it is not within `seconds`."""
        deadline = self._clock.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds):
                while not await self.check():
                    await self._clock.sleep(self._pause(deadline - seconds))
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """End the run under way."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)

    async def _run_probes(self) -> bool:
        try:
            results = await asyncio.gather(*(probe.run() for probe in self._probes))
        except Exception:
            # A defect here must not take down a sidecar that serves requests.
            _log.exception("readiness probe failed unexpectedly")
            return False
        finally:
            self._run = None
        return all(results)

    def _pause(self, started: float) -> float:
        refused = all(probe.refused for probe in self._probes if not probe.passed)
        return _interval(refused, self._clock.monotonic() - started)


class _Probe:
    """One container's probe and what it remembers from run to run."""

    def __init__(self, spec: ProbeSpec, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self._successes = 0
        self._last_reason = ""
        self.passed = False
        self.refused = False

    async def run(self) -> bool:
        self.passed = await (self._run_eagerly() if self._spec.eager else self._run_once())
        return self.passed

    async def _run_once(self) -> bool:
        failure = await self._attempt(self._spec.timeout)
        self._tell(str(failure or ""))
        return failure is None

    def _tell(self, reason: str) -> None:
        """Log why the app is not ready, once per reason: a waiting caller asks hundreds of times."""
        if reason and reason != self._last_reason:
            _log.info("app is not ready", probe=self._spec.kind.value, port=self._spec.port, reason=reason)
        self._last_reason = reason

    async def _run_eagerly(self) -> bool:
        started = self._clock.monotonic()
        attempts = 0
        while True:
            failure = await self._attempt(EAGER_TIMEOUT)
            attempts += 1
            self._successes = self._successes + 1 if failure is None else 0
            if self._successes >= self._spec.success_threshold:
                return True
            passed = self._clock.monotonic() - started
            pause = _interval(self.refused, passed)
            if passed + pause >= EAGER_LIMIT:
                _log.warning("app is not ready", port=self._spec.port, attempts=attempts, reason=failure)
                return False
            await self._clock.sleep(pause)

    async def _attempt(self, timeout: float) -> NotReadyError | None:
        self.refused = False
        try:
            await attempt(self._spec, timeout)
        except NotReadyError as failure:
            self.refused = failure.refused
            return failure
        return None


def _interval(refused: bool, passed: float) -> float:
    """Seconds to the next attempt, `passed` seconds after the first."""
    if not refused:
        return EAGER_INTERVAL
    return REFUSED_INTERVAL if passed < REFUSED_SOON else REFUSED_INTERVAL_LATER
