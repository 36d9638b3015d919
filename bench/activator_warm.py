"""Rows for the activator in front of a revision that has its pods: what a request costs, and the choice of a pod."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from bench.cluster import NAMESPACE, api_server, config_map, revision, slice_of
from bench.contest import Turn, contest, cpu_seconds
from bench.proxies import LOAD_CORE, Target, activator, backend, haproxy, queueproxy
from bench.rows import Bench, Figure, Measure, Row, Series, at_most, beside
from bench.wrk import HEADERS, TOOLS, wrk
from upwell.api import names
from upwell.api.resources import CONFIG_MAP, ENDPOINT_SLICE, REVISION
from upwell.policy.throttler import Throttler

__all__ = ["ROWS"]

CONNECTIONS = 32
REVISION_NAME = "hello-00001"
# Still thirteen with Host: two of a browser's make room for the two that the ingress adds.
SENT = (*HEADERS[:-2], f"{names.HEADER_REVISION}: {REVISION_NAME}", f"{names.HEADER_NAMESPACE}: {NAMESPACE}")
RATE = "requests/s"
FEW, MANY = 10, 1000
CHOICES = 2_000
CHOICE_ROUNDS = 200
UNNOTICED = 0.3
"""Microseconds: a hundredth of what a request costs in the activator, so no load test can show it."""
LIMITS = {"no limit, two at random": 0, "limit 1, the first free": 1, "limit 10, round robin": 10}


@contextmanager
def activator_before(bench: Bench, pod: Target, *, asked: bool) -> Iterator[Target]:
    """The activator in front of one revision with this one pod, which it probes if `asked`."""
    objects = [
        (REVISION, revision(REVISION_NAME)),
        (ENDPOINT_SLICE, slice_of(f"{REVISION_NAME}-private", "a", ["127.0.0.1"], {"http": pod.port})),
    ]
    if not asked:
        objects.append((CONFIG_MAP, config_map("config-network", {"mesh-compatibility-mode": "disabled"})))
    with api_server(bench.folder, objects) as kubeconfig, activator(bench.folder, kubeconfig) as target:
        yield target


def warm(bench: Bench) -> Row:
    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder))
        sidecar = stack.enter_context(queueproxy(bench.folder, app, core=LOAD_CORE))
        ours = stack.enter_context(activator_before(bench, sidecar, asked=True))
        theirs = stack.enter_context(haproxy(bench.folder, sidecar))

        def turn(target: Target) -> Turn:
            before = cpu_seconds(sidecar.pid)
            done = wrk(target, bench.seconds, CONNECTIONS, headers=SENT)
            each = (cpu_seconds(sidecar.pid) - before) / max(done.units, 1) * 1e6
            return Turn(done.units, {**done.figures, "sidecar's CPU µs/request": each})

        for target in (ours, theirs):
            wrk(target, 1, CONNECTIONS, headers=SENT)
        series = contest([ours, theirs], turn, bench.rounds)
    return Row(
        beside(series["activator"], series["HAProxy"], RATE, 0.50, "requests/s through activator, sidecar and app"),
        list(series.values()),
        "Client, sidecar and app share a core, which bounds what HAProxy can show here; see the next row.",
    )


def alone(bench: Bench) -> Row:
    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder))
        ours = stack.enter_context(activator_before(bench, app, asked=False))
        theirs = stack.enter_context(haproxy(bench.folder, app))
        for target in (ours, theirs):
            wrk(target, 1, CONNECTIONS, headers=SENT)
        series = contest(
            [ours, theirs], lambda target: wrk(target, bench.seconds, CONNECTIONS, headers=SENT), bench.rounds
        )
    figures = beside(series["activator"], series["HAProxy"], RATE, 0.50, "requests/s straight to the app")
    return Row(figures, list(series.values()))


def choice(bench: Bench) -> Row:
    """Admit and release, in this process, by CPU time: the quickest of many short turns, since noise only ever adds."""
    figures: list[Figure] = []
    table: list[Series] = []
    for name, limit in LIMITS.items():
        throttlers = {count: _throttler(limit, count) for count in (FEW, MANY)}
        series = {count: Series(f"{name}, {count} pods") for count in throttlers}
        for _ in range(CHOICE_ROUNDS):
            for count, throttler in throttlers.items():
                series[count].add({"ns/choice": _choose(throttler) * 1e9})
        more = min(series[MANY].columns["ns/choice"]) - min(series[FEW].columns["ns/choice"])
        what = f"{name}: what a choice of {MANY} takes longer than one of {FEW}, µs"
        figures.append(at_most(what, more / 1000, UNNOTICED))
        table += series.values()
    return Row(figures, table, f"{CHOICES:,} choices per turn, {CHOICE_ROUNDS} rounds, half of the slots taken.")


def _throttler(limit: int, pods: int) -> Throttler[int]:
    throttler: Throttler[int] = Throttler(limit, CHOICES)
    throttler.set_activators(1, 0)
    throttler.set_pods(f"10.0.{number // 250}.{number % 250}:8012" for number in range(pods))
    for item in range(pods * max(1, limit) // 2):
        throttler.admit(item)
    return throttler


def _choose(throttler: Throttler[int]) -> float:
    began = time.process_time()
    for item in range(CHOICES):
        pod = throttler.admit(item)
        assert pod is not None
        throttler.release(pod)
    return (time.process_time() - began) / CHOICES


ROWS: Sequence[Measure] = (
    Measure("warm", "activator, sidecar, app; 13 headers, 32 connections", TOOLS, warm),
    Measure("alone", "the same without the sidecar", TOOLS, alone),
    Measure("choice", "choosing one of 10 and of 1,000 pods", {}, choice),
)
