"""The port for profiles, open while config-observability says `runtime-profiling: enabled`.

Followed live, as in the reference. Of several workers the first one has it. A port that is taken is told and leaves
everything else as it is.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from upwell.api.config_observability import parse_observability
from upwell.http import Engine, Listener
from upwell.listening import bind
from upwell.ports import ConfigError, PortMap
from upwell.telemetry import log

__all__ = ["ProfilingPort"]

LOG: Final = log.get("profiling")


class ProfilingPort:
    """`configure` says whether it should be open, `run` sees to it."""

    def __init__(self, engine: Engine, ports: PortMap, port: int) -> None:
        self._engine = engine
        self._ports = ports
        self._port = port
        self._wanted = False
        self._changed = asyncio.Event()
        self._listeners: list[Listener] = []

    def configure(self, data: Mapping[str, str]) -> None:
        """The settings are these now; those that cannot be used change nothing."""
        try:
            self._wanted = parse_observability(data).profiling
        except ConfigError as error:
            LOG.error("settings refused, profiling stays as it is", error=str(error))
            return
        self._changed.set()

    async def run(self) -> None:
        """Open and close until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._wanted and not self._listeners:
                    await self._open(tasks)
                elif not self._wanted:
                    for listener in self._listeners:
                        listener.close()
                    self._listeners = []

    async def _open(self, tasks: asyncio.TaskGroup) -> None:
        from upwell.telemetry.profiling import Profiling  # off by default, and then it costs nothing

        app = Profiling(tasks).endpoints
        try:
            self._listeners = [await self._engine.serve(app, "", sock=one) for one in bind(self._ports, self._port)]
        except (ConfigError, OSError) as error:
            LOG.error("no port for profiles", error=str(error))
        else:
            LOG.info("profiles", port=self._listeners[0].port)
