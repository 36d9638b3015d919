"""One container: started, watched, asked, restarted with back-off, and ended in an orderly way.

    Waiting ──launch──> Running ──exit──> Terminated ──first restart──> Running
       ^                                      │
       └── cannot start / CrashLoopBackOff <──┘ starts too close together

`run` goes round until `stop` is called. Every change of state, readiness or explanation calls `changed`, at once.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from upwell.clock import Clock
from upwell.local.processes import Process
from upwell.local.runtime.backoff import RestartBackoff
from upwell.local.runtime.launcher import Launcher, LaunchError
from upwell.local.runtime.logs import ContainerLog
from upwell.local.runtime.prober import Outcome, attempt
from upwell.local.runtime.probes import Probe, ProbeTracker, Role
from upwell.local.runtime.spec import ContainerSpec
from upwell.telemetry import log

__all__ = ["Container", "Running", "State", "Terminated", "Waiting"]

LOG = log.get("containers")
EXPLAIN_AFTER: Final = 1.0
"""Seconds of not being ready after which the reason is looked for and shown; most starts are over by then."""
LEAST_GRACE: Final = 2.0
"""Seconds between SIGTERM and SIGKILL when a hook has used up the grace period; the kubelet's number."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not running, and why."""

    reason: str = "ContainerCreating"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """Running since this Unix time."""

    since: float


@dataclass(frozen=True, slots=True)
class Terminated:
    """Ended; times are Unix seconds."""

    exit_code: int
    signal: int
    reason: str
    message: str
    started: float
    finished: float


State: TypeAlias = Waiting | Running | Terminated
Explain = Callable[[], Awaitable[str]]


class Container:
    """See the module."""

    def __init__(
        self,
        spec: ContainerSpec,
        log_file: ContainerLog,
        launcher: Launcher,
        clock: Clock,
        changed: Callable[[], None],
        *,
        explain: Explain | None = None,
        once: bool = False,
    ) -> None:
        """`explain` may say more about a container that is not ready; `once` makes exit code 0 the end."""
        self.spec = spec
        self.log = log_file
        self.state: State = Waiting()
        self.last: Terminated | None = None
        self.restarts = 0
        self.started = False
        self.ready = False
        self.not_ready_because = ""
        self._launcher = launcher
        self._clock = clock
        self._changed = changed
        self._explain = explain
        self._once = once
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._doubted = asyncio.Event()
        self._end_message = ""

    @property
    def pid(self) -> int | None:
        """The process' id, while it runs."""
        return self._process.pid if self._process else None

    @property
    def completed(self) -> bool:
        """Whether a container that runs once has done so."""
        return self._once and isinstance(self.state, Terminated) and self.state.exit_code == 0

    async def run(self) -> None:
        """Keep the container running until `stop`; one that runs `once`, until it succeeds."""
        backoff = RestartBackoff()
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            try:
                process = await self._launcher.launch(self.spec, self.log)
            except LaunchError as error:
                self._become(Waiting(error.problem.reason, error.problem.message))
                await self._wait_for(self._stopping, max(0.25, backoff.next(0.0)))
                continue
            await self._watch(process)
            if self.completed or self._stopping.is_set():
                return
            pause = backoff.next(self._clock.monotonic() - began)
            if pause:
                self._become(Waiting("CrashLoopBackOff", self._crash_message(pause)))
                await self._wait_for(self._stopping, pause)
            self.restarts += 1

    async def stop(self, grace: float) -> None:
        """End the container: its preStop hook, SIGTERM, and SIGKILL when `grace` seconds are over."""
        self._stopping.set()
        process = self._process
        if process is None:
            return
        await self._end(process, grace)

    def kill(self) -> None:
        """End the container at once."""
        self._stopping.set()
        if self._process:
            self._process.signal(signal.SIGKILL)

    def doubt(self) -> None:
        """Take the container for not ready until its readiness probe has passed once more."""
        if self.ready and self.spec.readiness:
            self.ready = False
            self._doubted.set()
            self._changed()

    async def _watch(self, process: Process) -> None:
        """One run of the process, from start to exit."""
        since = self._clock.now()
        self._process = process
        self.started = self.spec.startup is None
        self.ready = self.started and self.spec.readiness is None
        self._become(Running(since))
        if self._stopping.is_set():
            process.signal(signal.SIGKILL)
        probing = asyncio.create_task(self._probe(process), name=f"probes of {process.name}")
        try:
            code = await process.exited
        except asyncio.CancelledError:
            process.signal(signal.SIGKILL)
            raise
        finally:
            probing.cancel()
            outcome = (await asyncio.gather(probing, return_exceptions=True))[0]
            if isinstance(outcome, Exception):
                LOG.error("probing failed", container=process.name, error=repr(outcome))
            self._process = None
        self.started = self.ready = False
        self.not_ready_because = ""
        self.last = self._terminated(code, since)
        self._become(self.last)

    def _terminated(self, code: int, since: float) -> Terminated:
        message, self._end_message = self._end_message, ""
        if not message and code and self.spec.log_as_message:
            message = self.log.tail()
        return Terminated(
            # As a shell reports it: 128 and the signal's number.
            exit_code=code if code >= 0 else 128 - code,
            signal=max(0, -code),
            reason="Completed" if code == 0 else "Error",
            message=message,
            started=since,
            finished=self._clock.now(),
        )

    async def _probe(self, process: Process) -> None:
        if self.spec.startup:
            await self._follow(self.spec.startup, Role.STARTUP, process)
            if process.exited.done():
                return
            self.started = True
            self.ready = self.spec.readiness is None
            self._changed()
        async with asyncio.TaskGroup() as group:
            if self.spec.readiness:
                group.create_task(self._follow_readiness(self.spec.readiness), name="readiness probe")
            if self.spec.liveness:
                group.create_task(self._follow(self.spec.liveness, Role.LIVENESS, process), name="liveness probe")

    async def _follow(self, probe: Probe, role: Role, process: Process) -> None:
        """Repeat a startup probe until it passes, or a liveness probe for ever; end the process when it fails."""
        await self._clock.sleep(probe.initial_delay)
        tracker = ProbeTracker(probe, role, self._clock.monotonic())
        while True:
            outcome = await attempt(probe, self._execute)
            now = self._clock.monotonic()
            tracker.record(outcome.passed, now)
            if tracker.failed:
                self._end_message = f"{role} probe failed: {outcome.message}"
                await self._end(process, grace=10.0)
                return
            if role is Role.STARTUP and tracker.passing:
                return
            await self._clock.sleep(tracker.delay(now))

    async def _follow_readiness(self, probe: Probe) -> None:
        """Repeat the readiness probe for ever, and from the beginning whenever its outcome is doubted."""
        await self._clock.sleep(probe.initial_delay)
        while True:
            self._doubted.clear()
            began = self._clock.monotonic()
            tracker = ProbeTracker(probe, Role.READINESS, began)
            while not self._doubted.is_set():
                outcome = await attempt(probe, self._execute)
                if self._doubted.is_set():
                    break  # it may have been asked before there was reason to doubt
                now = self._clock.monotonic()
                changed = tracker.record(outcome.passed, now)
                await self._note_readiness(tracker.passing, changed, outcome, waited=now - began)
                await self._wait_for(self._doubted, tracker.delay(now))

    async def _note_readiness(self, ready: bool, changed: bool, outcome: Outcome, *, waited: float) -> None:
        reason = ""
        if not ready and (changed or waited >= EXPLAIN_AFTER):
            reason = f"readiness probe failed: {outcome.message}"
            if self._explain and (more := await self._explain()):
                reason = f"{reason}: {more}"
        if changed or (reason and reason != self.not_ready_because):
            self.ready = ready
            self.not_ready_because = reason
            self._changed()

    async def _execute(self, command: Sequence[str]) -> int:
        try:
            return await self._launcher.execute(self.spec, command)
        except LaunchError:
            return 127

    async def _end(self, process: Process, grace: float) -> None:
        began = self._clock.monotonic()
        if self.spec.pre_stop and grace > 0:
            await self._hook(self.spec.pre_stop, process, grace)
        left = grace - (self._clock.monotonic() - began)
        await process.stop(max(left, LEAST_GRACE) if grace > 0 else 0)

    async def _hook(self, hook: Probe, process: Process, limit: float) -> None:
        """Run the preStop hook, as long as the process lives; what it answers does not matter."""
        asking = asyncio.create_task(attempt(hook, self._execute, limit), name=f"preStop of {process.name}")
        await asyncio.wait((asking, process.exited), return_when=asyncio.FIRST_COMPLETED)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    def _become(self, state: State) -> None:
        self.state = state
        self._changed()

    def _crash_message(self, pause: float) -> str:
        last = self.last
        how = f"exit code {last.exit_code}" if last else "an error"
        return f"{self.spec.name} ended with {how}; next start in {pause:.2g} s"

    async def _wait_for(self, event: asyncio.Event, seconds: float) -> None:
        """Let time pass, but not longer than until `event`."""
        sleeping = asyncio.create_task(self._clock.sleep(seconds), name="pause")
        waiting = asyncio.create_task(event.wait(), name="end of the pause")
        try:
            await asyncio.wait((sleeping, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waiting.cancel()
            await asyncio.gather(sleeping, waiting, return_exceptions=True)
