"""The sidecar's composition root: settings, parts, servers, and the way out.

On SIGTERM or SIGINT probes fail, and requests are served on until none has come for a while; then the listeners
close and what is in flight finishes. A second signal ends the process at once (contract: queue-proxy.md 13).
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import uvloop

from queueproxy.config import VARIABLES, QueueProxyConfig
from queueproxy.drain import Drainer
from queueproxy.endpoints import admin_endpoints, metrics_endpoints, stats_endpoints
from queueproxy.handler import Handler, RequestTimeouts
from queueproxy.observing import Observers, flush, make_observers
from queueproxy.readiness import Readiness
from queueproxy.stats import StatsReporter
from queueproxy.tls_settings import TlsSettings
from upwell.api import names
from upwell.clock import Clock, SystemClock
from upwell.http import Application, Engine, Exchange
from upwell.listening import bind
from upwell.policy.breaker import Breaker
from upwell.policy.request_stats import RequestStats
from upwell.ports import ConfigError
from upwell.telemetry import log

if TYPE_CHECKING:
    from ssl import SSLContext

    from queueproxy.tls import Certificates

__all__ = ["main"]

QUEUE_DEPTH_FACTOR: Final = 10

_log = log.get()


def main() -> int:
    """Run until told to stop; the exit status."""
    if len(sys.argv) > 1:
        _parse_arguments()
    try:
        config = QueueProxyConfig.from_env(os.environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(config))
    except ConfigError as error:
        for line in str(error).splitlines():
            print(f"queueproxy: {line}", file=sys.stderr)  # noqa: T201 - nothing runs yet, and a person will read it
        return 1
    return 0


def _parse_arguments() -> None:
    import argparse  # costs a few milliseconds of each start that has no arguments

    width = max(len(name) for name, _, _ in VARIABLES)
    lines = [f"  {name:<{width}}  {meaning} [{default or 'empty'}]" for name, default, meaning in VARIABLES]
    argparse.ArgumentParser(
        prog="queueproxy",
        description="The sidecar in front of one pod of a revision.",
        epilog="environment variables [default]:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()


async def _run(config: QueueProxyConfig) -> None:
    revision = config.revision
    log.configure("queueproxy", config.log_level, revision=f"{revision.namespace}/{revision.name}", pod=revision.pod)
    signalled = _watch_signals()
    sockets = _bind_all(config)
    clock = SystemClock()
    limit = max(0, config.container_concurrency)
    certificates = _load_certificates(config.tls, clock)
    metrics_certificates = _load_certificates(config.observability.metrics_tls, clock)
    engine = Engine(component=b"queueproxy", limits=config.limits)
    upstream = engine.upstream("127.0.0.1", config.ports.actual(config.user_port))
    breaker = Breaker[Exchange](limit, QUEUE_DEPTH_FACTOR * limit) if limit else None
    stats = RequestStats(clock.monotonic())
    reporter = StatsReporter(stats, revision.pod, clock)
    drainer = Drainer(config.drain_quiet, clock)
    readiness = Readiness(config.probes, clock)
    observers = make_observers(config, engine, upstream, breaker, stats, clock)

    async with asyncio.TaskGroup() as tasks:
        handler = Handler(
            upstream,
            breaker=breaker,
            timeouts=RequestTimeouts(config.revision_timeout, config.response_start_timeout, config.idle_timeout),
            stats=stats,
            drainer=drainer,
            readiness=readiness,
            tasks=tasks,
            now=engine.now,
            metrics=observers.metrics,
            request_log=observers.request_log,
            log_probes=config.observability.log_probes,
            tracing=observers.tracing,
            server_timing=config.server_timing,
        )
        await _serve(engine, handler, sockets[config.serving_port])
        await _serve(engine, admin_endpoints(drainer, tasks), sockets[names.PORT_QUEUE_ADMIN])
        await _serve(engine, stats_endpoints(reporter), sockets[names.PORT_STATS])
        background = [tasks.create_task(reporter.run(), name="statistics")]
        if certificates is not None:
            await _serve(engine, handler, sockets[config.tls_port], certificates.context)
            background.append(tasks.create_task(certificates.follow(), name="certificates"))
        background += await _serve_observers(config, engine, observers, sockets, tasks, metrics_certificates)
        if config.serving_port == names.PORT_H2C:
            engine.expect_http2()
        _tell_that_we_serve(config)

        await signalled.wait()
        await _leave(engine, drainer)
        for task in background:
            task.cancel()
        await readiness.close()
    await flush(observers)


async def _serve_observers(
    config: QueueProxyConfig,
    engine: Engine,
    observers: Observers,
    sockets: Mapping[int, list[socket.socket]],
    tasks: asyncio.TaskGroup,
    certificates: "Certificates | None",
) -> list[asyncio.Task[None]]:
    """Serve what was asked for beside requests; the tasks that it needs. `certificates` are the metrics port's."""
    settings, background = config.observability, []
    if observers.metrics is not None and settings.prometheus:
        tls = None if certificates is None else certificates.context
        await _serve(engine, metrics_endpoints(observers.metrics), sockets[settings.metrics_port], tls)
    if certificates is not None:
        background.append(tasks.create_task(certificates.follow(), name="metrics certificates"))
    if observers.metrics_sender is not None:
        background.append(tasks.create_task(observers.metrics_sender.run(), name="metrics export"))
    if settings.profiling_port:
        from upwell.telemetry.profiling import Profiling  # off by default, and then it costs nothing

        await _serve(engine, Profiling(tasks).endpoints, sockets[settings.profiling_port])
    return background


def _load_certificates(settings: TlsSettings | None, clock: Clock) -> "Certificates | None":
    if settings is None:
        return None
    from queueproxy.tls import Certificates  # off by default, and then OpenSSL makes no context

    return Certificates(settings, clock)


def _tell_that_we_serve(config: QueueProxyConfig) -> None:
    gc.freeze()  # what was loaded stays; a full collection that goes through it would hold requests up for 10 ms
    port, limit = config.ports.actual(config.serving_port), max(0, config.container_concurrency)
    _log.info("serving", port=port, concurrency=limit, tls=config.tls is not None)


def _watch_signals() -> asyncio.Event:
    """Set at the first SIGTERM or SIGINT; from then on another one ends the process at once."""
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()

    def received() -> None:
        if signalled.is_set():
            _log.warning("second signal: leaving at once")
            os._exit(1)
        signalled.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received)
    return signalled


def _bind_all(config: QueueProxyConfig) -> dict[int, list[socket.socket]]:
    """The sockets of each of the contract's ports; raise ConfigError when one is taken, before anything runs."""
    sockets = {
        port: bind(config.ports, port) for port in (config.serving_port, names.PORT_QUEUE_ADMIN, names.PORT_STATS)
    }
    if config.observability.prometheus:
        port = config.observability.metrics_port
        sockets[port] = bind(config.ports, port, config.observability.metrics_host)
    if config.observability.profiling_port:
        port = config.observability.profiling_port
        sockets[port] = bind(config.ports, port)
    if config.tls is not None:
        sockets[config.tls_port] = bind(config.ports, config.tls_port)
    return sockets


async def _serve(
    engine: Engine, app: Application, sockets: list[socket.socket], tls: "SSLContext | None" = None
) -> None:
    for listener in sockets:
        await engine.serve(app, "", sock=listener, tls=tls)


async def _leave(engine: Engine, drainer: Drainer) -> None:
    _log.info("draining: probes fail, requests are served until none has come for a while")
    await drainer.drain_for_signal()
    _log.info("drained: closing the listeners", in_flight=engine.in_flight)
    await engine.drain(None)
