"""Switches tracing on, off and over as `config-observability` says, while requests go on.

Better than the contract (activator.md 3.1), where an activator has to be restarted for it. OpenTelemetry is loaded only
when somebody wants traces, and in a thread, since that takes a third of a second.
"""

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from activator.config import ActivatorConfig
from activator.observing import Observers
from upwell.api.config_observability import parse_observability
from upwell.ports import ConfigError
from upwell.telemetry import log
from upwell.telemetry.tracing_settings import TracingSettings, read_tracing

if TYPE_CHECKING:
    from activator.request_tracing import RequestTracing
    from upwell.telemetry.tracing import SpanSender

__all__ = ["TracingSetup", "resource_attributes"]

LOG: Final = log.get("tracing")
FLUSH_SECONDS: Final = 10.0


def resource_attributes(config: ActivatorConfig, env: Mapping[str, str]) -> dict[str, str]:
    """What traces and `target_info` call this process (contract: activator.md 12.2)."""
    return {
        "k8s.namespace.name": config.system_namespace,
        "k8s.pod.name": config.pod_name,
        "service.name": env.get("OTEL_SERVICE_NAME") or "activator",
        "service.instance.id": config.pod_name,
    }


class TracingSetup:
    """Keeps `observers.tracing` as the settings want it; `run` does the work."""

    def __init__(self, observers: Observers, resource: Mapping[str, str], env: Mapping[str, str]) -> None:
        self._observers = observers
        self._resource = resource
        self._env = env
        self._wanted: TracingSettings | None = None
        self._current: TracingSettings | None = None
        self._sender: SpanSender | None = None
        self._changed = asyncio.Event()

    def configure(self, data: Mapping[str, str]) -> None:
        """The settings are these now; those that cannot be used change nothing."""
        try:
            self._wanted = read_tracing(self._env, parse_observability(data).sidecar["tracing"], "config-observability")
        except ConfigError as error:
            LOG.error("settings refused, tracing stays as it is", error=str(error))
            return
        self._changed.set()

    async def run(self) -> None:
        """Follow the settings until cancelled, then send what is left."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._wanted != self._current:
                    await self._switch(self._wanted)
        finally:
            await self._close()

    async def _switch(self, settings: TracingSettings | None) -> None:
        self._current = settings
        try:
            made = None if settings is None else await asyncio.to_thread(_make, settings, self._resource)
        except (ConfigError, ValueError) as error:
            LOG.error("tracing cannot be switched on", error=str(error))
            made = None
        await self._close()
        if made is not None and settings is not None:
            self._observers.tracing, self._sender = made
            LOG.info("tracing", protocol=settings.protocol, endpoint=settings.endpoint)

    async def _close(self) -> None:
        sender, self._sender = self._sender, None
        self._observers.tracing = None
        if sender is None:
            return
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            sender.close()
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(closed.set)

        # Not the loop's executor: the process's end waits for that one, and a collector may hang for ever.
        threading.Thread(target=close, name="span flush", daemon=True).start()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):  # wait_for may swallow being cancelled, before Python 3.12
                await closed.wait()
        except TimeoutError:
            LOG.warning("the collector does not take the last spans in time")


def _make(settings: TracingSettings, resource: Mapping[str, str]) -> "tuple[RequestTracing, SpanSender]":
    from activator.request_tracing import SCOPE, RequestTracing  # off by default; OpenTelemetry is large
    from upwell.telemetry.tracing import SpanSender

    sender = SpanSender(settings.protocol, settings.endpoint, resource, SCOPE)
    return RequestTracing(settings.sampler, sender), sender
