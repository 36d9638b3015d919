"""Rows for revisions that start: how soon requests are answered, one start at a time, hundreds at once, and a crowd."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

from bench.cluster import NAMESPACE, api_server, revision, slice_of
from bench.contest import cpu_seconds, on_core, peak_rss
from bench.pods import Asker, Autoscaler, Pods, ask
from bench.proxies import LOAD_CORE, Target, activator, backend, queueproxy
from bench.rows import KEPT_WAITING, Bench, Measure, Row, Series, at_most
from upwell.api import names
from upwell.api.resources import ENDPOINT_SLICE, REVISION
from upwell.cluster.client import Client

__all__ = ["ROWS"]

TOOLS = {"haproxy": "haproxy", "taskset": "util-linux"}
STARTS = 100
BURST = 500
START_SECONDS = 1.0
CROWD = 10_000
CROWD_PODS = 20
CROWD_BATCH = 100
"""As many requests are sent at once; the next when these wait. Within a batch the order is anybody's."""
CROWD_LIMITS = {"no limit per pod": 0, "10 at once per pod": 10}
OUT_OF_TURN = CROWD // 20
"""So many places may lie between a request's turn and when it is seen: its batch, what is on its way to 20 pods at
once, and the order in which one process reads all their connections."""
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """An activator on a cluster, with everything around it."""

    target: Target
    client: Client


@contextmanager
def _cluster(bench: Bench, revisions: Sequence[str], concurrency: int = 0) -> Iterator[tuple[Target, Path]]:
    objects = [(REVISION, revision(name, concurrency)) for name in revisions]
    with (
        api_server(bench.folder, objects) as kubeconfig,
        activator(bench.folder, kubeconfig, {"ACTIVATOR_FLIPS": "false"}) as target,
    ):
        yield target, kubeconfig


@asynccontextmanager
async def _stage(target: Target, kubeconfig: Path) -> AsyncIterator[Stage]:
    client = await Client.connect(str(kubeconfig))
    try:
        yield Stage(target, client)
    finally:
        await client.close()


def _run(story: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(story)


def _request(name: str, path: str = "/") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: {name}.example.com\r\n{names.HEADER_REVISION}: {name}\r\n"
        f"{names.HEADER_NAMESPACE}: {NAMESPACE}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
    ).encode()


@asynccontextmanager
async def _autoscaler(stage: Stage, wakes: Any) -> AsyncIterator[Autoscaler]:
    """One that the activator has found."""
    autoscaler = Autoscaler(wakes)
    await autoscaler.listen()
    listed = slice_of("autoscaler", "a", ["127.0.0.1"], {"http": autoscaler.port})
    listed["metadata"]["namespace"] = names.SYSTEM_NAMESPACE
    await stage.client.create(ENDPOINT_SLICE, listed)
    await asyncio.wait_for(autoscaler.connected.wait(), PATIENCE)
    try:
        yield autoscaler
    finally:
        await autoscaler.close()


# One start after the other.


def starts(bench: Bench) -> Row:
    revisions = [f"cold-{number:05d}" for number in range(STARTS)]
    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder))
        sidecar = stack.enter_context(queueproxy(bench.folder, app, core=LOAD_CORE))
        target, kubeconfig = stack.enter_context(_cluster(bench, revisions))
        series = _run(_start_all(target, kubeconfig, sidecar, revisions))
    waits = sorted(series.columns["request to first byte, ms"])
    own = sorted(series.columns["of it Upwell's, ms"])
    note = (
        "The pod's sidecar and app are there, and their address is written as soon as the autoscaler hears of the "
        "request. What is Upwell's is all but the time until the API server has answered that write."
    )
    middle, high = len(waits) // 2, int(len(waits) * 0.99) - 1
    figures = (
        at_most("request to first byte, added by Upwell, p50, ms", own[middle], 5.0),
        at_most("request to first byte, added by Upwell, p99, ms", own[high], 15.0),
        at_most("the same with the API server's write, p50, ms", waits[middle], None),
        at_most("the same with the API server's write, p99, ms", waits[high], None),
    )
    return Row(figures, [series], note)


async def _start_all(target: Target, kubeconfig: Path, sidecar: Target, revisions: Sequence[str]) -> Series:
    series = Series("cold start")
    told: asyncio.Queue[str] = asyncio.Queue()
    async with _stage(target, kubeconfig) as stage, _autoscaler(stage, told.put_nowait):
        for name in revisions:
            asker = await ask(target.port)
            kept_waiting = on_core(target.pid)[1]
            asker.send(_request(name))
            while await told.get() != name:
                pass
            decided = perf_counter()
            ports = {"http": sidecar.port}
            await stage.client.create(
                ENDPOINT_SLICE, slice_of(f"{name}-private", "a", ["127.0.0.1"], ports, ready=False)
            )
            written = perf_counter()
            await asyncio.wait_for(asker.answered, PATIENCE)
            asker.close()
            waited, wrote = (asker.first_byte - asker.asked) * 1000, (written - decided) * 1000
            series.add(
                {
                    "request to first byte, ms": waited,
                    "of it Upwell's, ms": waited - min(wrote, waited),
                    "until the autoscaler knows": (decided - asker.asked) * 1000,
                    "API server's write": wrote,
                    KEPT_WAITING: (on_core(target.pid)[1] - kept_waiting) * 1000 / waited,
                    "failed": asker.status != 200,
                }
            )
    return series


# Hundreds at once.


def burst(bench: Bench) -> Row:
    revisions = [f"burst-{number:05d}" for number in range(BURST)]
    series = Series("burst")
    for _ in range(bench.rounds):
        with _cluster(bench, revisions) as (target, kubeconfig):
            series.add(_run(_burst(target, kubeconfig, revisions)))
    figures = (
        at_most("requests without an answer", max(series.columns["unanswered"]), 0, "{:.0f}", by_the_clock=False),
        at_most("last first byte after its pod is ready, s", series.median("last, s"), 1.0),
        at_most("activator's CPU, s", series.median("CPU s"), 1.0, by_the_clock=False),
    )
    return Row(
        figures, [series], f"Each pod is ready {START_SECONDS:.0f} s after the autoscaler heard of its revision."
    )


async def _burst(target: Target, kubeconfig: Path, revisions: Sequence[str]) -> dict[str, float]:
    hosts = {name: f"127.3.{number // 250}.{number % 250 + 1}" for number, name in enumerate(revisions)}
    pods = Pods()
    await pods.listen(list(hosts.values()))
    loop = asyncio.get_running_loop()
    async with _stage(target, kubeconfig) as stage, asyncio.TaskGroup() as tasks:

        def wake(name: str) -> None:
            host = hosts[name]
            loop.call_later(START_SECONDS, pods.make_ready, host)
            made = slice_of(f"{name}-private", "a", [host], {"http": pods.port}, ready=False)
            tasks.create_task(stage.client.create(ENDPOINT_SLICE, made), name=f"pod of {name}")

        async with _autoscaler(stage, wake):
            askers = {name: await ask(target.port) for name in revisions}
            before = cpu_seconds(target.pid)
            for name, asker in askers.items():
                asker.send(_request(name))
            await asyncio.wait([asker.answered for asker in askers.values()], timeout=PATIENCE)
            used = cpu_seconds(target.pid) - before
    pods.close()
    after = sorted(asker.first_byte - pods.ready[hosts[name]] for name, asker in askers.items() if asker.status == 200)
    for asker in askers.values():
        asker.close()
    middle, last = (after[len(after) // 2], after[-1]) if after else (PATIENCE, PATIENCE)
    return {"unanswered": len(askers) - len(after), "middle, s": middle, "last, s": last, "CPU s": used}


# A crowd.


def crowd(bench: Bench) -> Row:
    figures, series = [], []
    for name, limit in CROWD_LIMITS.items():
        one = Series(name)
        for _ in range(bench.rounds):
            with _cluster(bench, ["crowd-00001"], limit) as (target, kubeconfig), peak_rss(target.pid) as peak:
                outcome = _run(_crowd(target, kubeconfig))
                one.add({**outcome, "RSS MiB": max(peak)})
        figures += [
            at_most(f"{name}: requests lost", max(one.columns["lost"]), 0, "{:.0f}", by_the_clock=False),
            at_most(f"{name}: out of turn", max(one.columns["out of turn"]), 0, "{:.0f}", by_the_clock=False),
            at_most(f"{name}: RSS, MiB", one.median("RSS MiB"), 150, "{:.0f}", by_the_clock=False),
        ]
        series.append(one)
    note = (
        f"Sent {CROWD_BATCH} at a time; out of turn is what reached a pod more than {OUT_OF_TURN} places from its own."
    )
    return Row(figures, series, note)


async def _crowd(target: Target, kubeconfig: Path) -> dict[str, float]:
    hosts = [f"127.4.0.{number + 1}" for number in range(CROWD_PODS)]
    pods = Pods()
    await pods.listen(hosts)
    for host in hosts:
        pods.make_ready(host)
    async with _stage(target, kubeconfig) as stage:
        askers: list[Asker] = []
        while len(askers) < CROWD:
            batch = [await ask(target.port) for _ in range(CROWD_BATCH)]
            for number, asker in enumerate(batch, len(askers)):
                asker.send(_request("crowd-00001", f"/{number}"))
            askers += batch
            while await asyncio.to_thread(_queued, target) < len(askers):  # noqa: ASYNC110 - a process has no event
                await asyncio.sleep(0.01)
        before, began = cpu_seconds(target.pid), perf_counter()
        await stage.client.create(ENDPOINT_SLICE, slice_of("crowd-00001-private", "a", hosts, {"http": pods.port}))
        await asyncio.wait([asker.answered for asker in askers], timeout=PATIENCE)
        used, passed = cpu_seconds(target.pid) - before, perf_counter() - began
    pods.close()
    for asker in askers:
        asker.close()
    out_of_turn = sum(abs(int(path[1:]) - place) > OUT_OF_TURN for place, path in enumerate(pods.served))
    lost = sum(asker.status != 200 for asker in askers)
    return {"lost": lost, "out of turn": out_of_turn, "seconds": passed, "CPU s": used}


def _queued(target: Target) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{target.metrics_port}/metrics", timeout=10) as answer:
        for line in answer:
            if line.startswith(b"kn_revision_request_queued{"):
                return float(line.rsplit(b" ", 1)[1])
    return 0.0


ROWS = (
    Measure("starts", "100 cold starts, one by one, of apps that need no time", TOOLS, starts),
    Measure("burst", "500 revisions at zero, one request each at once", TOOLS, burst),
    Measure("crowd", "10,000 requests wait for one revision, then 20 pods come", TOOLS, crowd),
)
