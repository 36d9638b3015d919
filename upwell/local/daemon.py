"""A process that the platform itself needs, the API server or the runtime: started, awaited, restarted, ended.

Both say on their first line of output, as JSON, that they are ready. When one dies it is started again, at once the
first time and after growing pauses later. One that cannot be started several times in a row is given up, with the end
of its log as the reason.
"""

import asyncio
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any, Final

from upwell.clock import Clock
from upwell.local.processes import Ledger, Process, start_process
from upwell.local.runtime.backoff import RestartBackoff
from upwell.local.runtime.logs import ContainerLog
from upwell.telemetry import log

__all__ = ["Daemon", "DaemonSpec", "PlatformError"]

LOG = log.get("platform")
START_SECONDS: Final = 30.0
ATTEMPTS: Final = 5


class PlatformError(Exception):
    """The platform cannot start or go on; the text is one clear line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSpec:
    """What to start and how to end it."""

    name: str
    command: Callable[[], Sequence[str]]
    """Asked before each start, since arguments may have been settled by the one before."""
    env: Mapping[str, str]
    when_owner_dies: Signals
    stop_seconds: float
    pass_fds: Sequence[int] = ()


class Daemon:
    """See the module."""

    def __init__(self, spec: DaemonSpec, ledger: Ledger, log_file: Path, clock: Clock) -> None:
        self.log = ContainerLog(log_file)
        self._spec = spec
        self._ledger = ledger
        self._clock = clock
        self._process: Process | None = None

    async def start(self) -> Mapping[str, Any]:
        """Start it and wait for its first line; raise PlatformError when there is none."""
        spec = self._spec
        with self.log.open() as errors:
            self._process = start_process(
                spec.command(),
                name=spec.name,
                ledger=self._ledger,
                env=spec.env,
                output=subprocess.PIPE,
                errors=errors,
                pass_fds=spec.pass_fds,
                when_owner_dies=spec.when_owner_dies,
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await _first_line(self._process)
        except TimeoutError:
            line = b""
        try:
            said: Mapping[str, Any] = json.loads(line)
        except ValueError:
            await self._process.stop(0)
            raise PlatformError(f"the {spec.name} does not start: {self._last_words()}") from None
        return said

    async def supervise(self) -> None:
        """Start it again whenever it ends; raise PlatformError when that keeps failing."""
        backoff = RestartBackoff()
        failures = 0
        while True:
            assert self._process is not None
            began = self._clock.monotonic()
            code = await asyncio.shield(self._process.exited)
            pause = backoff.next(self._clock.monotonic() - began)
            LOG.warning("a process ended and is started again", process=self._spec.name, exit_code=code, seconds=pause)
            await self._clock.sleep(pause)
            try:
                await self.start()
                failures = 0
            except PlatformError:
                failures += 1
                if failures == ATTEMPTS:
                    raise

    async def stop(self) -> None:
        if self._process:
            await self._process.stop(self._spec.stop_seconds)

    def _last_words(self) -> str:
        lines = self.log.tail().strip().splitlines()
        return f"{lines[-1]} (log: {self.log.path})" if lines else f"it said nothing (log: {self.log.path})"


async def _first_line(process: Process) -> bytes:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stdout
    )
    try:
        return await reader.readline()
    finally:
        transport.close()
