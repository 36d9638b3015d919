"""How every component's process starts, hears signals and ends.

    run_component("gateway", serve, about=..., variables=...)

parses `--help`, sets up logs, starts uvloop and awaits `serve(env, stop)`. The first SIGTERM or SIGINT sets `stop`,
and `serve` drains and returns: exit 0. A second signal ends the process at once: exit 1. When `serve` cannot start
(ConfigError, a port in use) one line says why: exit 1.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

import uvloop

from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["COMMON_VARIABLES", "Main", "run_component", "running"]

LOG: Final = log.get()
COMMON_VARIABLES: Final[Sequence[tuple[str, str]]] = (
    ("KUBECONFIG", "kubeconfig file; without it the pod's service account, else ~/.kube/config"),
    ("SYSTEM_NAMESPACE", "namespace of the components and config maps (knative-serving)"),
    ("CLUSTER_DOMAIN", "DNS domain of the cluster (cluster.local)"),
    ("POD_NAME", "this pod's name"),
    ("POD_IP", "this pod's address"),
    ("UPWELL_BIND_HOST", "address to listen on (0.0.0.0)"),
    ("UPWELL_PORT_MAP", "ports given to this pod where pods share an address: 8012=20117,8022=20118"),
    ("UPWELL_LISTEN_FDS", "listening sockets handed over: 8080=5"),
    ("UPWELL_LOG_LEVEL", "debug, info, warn or error (info)"),
)
"""Environment variables that every component reads, and what they mean."""

Main = Callable[[Mapping[str, str], asyncio.Event], Coroutine[Any, Any, None]]
"""Serves with the given environment until the event is set, then drains and returns."""


def run_component(name: str, main: Main, *, about: str, variables: Sequence[tuple[str, str]] = ()) -> NoReturn:
    """Run a component to its end and exit; `variables` are those it reads besides COMMON_VARIABLES."""
    _parse_arguments(name, about, [*variables, *COMMON_VARIABLES])
    log.configure(name, os.environ.get("UPWELL_LOG_LEVEL") or "info", pod=os.environ.get("POD_NAME", ""))
    status = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signalled(main))
    except* (ConfigError, OSError) as group:
        for error in _leaves(group):
            LOG.error("cannot run", error=" ".join(str(error).split()))
        status = 1
    except* Exception as group:
        LOG.exception("ended by an unexpected error", error="; ".join(repr(error) for error in _leaves(group)))
        status = 1
    sys.exit(status)


@asynccontextmanager
async def running(tasks: Mapping[str, Coroutine[Any, Any, Any]]) -> AsyncIterator[asyncio.TaskGroup]:
    """Run the named coroutines beside the block and end them with it; one that fails ends the block."""
    async with asyncio.TaskGroup() as group:
        started = [group.create_task(coroutine, name=name) for name, coroutine in tasks.items()]
        try:
            yield group
        finally:
            for task in started:
                task.cancel()


def _parse_arguments(name: str, about: str, variables: Sequence[tuple[str, str]]) -> None:
    width = max(len(variable) for variable, _ in variables) + 2
    listed = "\n".join(f"  {variable:<{width}}{meaning}" for variable, meaning in variables)
    argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=about,
        epilog=f"environment variables:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()


async def _until_signalled(main: Main) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            LOG.warning("second signal, ending at once", signal=number.name)
            os._exit(1)
        LOG.info("stopping", signal=number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await main(os.environ, stop)


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
