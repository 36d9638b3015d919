"""`python -m upwell.local.apiserver`: start the server, say where it listens, stop on a signal."""

import argparse
import asyncio
import contextlib
import errno
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import uvloop
from aiohttp import web

from upwell.api.names import SYSTEM_NAMESPACE
from upwell.clock import SystemClock
from upwell.local.apiserver.admission import Admission
from upwell.local.apiserver.catalog import CATALOG, CATALOG_WITH_OLD_VERSIONS, Catalog
from upwell.local.apiserver.deletion import Deletion
from upwell.local.apiserver.gc import Collector
from upwell.local.apiserver.handlers import Handlers
from upwell.local.apiserver.journal import MEMORY, Journal
from upwell.local.apiserver.registry import Registry
from upwell.local.apiserver.restore import ensure_namespaces, open_store
from upwell.local.apiserver.retention import Retention
from upwell.local.apiserver.server import Api, is_loopback
from upwell.local.apiserver.worklist import Worklist
from upwell.ports import ConfigError

__all__ = ["main"]

_NAMESPACES: Final = ("default", "kube-system", SYSTEM_NAMESPACE)
_SHUTDOWN_SECONDS: Final = 0.2
"""What is left of requests then; watches have no end of their own and are cut."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m upwell.local.apiserver",
        description="A Kubernetes-compatible API server in one process, for a laptop.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 picks a free one (default)")
    parser.add_argument(
        "--db", default=MEMORY, metavar="PATH", help="SQLite file that keeps the objects (default: none)"
    )
    parser.add_argument("--logs-dir", default="logs", metavar="DIR", help="where NAMESPACE/POD/CONTAINER.log are")
    parser.add_argument("--ready-fd", type=int, metavar="N", help='write the line {"port": N} there, not to stdout')
    parser.add_argument(
        "--old-versions", action="store_true", help="take serving.knative.dev/v1alpha1 and v1beta1 too, as of 2019"
    )
    return parser.parse_args()


def main() -> int:
    """Run the server; the answer is the exit code."""
    arguments = _arguments()
    try:
        if not is_loopback(arguments.host):
            raise ConfigError(f"--host {arguments.host}: not a loopback address; use 127.0.0.1")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(arguments))
    except (ConfigError, sqlite3.Error) as error:
        print(f"apiserver: {error}", file=sys.stderr)
        return 1


async def _serve(arguments: argparse.Namespace) -> int:
    stop: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def end(code: int) -> None:
        if not stop.done():
            stop.set_result(code)

    def disk_failed(error: Exception) -> None:
        print(f"apiserver: cannot write database {arguments.db}: {error}; stopping", file=sys.stderr)
        end(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end, 0)
    catalog = CATALOG_WITH_OLD_VERSIONS if arguments.old_versions else CATALOG
    journal = Journal(arguments.db, disk_failed)
    with contextlib.closing(journal):
        api, collector, retention = _assemble(catalog, journal, Path(arguments.logs_dir))
        runner = web.ServerRunner(api.server(), shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        background: list[asyncio.Future[Any]] = [
            asyncio.create_task(collector.run(), name="garbage collector"),
            asyncio.create_task(retention.run(), name="event retention"),
        ]
        try:
            port = await _listen(runner, arguments.host, arguments.port)
            _announce(port, arguments.ready_fd)
            done, _ = await asyncio.wait((stop, *background), return_when=asyncio.FIRST_COMPLETED)
            return int(stop.result()) if stop in done else _ended(done)
        finally:
            for task in background:
                task.cancel()
            await runner.cleanup()
            await asyncio.gather(*background, return_exceptions=True)


def _ended(tasks: Iterable[asyncio.Future[Any]]) -> int:
    """Background tasks never end by themselves; one that did has failed, and the server with it."""
    for task in tasks:
        print(f"apiserver: a background task failed: {task.exception()!r}; stopping", file=sys.stderr)
    return 1


def _assemble(catalog: Catalog, journal: Journal, logs_dir: Path) -> tuple[Api, Collector, Retention]:
    clock = SystemClock()
    store = open_store(catalog, journal)
    worklist = Worklist()
    deletion = Deletion(store, worklist, clock)
    registry = Registry(store, deletion, worklist, Admission(store), clock)
    ensure_namespaces(registry, _NAMESPACES)
    collector = Collector(store, catalog, deletion, worklist)
    collector.sweep()
    return Api(catalog, Handlers(registry, logs_dir)), collector, Retention(store, clock)


async def _listen(runner: web.ServerRunner, host: str, port: int) -> int:
    site = web.TCPSite(runner, host, port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} on {host} is in use; stop what listens there or use another --port"
            ) from None
        raise ConfigError(f"cannot listen on {host}:{port}: {error}") from error
    address = runner.addresses[0]
    return int(address[1])


def _announce(port: int, descriptor: int | None) -> None:
    line = json.dumps({"port": port}) + "\n"
    if descriptor is None:
        print(line, end="", flush=True)
    else:
        os.write(descriptor, line.encode())
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
