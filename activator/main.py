"""Starts the parts of the activator, in the order in which a request meets them.

With more than one worker this process serves nothing itself: see `activator.workers`.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, Final

from aiohttp import web

from activator import workers
from activator.application import Activator
from activator.config import VARIABLES, ActivatorConfig
from activator.encryption import Encryption
from activator.lifecycle import drain, serve_until
from activator.metrics import Metrics
from activator.network import CONFIG_MAP as NETWORK_CONFIG_MAP
from activator.network import Network
from activator.observing import Observers
from activator.probe_answers import Health
from activator.probing import Prober
from activator.profiles import ProfilingPort
from activator.reporter import ConcurrencyReporter
from activator.sks_reconciler import ServerlessServices
from activator.stat_sender import StatSender
from activator.tracing_setup import TracingSetup, resource_attributes
from activator.traffic import Shared
from activator.waiting_page import Visits
from activator.watching import Watched
from upwell.api import names
from upwell.clock import SystemClock
from upwell.cluster.client import Client
from upwell.cluster.endpoints import Address
from upwell.cluster.runtime import run_component, running
from upwell.http import Application, Engine, Limits, Listener
from upwell.listening import bind
from upwell.policy.waiting_room import WaitingRoom
from upwell.telemetry import log
from upwell.telemetry.server import serve_metrics
from upwell.tls.serving import ServingContext

__all__ = ["main", "serve"]

CONNECT_SECONDS: Final = 1.0
"""A pod that does not take a connection within this is passed over for another, and asked by a probe again."""


def main() -> None:
    count = workers.wanted(sys.argv, os.environ)
    run_component(
        "activator",
        partial(workers.serve, count) if count > 1 else serve,
        about="Holds requests for revisions that have no capacity, and forwards them as soon as there is some. "
        "With --workers N there are N processes on the same ports.",
        variables=VARIABLES,
    )


async def serve(env: Mapping[str, str], stop: asyncio.Event) -> None:
    """Run until `stop`, then drain; raise ConfigError or OSError when it cannot start."""
    config = ActivatorConfig.from_env(env)
    client = await Client.connect(env.get("KUBECONFIG") or None)
    try:
        await _Process(config, env, client).run(stop)
    finally:
        await client.close()


class _Process:
    """Every part, each made of those before it; `run` lets them work."""

    def __init__(self, config: ActivatorConfig, env: Mapping[str, str], client: Client) -> None:
        self._config = config
        self._client = client
        self._clock = clock = SystemClock()
        resource = resource_attributes(config, env)
        self._metrics = metrics = Metrics(resource)
        self._observers = Observers(metrics, clock, server_timing=config.server_timing)
        self._tracing = TracingSetup(self._observers, resource, env)
        self._engine = engine = Engine(limits=_limits(config), component=b"activator")
        self._watched = watched = Watched(client, config, clock)
        self._health = Health(watched.unfilled)
        self._sender = StatSender(
            watched.endpoints,
            config.system_namespace,
            config.pod_name,
            clock,
            metrics.stats_reachable,
            metrics.stats_errors,
        )
        self._reporter = ConcurrencyReporter(config.pod_name, self._sender.send, clock, metrics.concurrency)
        self._prober = Prober(
            engine,
            clock,
            timeout=config.probe_timeout,
            frequency=config.probe_frequency,
            recheck=config.recheck_seconds,
        )
        self._profiling = ProfilingPort(engine, config.ports, config.profiling_port)
        self._visits = Visits(self._reporter.request_out, clock)
        self._encryption = Encryption(client, config.system_namespace, config.tls, clock, self._serve_tls)
        self._network = Network(
            engine, watched.endpoints, watched.services, self._encryption.secure_for, cluster_ips=config.cluster_ips
        )
        self._network.on_change(lambda: self._encryption.switch(self._network.tls))
        self._room = WaitingRoom(config.queue_total // config.workers, config.queue_bytes // config.workers)
        metrics.show_room(self._room)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then drain; raise OSError when a port is taken."""
        config, engine = self._config, self._engine
        async with running(self._background(stop)) as tasks:
            self._activator = activator = self._application(tasks)
            self._watched.settings.on_change(self._configure)
            for port in (names.PORT_HTTP, names.PORT_H2C):
                await _listen(engine, activator, config, port)
            admin = await _serve_metrics(self._metrics, config)
            try:
                await serve_until(stop, activator, self._synced, config.start_wait_seconds)
                await drain(self._health, engine, activator, config)
            finally:
                activator.close()
                await admin.cleanup()

    def _background(self, stop: asyncio.Event) -> dict[str, Coroutine[Any, Any, None]]:
        """What goes on beside the requests, by name; some of it in one of several workers only."""
        config, watched = self._config, self._watched
        background = {
            **watched.tasks(),
            "reporter": self._reporter.run(),
            "stat sender": self._sender.run(),
            "waiting page visits": self._visits.run(),
            "tracing": self._tracing.run(),
            "encryption": self._encryption.run(),
            "profiling": self._profiling.run(),
        }
        if config.flips and config.worker == 0:
            background["endpoint flips"] = ServerlessServices(
                self._client,
                watched.serverless_services,
                watched.services,
                watched.endpoints,
                system_namespace=config.system_namespace,
                identity=config.pod_name,
                clock=self._clock,
            ).run()
        if config.workers > 1:
            background["parent"] = workers.until_orphaned(stop)
        return background

    def _application(self, tasks: asyncio.TaskGroup) -> Activator:
        config, watched = self._config, self._watched
        shared = Shared(
            self._engine,
            self._network,
            self._prober,
            tasks,
            self._reporter,
            self._metrics,
            self._observers,
            self._visits,
            self._clock,
            config.queue_limit,
            self._room,
            (config.worker, config.workers),
        )
        return Activator(
            shared,
            watched.revisions,
            watched.autoscalers,
            watched.services,
            watched.endpoints,
            self._health,
            cluster_domain=config.cluster_domain,
            self_address=lambda port_name: _own_address(config, port_name),
        )

    def _configure(self, name: str) -> None:
        """A config map has changed."""
        config, settings = self._config, self._watched.settings
        if name == config.observability_name:
            self._observers.configure(settings.get(name))
            self._tracing.configure(settings.get(name))
            if config.worker == 0:
                self._profiling.configure(settings.get(name))
        elif name == NETWORK_CONFIG_MAP:
            self._network.configure(settings.get(name))
        elif name == config.logging_name:
            log.set_level(settings.get(name).get("loglevel.activator") or config.log_level)

    async def _synced(self) -> None:
        await self._watched.wait_synced()
        await self._encryption.wait_synced()

    async def _serve_tls(self, serving: ServingContext) -> list[Listener]:
        return await _listen(self._engine, self._activator, self._config, names.PORT_TLS, serving)


async def _listen(
    engine: Engine, app: Application, config: ActivatorConfig, port: int, serving: ServingContext | None = None
) -> list[Listener]:
    tls = None if serving is None else serving.context
    return [
        await engine.serve(app, "", sock=one, tls=tls) for one in bind(config.ports, port, shared=config.workers > 1)
    ]


async def _serve_metrics(metrics: Metrics, config: ActivatorConfig) -> web.AppRunner:
    ports = config.ports
    given = ports.listen_fds.get(names.PORT_METRICS)
    sock = None if given is None else socket.socket(fileno=given)
    host = config.metrics_host or ports.bind_host
    return await serve_metrics(metrics.registry, host, ports.actual(config.metrics_port), sock=sock)


def _limits(config: ActivatorConfig) -> Limits:
    return Limits(
        idle_connections=config.idle_connections_per_pod,
        idle_connections_total=config.idle_connections,
        connect_timeout=CONNECT_SECONDS,
    )


def _own_address(config: ActivatorConfig, port_name: str) -> Address:
    port = names.PORT_H2C if port_name == names.PORT_NAME_H2C else names.PORT_HTTP
    return Address(config.pod_ip, config.ports.actual(port))
