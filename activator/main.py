"""Starts the parts of the activator, in the order in which a request meets them.

With more than one worker this process serves nothing itself: see `activator.workers`.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from functools import partial
from typing import Final

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
        await _serve(config, env, client, stop)
    finally:
        await client.close()


async def _serve(config: ActivatorConfig, env: Mapping[str, str], client: Client, stop: asyncio.Event) -> None:
    clock = SystemClock()
    resource = resource_attributes(config, env)
    metrics = Metrics(resource)
    observers = Observers(metrics, clock, server_timing=config.server_timing)
    tracing = TracingSetup(observers, resource, env)
    health = Health()
    engine = Engine(limits=_limits(config), component=b"activator")
    watched = Watched(client, config, clock)
    endpoints, settings = watched.endpoints, watched.settings
    sender = StatSender(
        endpoints, config.system_namespace, config.pod_name, clock, metrics.stats_reachable, metrics.stats_errors
    )
    reporter = ConcurrencyReporter(config.pod_name, sender.send, clock, metrics.concurrency)
    prober = Prober(
        engine, clock, timeout=config.probe_timeout, frequency=config.probe_frequency, recheck=config.recheck_seconds
    )
    profiling = ProfilingPort(engine, config.ports, config.profiling_port)
    visits = Visits(reporter.request_out, clock)

    encryption = Encryption(
        client,
        config.system_namespace,
        config.tls,
        clock,
        lambda serving: _listen(engine, activator, config, names.PORT_TLS, serving),
    )
    network = Network(engine, endpoints, watched.services, encryption.secure_for, cluster_ips=config.cluster_ips)
    network.on_change(lambda: encryption.switch(network.tls))
    background = {
        **watched.tasks(),
        "reporter": reporter.run(),
        "stat sender": sender.run(),
        "waiting page visits": visits.run(),
        "tracing": tracing.run(),
        "encryption": encryption.run(),
        "profiling": profiling.run(),
    }
    if config.flips and config.worker == 0:
        background["endpoint flips"] = ServerlessServices(
            client,
            watched.serverless_services,
            watched.services,
            endpoints,
            system_namespace=config.system_namespace,
            identity=config.pod_name,
            clock=clock,
        ).run()
    if config.workers > 1:
        background["parent"] = workers.until_orphaned(stop)
    room = WaitingRoom(config.queue_total // config.workers, config.queue_bytes // config.workers)
    metrics.show_room(room)

    def configure(name: str) -> None:
        if name == config.observability_name:
            observers.configure(settings.get(name))
            tracing.configure(settings.get(name))
            if config.worker == 0:
                profiling.configure(settings.get(name))
        elif name == NETWORK_CONFIG_MAP:
            network.configure(settings.get(name))
        elif name == config.logging_name:
            log.set_level(settings.get(name).get("loglevel.activator") or config.log_level)

    async def synced() -> None:
        await watched.wait_synced()
        await encryption.wait_synced()

    async with running(background) as tasks:
        shared = Shared(
            engine,
            network,
            prober,
            tasks,
            reporter,
            metrics,
            observers,
            visits,
            clock,
            config.queue_limit,
            room,
            (config.worker, config.workers),
        )
        activator = Activator(
            shared,
            watched.revisions,
            watched.autoscalers,
            watched.services,
            endpoints,
            health,
            cluster_domain=config.cluster_domain,
            self_address=lambda port_name: _own_address(config, port_name),
        )
        settings.on_change(configure)
        for port in (names.PORT_HTTP, names.PORT_H2C):
            await _listen(engine, activator, config, port)
        admin = await _serve_metrics(metrics, config)
        try:
            await serve_until(stop, activator, synced, config.start_wait_seconds)
            await drain(health, engine, activator, config)
        finally:
            activator.close()
            await admin.cleanup()


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
