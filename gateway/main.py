"""The gateway's process: watch, build the table, listen, keep both in step, drain.

    informers synced ──> table ──> listen, ready, statuses written ──SIGTERM──> not ready, still serving
      ──drain delay──> listeners closed ──requests in flight done, or drain timeout──> exit 0

It does not listen before it knows every route, so a restart answers no known host with 404; where its socket was
handed over, clients meanwhile wait in the kernel's queue. Without the API server it goes on with what it knows.
"""

import asyncio
import gc
import socket
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway import kept
from gateway.admin import serving_admin
from gateway.balancer import Balancer
from gateway.config import VARIABLES, GatewayConfig
from gateway.entrance import Entrance
from gateway.forwarding import Forwarding
from gateway.metrics import GatewayMetrics
from gateway.routes import Routes
from gateway.trust import Trust
from gateway.writer import StatusWriter
from upwell.api.names import PORT_GATEWAY_LOCAL_TLS, PORT_GATEWAY_TLS
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, INGRESS
from upwell.cluster.client import Client
from upwell.cluster.endpoints import EndpointTracker
from upwell.cluster.informer import Informer, unfilled
from upwell.cluster.runtime import run_component, running
from upwell.http import Engine, Limits
from upwell.ports import ConfigError
from upwell.telemetry import log
from upwell.telemetry.metrics import Registry

if TYPE_CHECKING:
    from ssl import SSLContext

    from gateway.certificates import Certificates

__all__ = ["main"]

LOG: Final = log.get()
ABOUT: Final = "Routes requests to revisions by host, path, header and percentage, as Ingress objects say."
CONNECT_SECONDS: Final = 3.0
"""Pods answer a connection within milliseconds or are gone; three seconds allow for two lost packets."""


class Gateway:
    """The parts, put together."""

    def __init__(self, config: GatewayConfig, client: Client) -> None:
        self.ready = False
        self._config = config
        self._client = client
        self._engine = Engine(limits=Limits(connect_timeout=CONNECT_SECONDS), component=b"gateway")
        self._ingresses = Informer(client, INGRESS, trim=kept.ingress_trim(config.ingress_class))
        self._services = Informer(client, CORE_SERVICE, labels=kept.PUBLIC_ONLY, trim=kept.service)
        self._slices = Informer(client, ENDPOINT_SLICE, labels=kept.PUBLIC_ONLY, trim=kept.endpoint_slice)
        self._registry = Registry()
        client.count_in(self._registry)
        metrics = GatewayMetrics(self._registry)
        self._routes = Routes(self._ingresses, config.ingress_class)
        self._trust = Trust(client, config.namespace)
        endpoints = EndpointTracker(self._slices)
        balancer = Balancer(self._services, endpoints, self._engine, metrics, secure=self._trust.dialer)
        self._routes.on_unused(balancer.drop)
        self._status = StatusWriter(client, self._ingresses, self._routes, config.load_balancers)
        self._certificates = self._make_certificates()
        https_port = config.https_port if config.tls is not None else 0
        public_only = bool(config.local_port)
        self._entrances = {
            config.port: self._forwarding(balancer, metrics, Entrance(b"http", public_only, https_port)),
            PORT_GATEWAY_TLS: self._forwarding(balancer, metrics, Entrance(b"https", public_only)),
            config.local_port: self._forwarding(balancer, metrics, Entrance()),
            PORT_GATEWAY_LOCAL_TLS: self._forwarding(balancer, metrics, Entrance(b"https")),
        }
        """By port; one without a number is not opened."""
        gauge = self._registry.gauge_from
        gauge("upwell_gateway_requests_in_flight", "Requests under way.", lambda: self._engine.in_flight)
        gauge(
            "upwell_gateway_requests_waiting",
            "Requests that wait for a ready endpoint.",
            lambda: sum(forwarding.waiting for forwarding in self._entrances.values()),
        )
        self._tell_of_routes()

    def _tell_of_routes(self) -> None:
        """How many there are, and how old what is served may be."""
        routes, gauge = self._routes, self._registry.gauge_from
        gauge("upwell_gateway_hosts", "Hosts in the routing table.", lambda: len(routes.table.hosts))
        gauge(
            "upwell_gateway_ingresses_rejected",
            "Ingress objects whose present generation cannot be served.",
            lambda: len(routes.rejected),
        )
        gauge(
            "upwell_gateway_configuration_changed_seconds",
            "When the routing table last changed, in Unix time.",
            lambda: routes.changed,
        )
        self._registry.counter_from(
            "upwell_gateway_configuration_changes",
            "Changes of the routing table, each of one Ingress object or of several at once.",
            lambda: routes.table.version,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain."""
        ports = self._config.ports
        tasks = {
            "ingress informer": self._ingresses.run(),
            "service informer": self._services.run(),
            "endpoint slice informer": self._slices.run(),
            "trust bundle informer": self._trust.bundles.run(),
        }
        if self._certificates is not None:
            tasks["secret informer"] = self._certificates.secrets.run()
        admin_port = ports.actual(self._config.admin_port)
        async with (
            serving_admin(self._registry, self._obstacle, ports.bind_host, admin_port),
            running(tasks) as group,
        ):
            if not await _finished_before(stop, self._synced()):
                return
            self._routes.flush()
            if self._certificates is not None:
                self._certificates.follow()
            gc.collect()
            gc.freeze()  # The routes stay; a full collection that goes through ten thousand holds requests up.
            await self._open()
            self.ready = True
            writer = group.create_task(self._status.run(), name="ingress status writer")
            await stop.wait()
            await self._drain()
            writer.cancel()

    def _obstacle(self) -> str:
        """What is in the way of being ready; nothing, when it is."""
        waiting = unfilled(*self._needed())
        return "" if self.ready else f"waiting for copies of: {waiting}" if waiting else "not ready"

    def _needed(self) -> list[Informer]:
        secrets = [self._certificates.secrets] if self._certificates is not None else []
        return [self._ingresses, self._services, self._slices, *secrets]

    async def _synced(self) -> None:
        for informer in self._needed():
            await informer.wait_synced()
        await self._trust.wait_synced()

    async def _open(self) -> None:
        local = self._config.local_port
        await self._listen(self._config.port)
        if local:
            await self._listen(local)
        if self._certificates is not None:
            await self._listen(PORT_GATEWAY_TLS, self._certificates.context)
            if local:
                await self._listen(PORT_GATEWAY_LOCAL_TLS, self._certificates.context)

    async def _listen(self, port: int, tls: "SSLContext | None" = None) -> None:
        app = self._entrances[port]
        ports = self._config.ports
        descriptor = ports.listen_fds.get(port)
        try:
            if descriptor is not None:
                handed_over = socket.socket(fileno=descriptor)
                handed_over.setblocking(False)
                listener = await self._engine.serve(app, ports.bind_host, sock=handed_over, tls=tls)
            else:
                listener = await self._engine.serve(app, ports.bind_host, ports.actual(port), tls=tls)
        except OSError as error:
            where = f"descriptor {descriptor}" if descriptor is not None else f"{ports.bind_host}:{ports.actual(port)}"
            raise ConfigError(f"cannot listen on {where} for port {port}: {error.strerror or error}") from error
        LOG.info("listening", port=listener.port, handed_over=descriptor is not None, tls=tls is not None)

    async def _drain(self) -> None:
        self.ready = False
        await asyncio.sleep(self._config.drain_delay)
        finished = await self._engine.drain(self._config.drain_timeout)
        LOG.info("drained", finished=finished)

    def _make_certificates(self) -> "Certificates | None":
        options = self._config.tls
        if options is None:
            return None
        from gateway.certificates import Certificates  # what signs and reads them takes a tenth of a second to load

        default = self._config.default_certificate
        return Certificates(self._client, self._routes, options, default, self._registry)

    def _forwarding(self, balancer: Balancer, metrics: GatewayMetrics, entrance: Entrance) -> Forwarding:
        return Forwarding(
            self._routes,
            balancer,
            metrics,
            entrance=entrance,
            wait_seconds=self._config.wait_seconds,
            waiting_max=self._config.waiting_max,
            access_log=self._config.access_log,
            is_ready=lambda: self.ready,
        )


async def _finished_before(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether `work` was done before `stop` was set; if not, it is cancelled."""
    waiting = [asyncio.create_task(work, name="first sync"), asyncio.create_task(_set(stop), name="stop signal")]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return waiting[0].done()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _serve(env: Mapping[str, str], stop: asyncio.Event) -> None:
    config = GatewayConfig.from_env(env)
    client = await Client.connect()
    try:
        await Gateway(config, client).run(stop)
    finally:
        await client.close()


def main() -> None:
    """Run the gateway and exit."""
    run_component("gateway", _serve, about=ABOUT, variables=VARIABLES)
