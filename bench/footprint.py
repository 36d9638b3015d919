"""Rows for what the sidecar takes of a node: memory in three situations, and the time until it accepts connections."""

import json
import os
import resource
import subprocess
import sys
import time
from contextlib import ExitStack

from bench.contest import on_core, peak_rss, rss_mib
from bench.proxies import LOAD_CORE, PROXY_CORE, Target, backend, queueproxy
from bench.rows import KEPT_WAITING, Bench, Measure, Row, Series, at_most
from bench.wrk import TOOLS, wrk

__all__ = ["ROWS"]

BUSY, IDLE = 128, 10_000
SETTLE_SECONDS = 1.0
STARTS = 10


def memory(bench: Bench) -> Row:
    """A sidecar of its own for each situation and round, so that none inherits another's memory."""
    series = {name: Series(name) for name in ("after start", "128 busy connections", "10,000 idle connections")}
    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder))
        for _ in range(bench.rounds):
            with queueproxy(bench.folder, app) as target:
                time.sleep(SETTLE_SECONDS)
                series["after start"].add({"RSS MiB": rss_mib(target.pid)})
                with peak_rss(target.pid) as peak:
                    wrk(target, bench.seconds, BUSY)
                series["128 busy connections"].add({"RSS MiB": max(peak)})
            with queueproxy(bench.folder, app) as target:
                series["10,000 idle connections"].add(_idle(target))
    targets = (26.0, 32.0, 120.0)
    figures = [
        at_most(f"RSS, {one.name}, MiB", one.median("RSS MiB"), target, "{:.1f}")
        for one, target in zip(series.values(), targets, strict=True)
    ]
    return Row(tuple(figures), list(series.values()), "An idle connection has had one request.")


def _idle(target: Target) -> dict[str, float]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(IDLE, limit - 200)
    command = ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m", "bench.peers.idle", str(target.port), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        held = json.loads(peer.stdout.readline() or '{"held": 0}')["held"]
        time.sleep(SETTLE_SECONDS)
        used = rss_mib(target.pid)
        peer.stdin.close()
        left = json.loads(peer.stdout.readline() or '{"left": 0}')["left"]
    return {"RSS MiB": used, "connections": held, "closed meanwhile": held - left}


def start(bench: Bench) -> Row:
    """From starting the process until its port accepts; beside it what Python alone takes to start and end."""
    ours, python = Series("queueproxy"), Series("python -c pass")
    with backend(bench.folder) as app:
        for _ in range(STARTS):
            began = time.perf_counter()
            with queueproxy(bench.folder, app) as target:
                passed = time.perf_counter() - began
                ran, waited = on_core(target.pid)
                ours.add({"ms": passed * 1000, "CPU ms": ran * 1000, KEPT_WAITING: waited / passed})
            began = time.perf_counter()
            command = ["taskset", "-c", str(PROXY_CORE), sys.executable, "-c", "pass"]
            subprocess.run(command, check=True, env=dict(os.environ))
            python.add({"ms": (time.perf_counter() - began) * 1000})
    figures = (
        at_most("process start to accepting connections, ms", ours.median("ms"), 120.0, "{:.0f}"),
        at_most("the same by CPU time", ours.median("CPU ms"), None, "{:.0f}"),
    )
    return Row(figures, (ours, python), f"{STARTS} starts.")


ROWS = (
    Measure("memory", "resident memory", TOOLS, memory),
    Measure("start", "time to start", {"haproxy": "haproxy", "taskset": "util-linux"}, start),
)
