"""Starts the parts of the activator, in the order in which a request meets them, and ends them.

The end (contract: activator.md 11): SIGTERM → the kubelet is told no, everything goes on for `drain_seconds`, so that
nobody sends here any more → listeners close, and requests that are here finish, those that wait included → the
websocket to the autoscaler goes last, because what still waits needs pods.
"""

import asyncio
from collections.abc import Iterable, Mapping

from activator.application import Activator
from activator.config import VARIABLES, ActivatorConfig
from activator.metrics import Metrics
from activator.observing import CONFIG_MAP, Observers
from activator.probe_answers import Health
from activator.probing import Prober
from activator.reporter import ConcurrencyReporter
from activator.sks_reconciler import ACTIVATOR_SERVICE, ServerlessServices
from activator.stat_sender import SERVICE as AUTOSCALER_SERVICE
from activator.stat_sender import StatSender
from activator.tracing_setup import TracingSetup, resource_attributes
from activator.traffic import Shared
from activator.waiting_page import Visits
from upwell.api import names
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, POD_AUTOSCALER, REVISION, SERVERLESS_SERVICE
from upwell.clock import SystemClock
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.endpoints import Address, EndpointTracker
from upwell.cluster.informer import Informer
from upwell.cluster.runtime import run_component, running
from upwell.http import Engine, Limits
from upwell.policy.waiting_room import WaitingRoom
from upwell.telemetry import log
from upwell.telemetry.server import serve_metrics

__all__ = ["main", "serve"]

LOG = log.get()
CONNECT_SECONDS = 1.0
"""A pod that does not take a connection within this is passed over for another, and asked by a probe again."""
_SYSTEM_SERVICES = f"{names.LABEL_SLICE_SERVICE} in ({ACTIVATOR_SERVICE},{AUTOSCALER_SERVICE})"
DRAIN_MOST_SECONDS = 555.0
"""What the pod's grace period of 600 s leaves after the pause of 45 s."""


def main() -> None:
    run_component(
        "activator",
        serve,
        about="Holds requests for revisions that have no capacity, and forwards them as soon as there is some.",
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
    settings = ConfigMaps(client, config.system_namespace, clock=clock)
    settings.on_change(lambda name: _configure(observers, tracing, settings, name))
    health = Health()
    engine = Engine(limits=_limits(config), component=b"activator")
    revisions = Informer(client, REVISION, clock=clock)
    autoscalers = Informer(client, POD_AUTOSCALER, clock=clock)
    # Of a big cluster's slices only those of revisions, and of the two Services that are looked up by name.
    revision_slices = Informer(client, ENDPOINT_SLICE, labels=names.LABEL_SKS, clock=clock)
    system_slices = Informer(
        client, ENDPOINT_SLICE, namespace=config.system_namespace, labels=_SYSTEM_SERVICES, clock=clock
    )
    objects = Informer(client, SERVERLESS_SERVICE, clock=clock)
    services = Informer(client, CORE_SERVICE, labels=names.LABEL_SKS, clock=clock)
    endpoints = EndpointTracker(revision_slices, system_slices)
    sender = StatSender(
        endpoints, config.system_namespace, config.pod_name, clock, metrics.stats_reachable, metrics.stats_errors
    )
    reporter = ConcurrencyReporter(config.pod_name, sender.send, clock, metrics.concurrency)
    prober = Prober(engine, clock, timeout=config.probe_timeout, frequency=config.probe_frequency)
    reconciler = ServerlessServices(
        client,
        objects,
        services,
        endpoints,
        system_namespace=config.system_namespace,
        identity=config.pod_name,
        clock=clock,
    )
    visits = Visits(reporter.request_out, clock)
    background = {
        "revisions": revisions.run(),
        "pod autoscalers": autoscalers.run(),
        "slices of revisions": revision_slices.run(),
        "slices of the system": system_slices.run(),
        "serverless services": objects.run(),
        "services": services.run(),
        "reporter": reporter.run(),
        "stat sender": sender.run(),
        "waiting page visits": visits.run(),
        "config maps": settings.run(),
        "tracing": tracing.run(),
    }
    if config.flips:
        background["endpoint flips"] = reconciler.run()
    room = WaitingRoom(config.queue_total, config.queue_bytes)
    async with running(background) as tasks:
        shared = Shared(engine, prober, tasks, reporter, metrics, observers, visits, clock, config.queue_limit, room)
        activator = Activator(
            shared,
            revisions,
            autoscalers,
            endpoints,
            health,
            cluster_domain=config.cluster_domain,
            self_address=lambda port_name: _own_address(config, port_name),
        )
        host = config.ports.bind_host
        for port in (names.PORT_HTTP, names.PORT_H2C):
            await engine.serve(activator, host, config.ports.actual(port))
        admin = await serve_metrics(metrics.registry, host, config.ports.actual(names.PORT_METRICS))
        try:
            await _until_stopped(stop, activator, (revisions, revision_slices, services), config.start_wait_seconds)
            await _drain(health, engine, activator, config)
        finally:
            activator.close()
            await admin.cleanup()


async def _until_stopped(
    stop: asyncio.Event, activator: Activator, informers: Iterable[Informer], patience: float
) -> None:
    async def synced() -> None:
        for informer in informers:
            await informer.wait_synced()

    async def start() -> None:
        try:
            await asyncio.wait_for(synced(), patience or None)
        except TimeoutError:
            LOG.error("the API server has not said which revisions there are: requests are refused", seconds=patience)
            activator.lose_patience()
            await synced()
        activator.start()
        LOG.info("serving")

    starting = asyncio.create_task(start(), name="start")
    try:
        await stop.wait()
    finally:
        starting.cancel()


async def _drain(health: Health, engine: Engine, activator: Activator, config: ActivatorConfig) -> None:
    health.draining = True
    try:
        async with asyncio.timeout(config.drain_seconds):
            await _quiet(activator, config.drain_quiet_seconds)
    except TimeoutError:
        pass
    complete = await engine.drain(DRAIN_MOST_SECONDS)
    LOG.info("drained", complete=complete)


async def _quiet(activator: Activator, seconds: float) -> None:
    """Return when no request has come for so long; never, if that is 0."""
    if not seconds:
        await asyncio.Event().wait()
    before = -1
    while activator.arrivals != before:
        before = activator.arrivals
        await asyncio.sleep(seconds)


def _limits(config: ActivatorConfig) -> Limits:
    return Limits(
        idle_connections=config.idle_connections_per_pod,
        idle_connections_total=config.idle_connections,
        connect_timeout=CONNECT_SECONDS,
    )


def _configure(observers: Observers, tracing: TracingSetup, settings: ConfigMaps, name: str) -> None:
    if name == CONFIG_MAP:
        observers.configure(settings.get(name))
        tracing.configure(settings.get(name))


def _own_address(config: ActivatorConfig, port_name: str) -> Address:
    port = names.PORT_H2C if port_name == names.PORT_NAME_H2C else names.PORT_HTTP
    return Address(config.pod_ip, config.ports.actual(port))
