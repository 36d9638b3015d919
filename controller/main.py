"""The controller, from its settings to its end.

    Service ─> Configuration ─> Revision ─> Deployment, PodAutoscaler
       └─────> Route ─────────────────────> Ingress, placeholder Services

It follows the cluster from the start and takes part in the election for each duty; who is elected acts. All it does
follows from what it reads, so that it may be killed at any time and carries on where it was.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from controller.config import VARIABLES, ProcessConfig
from controller.controllers import Controllers
from controller.duties import stand_for_election
from controller.health import serve_health
from controller.settings import Settings
from controller.webhook.reviews import Reviews
from controller.webhook.server import Webhook
from controller.webhook.trials import PodTrials
from upwell.clock import Clock, SystemClock
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.election import CONFIG_MAP
from upwell.cluster.runtime import run_component, running
from upwell.telemetry import log
from upwell.telemetry.metrics import Registry

__all__ = ["main", "serve"]

LOG: Final = log.get()


def main() -> None:
    run_component(
        "controller",
        serve,
        about="Turns Services, Configurations, Revisions and Routes into the objects that run them.",
        variables=VARIABLES,
    )


async def serve(env: Mapping[str, str], stop: asyncio.Event) -> None:
    """Run until `stop`; raise ConfigError or OSError when it cannot start."""
    config = ProcessConfig.from_env(env)
    clock = SystemClock()
    client = await Client.connect(env.get("KUBECONFIG") or None)
    try:
        await _run(config, client, clock, stop)
    finally:
        await client.close()


async def _run(config: ProcessConfig, client: Client, clock: Clock, stop: asyncio.Event) -> None:
    config_maps = ConfigMaps(client, config.system_namespace, clock=clock)
    controllers = Controllers(
        client,
        config_maps,
        clock,
        system_namespace=config.system_namespace,
        cluster_domain=config.cluster_domain,
        workers=config.workers,
        ingresses=config.ingresses,
    )
    webhook = _webhook(config, client, clock, config_maps)
    registry = Registry()
    client.count_in(registry)
    registry.gauge_from("upwell_controller_synced", "Whether every cache is filled.", lambda: float(controllers.synced))

    def obstacle() -> str:
        if unfilled := controllers.unfilled():
            return f"waiting for copies of: {unfilled}"
        return "" if webhook is None or webhook.listening else "the webhook does not listen yet"

    health = await serve_health(registry, obstacle, config.ports.bind_host, config.health_ports())
    try:
        tasks = controllers.running() | {
            "elections": _stand_for_election(config, client, clock, config_maps, controllers)
        }
        if webhook is not None:
            tasks |= {"webhook": webhook.serve(), "webhook certificates": webhook.keep_certificates()}
        async with running(tasks):
            LOG.info("started", identity=config.identity)
            await stop.wait()
    finally:
        await health.cleanup()


def _webhook(config: ProcessConfig, client: Client, clock: Clock, config_maps: ConfigMaps) -> Webhook | None:
    """Every replica serves it, whoever leads; None where it is not wanted."""
    port = config.webhook_port()
    if port is None:
        return None
    return Webhook(
        client,
        Reviews(config_maps.get, config.cluster_domain),
        PodTrials(client, Settings(config_maps), config.system_namespace),
        clock,
        namespace=config.system_namespace,
        cluster_domain=config.cluster_domain,
        conversion=config.conversion,
        address=(config.ports.bind_host, port),
    )


async def _stand_for_election(
    config: ProcessConfig, client: Client, clock: Clock, config_maps: ConfigMaps, controllers: Controllers
) -> None:
    """For each duty by itself, as soon as there is something to judge by."""
    await controllers.wait_synced()
    times = config_maps.get(CONFIG_MAP)
    async with asyncio.TaskGroup() as group:
        for duty in controllers.duties:
            elections = stand_for_election(client, config.system_namespace, config.identity, times, duty, clock)
            group.create_task(elections, name=f"elections for {duty.name}")
