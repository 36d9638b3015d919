"""Several processes on the same ports: more requests than one processor can carry.

    this process ── starts, restarts, tells to stop ──> worker 0, 1, … N-1
       └─ /metrics: asks all of them, marks each         each listens on the same ports; the kernel spreads
          one's series with its number                   connections over them (SO_REUSEPORT)

A worker is a whole activator: with caches, pools, throttlers and statistics of its own. What it may send follows
without anybody talking about it: the activators share out a revision's pods as ever, and each one's workers share
its part by their numbers (`Throttler`), so that no pod is counted upon twice and an activator with another number of
workers, or Knative's, needs not know. Only worker 0 stands for election to write public addresses. A worker that ends
is started again, and meanwhile the kernel gives new connections to the others.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import aiohttp
from aiohttp import web

from activator.config import WORKER, ActivatorConfig
from activator.worker_metrics import merge
from upwell.api import names
from upwell.clock import SystemClock
from upwell.cluster.backoff import Backoff
from upwell.cluster.runtime import running
from upwell.ports import ConfigError
from upwell.telemetry import log
from upwell.telemetry.metrics import CONTENT_TYPE

__all__ = ["serve", "until_orphaned", "wanted"]

LOG: Final = log.get("workers")
FLAG: Final = "--workers"
VARIABLE: Final = "ACTIVATOR_WORKERS"
MOST: Final = 256
STEADY_SECONDS: Final = 10.0
"""A worker that ran for so long is restarted at once when it ends."""
SCRAPE_SECONDS: Final = 5.0
PARENT_SECONDS: Final = 1.0


def wanted(arguments: list[str], env: Mapping[str, str]) -> int:
    """How many workers there are to be; takes the flag out of `arguments`. Exits when it makes no sense."""
    if WORKER in env:
        return 1
    text = env.get(VARIABLE) or "1"
    for index, argument in enumerate(arguments):
        flag, given, value = argument.partition("=")
        if flag == FLAG:
            text = value if given else "".join(arguments[index + 1 : index + 2])
            del arguments[index : index + (1 if given else 2)]
            break
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST):
        sys.exit(f'activator: {FLAG} or {VARIABLE} is "{text}": it has to be a number from 1 to {MOST}')
    return int(text)


async def serve(count: int, env: Mapping[str, str], stop: asyncio.Event) -> None:
    """Keep `count` workers running until `stop`, then let them drain; raise ConfigError or OSError at the start."""
    config = ActivatorConfig.from_env(env)
    if config.ports.listen_fds:
        raise ConfigError("UPWELL_LISTEN_FDS cannot be used with more than one worker: each needs sockets of its own")
    workers = [_Worker(number, count) for number in range(count)]
    admin = await _serve_metrics(workers, config)
    try:
        async with running({f"worker {worker.number}": worker.run() for worker in workers}):
            await stop.wait()
            LOG.info("telling the workers to stop", workers=count)
            await asyncio.gather(*(worker.stop() for worker in workers))
    finally:
        await admin.cleanup()


async def until_orphaned(stop: asyncio.Event) -> None:
    """In a worker: set `stop` when the process that started it is no more, which would leave nobody to do so."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - the kernel tells nobody
        await asyncio.sleep(PARENT_SECONDS)
    LOG.error("the process that started this worker is gone: leaving")
    stop.set()


class _Worker:
    """One of the processes, and the socket on which it serves its metrics."""

    def __init__(self, number: int, count: int) -> None:
        self.number = number
        self._count = count
        self._admin = socket.create_server(("127.0.0.1", 0))
        self.metrics_url = f"http://127.0.0.1:{self._admin.getsockname()[1]}/metrics"
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start the process, and again whenever it ends before it was told to."""
        backoff = Backoff()
        clock = SystemClock()
        while not self._stopping.is_set():
            began = clock.monotonic()
            self._process = await self._start()
            if self._stopping.is_set():
                self._process.terminate()
            status = await self._process.wait()
            if not self._stopping.is_set():
                LOG.error("a worker has ended and is started again", worker=self.number, status=status)
                if clock.monotonic() - began > STEADY_SECONDS:
                    backoff.reset()
                else:
                    await clock.sleep(backoff.next())

    async def stop(self) -> None:
        """Tell the process to drain, and wait until it has."""
        self._stopping.set()
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        admin = self._admin.fileno()
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "activator",
            pass_fds=[admin],
            env={
                **os.environ,
                WORKER: f"{self.number}/{self._count}",
                "UPWELL_LISTEN_FDS": f"{names.PORT_METRICS}={admin}",
            },
        )


async def _serve_metrics(workers: Sequence[_Worker], config: ActivatorConfig) -> web.AppRunner:
    timeout = aiohttp.ClientTimeout(total=SCRAPE_SECONDS)

    async def one(session: aiohttp.ClientSession, worker: _Worker) -> tuple[str, str]:
        try:
            async with session.get(worker.metrics_url) as response:
                return str(worker.number), await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return str(worker.number), ""

    async def metrics(_: web.Request) -> web.Response:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            texts = await asyncio.gather(*(one(session, worker) for worker in workers))
        return web.Response(body=merge(texts).encode(), headers={"Content-Type": CONTENT_TYPE.decode()})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    ports = config.ports
    await web.TCPSite(runner, config.metrics_host or ports.bind_host, ports.actual(config.metrics_port)).start()
    return runner
