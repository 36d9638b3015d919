"""`python -m upwell.local.runtime`: runs the Deployments of an API server as processes on this machine."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import uvloop

from upwell.clock import SystemClock
from upwell.cluster.client import Client
from upwell.local.runtime.runtime import Runtime, Settings
from upwell.ports import ConfigError, parse_pairs
from upwell.telemetry import log

ENVIRONMENT = """environment:
  KUBECONFIG         the API server to follow, where --kubeconfig is not given
  UPWELL_LISTEN_FDS  sockets that already listen, handed over for hostPorts: HOSTPORT=DESCRIPTOR,...
"""


def main() -> None:
    arguments = _parser().parse_args()
    log.configure("runtime")
    try:
        inherited = parse_pairs("UPWELL_LISTEN_FDS", os.environ.get("UPWELL_LISTEN_FDS", ""), 2**20)
        settings = Settings(
            root=arguments.root.absolute(),
            folder=Path.cwd(),
            environment=dict(os.environ),
            inherited_ports=inherited,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(arguments.kubeconfig, settings))
    except (ConfigError, OSError) as error:
        print(f"runtime: {error}", file=sys.stderr)
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m upwell.local.runtime",
        description="Run the Deployments of an API server as processes on this machine.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, required=True, help="folder for logs and process records")
    parser.add_argument("--kubeconfig", default=None, help="default: $KUBECONFIG")
    return parser


async def _serve(kubeconfig: str | None, settings: Settings) -> None:
    stop, started = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = await Client.connect(kubeconfig)
    try:
        async with asyncio.TaskGroup() as group:
            announcing = group.create_task(_announce(started), name="announcement")
            await Runtime(client, settings, SystemClock()).run(stop, started)
            announcing.cancel()
    finally:
        await client.close()


async def _announce(started: asyncio.Event) -> None:
    """One line for whoever started us, once everything is being looked after."""
    await started.wait()
    print(json.dumps({"ready": True}), flush=True)


if __name__ == "__main__":
    main()
