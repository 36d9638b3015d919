"""The autoscaler's process, from its environment to its end."""

import asyncio
from collections.abc import Mapping

from autoscaler.application import Autoscaler
from autoscaler.config import VARIABLES, ProcessConfig
from upwell.clock import SystemClock
from upwell.cluster.client import Client
from upwell.cluster.runtime import run_component

__all__ = ["main", "serve"]


def main() -> None:
    run_component(
        "autoscaler",
        serve,
        about="Decides how many pods each revision has, and whether its traffic goes through the activator.",
        variables=VARIABLES,
    )


async def serve(env: Mapping[str, str], stop: asyncio.Event) -> None:
    """Run until `stop`; raise ConfigError or OSError when it cannot start."""
    config = ProcessConfig.from_env(env)
    client = await Client.connect(env.get("KUBECONFIG") or None)
    try:
        await Autoscaler(config, client, SystemClock()).run(stop)
    finally:
        await client.close()
