"""A launcher whose processes exist on paper only, for tests of containers and pods on a fake clock."""

import asyncio
import signal
from collections.abc import Sequence
from typing import Any

from upwell.clock import FakeClock
from upwell.local.runtime.launcher import LaunchError
from upwell.local.runtime.logs import ContainerLog
from upwell.local.runtime.spec import ContainerSpec


class FakeProcess:
    """Runs until it is told to exit; SIGKILL ends it, SIGTERM only when it is `obedient`."""

    def __init__(self, name: str, clock: FakeClock, *, obedient: bool = True) -> None:
        self.name = name
        self.signals: list[signal.Signals] = []
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._clock = clock
        self._obedient = obedient

    def exit(self, code: int) -> None:
        if not self.exited.done():
            self.exited.set_result(code)

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number)
        if number is signal.SIGKILL or self._obedient:
            self.exit(-number)

    async def stop(self, grace: float) -> int:
        self.signal(signal.SIGTERM)
        waiting = asyncio.ensure_future(self._clock.sleep(grace))
        await asyncio.wait((self.exited, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not self.exited.done():
            self.signal(signal.SIGKILL)
        return await self.exited


class FakeLauncher:
    """Starts fake processes; `answers` are the exit codes of executed commands, by program."""

    def __init__(self, clock: FakeClock) -> None:
        self.started: list[FakeProcess] = []
        self.executed: list[str] = []
        self.answers: dict[str, int] = {}
        self.refusal: LaunchError | None = None
        self.obedient = True
        self._clock = clock

    async def launch(self, container: ContainerSpec, log: ContainerLog) -> Any:
        if self.refusal:
            raise self.refusal
        process = FakeProcess(container.name, self._clock, obedient=self.obedient)
        self.started.append(process)
        return process

    async def execute(self, container: ContainerSpec, command: Sequence[str]) -> int:
        self.executed.append(command[0])
        return self.answers.get(command[0], 0)

    @property
    def process(self) -> FakeProcess:
        """The latest one."""
        return self.started[-1]
