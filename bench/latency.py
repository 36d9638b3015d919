"""Rows for what the sidecar adds to the time that an answer takes, at a rate far below what it could take.

Most of it is the machine waking two processes more. So HAProxy, or nghttpx, has its turn as well: what it adds is about
the least that a proxy can.
"""

from collections.abc import Sequence
from contextlib import ExitStack

from bench.contest import Turn, ask_peer, contest
from bench.proxies import Target, backend, direct, haproxy, nghttpx, peer_app, queueproxy
from bench.rows import Bench, Figure, Measure, Row, Series, at_most

__all__ = ["ROWS"]

REQUESTS_PER_SECOND, CALLS_PER_SECOND = 1000, 500
COLUMNS = {"p50": "p50 ms", "p99": "p99 ms"}


def http1(bench: Bench) -> Row:
    def turn(target: Target) -> Turn:
        return _turn(ask_peer("steady", target.port, REQUESTS_PER_SECOND, bench.seconds, seconds=bench.seconds))

    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder))
        ours = stack.enter_context(queueproxy(bench.folder, app))
        theirs = stack.enter_context(haproxy(bench.folder, app))
        series = contest([direct(app), ours, theirs], turn, bench.rounds)
    return Row(_added(series, "at 1,000 requests/s", (0.15, 0.6)), list(series.values()))


def grpc(bench: Bench) -> Row:
    def turn(target: Target) -> Turn:
        words = ("call", target.port, CALLS_PER_SECOND, bench.seconds)
        return _turn(ask_peer("grpc_echo", *words, seconds=bench.seconds))

    with ExitStack() as stack:
        app = stack.enter_context(peer_app(bench.folder, "grpc_echo"))
        ours = stack.enter_context(queueproxy(bench.folder, app))
        theirs = stack.enter_context(nghttpx(bench.folder, app))
        series = contest([direct(app), ours, theirs], turn, bench.rounds)
    return Row(_added(series, "gRPC unary, 500 calls/s", (0.4, 1.5)), list(series.values()))


def _turn(measured: dict[str, float]) -> Turn:
    latencies = {column: measured[name] for name, column in COLUMNS.items()}
    return Turn(measured["requests"], {**latencies, "failed": measured["failed"]})


def _added(series: dict[str, Series], load: str, targets: Sequence[float]) -> list[Figure]:
    """What the sidecar adds, and what the other proxy does."""
    alone, ours, theirs = series.values()
    figures = []
    for (name, column), target in zip(COLUMNS.items(), targets, strict=True):
        figures.append(at_most(f"{load}: added at {name}, ms", ours.above(alone, column), target))
        figures.append(at_most(f"the same for {theirs.name}", theirs.above(alone, column), None))
    return figures


ROWS = (
    Measure("latency", "1,000 requests/s, open loop", {"haproxy": "haproxy", "taskset": "util-linux"}, http1),
    Measure(
        "grpc", "500 unary calls/s with grpcio, open loop", {"nghttpx": "nghttp2-proxy", "taskset": "util-linux"}, grpc
    ),
)
