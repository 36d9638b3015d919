"""Rows for large bodies: bytes per second in each direction, and what the sidecar's memory does meanwhile."""

from contextlib import ExitStack

from bench.contest import Turn, ask_peer, contest, rss_mib
from bench.proxies import Target, direct, haproxy, peer_app, queueproxy
from bench.rows import Bench, Measure, Row, at_most, beside

__all__ = ["ROWS"]

SIZE = 1024**3
GROWTH_MIB = 8.0
TOOLS = {"haproxy": "haproxy", "taskset": "util-linux"}


def _stream(bench: Bench, direction: str) -> Row:
    def turn(target: Target) -> Turn:
        took = ask_peer("bulk", direction, target.port, SIZE, seconds=60)
        mib = SIZE / 1024**2
        return Turn(mib, {"MiB/s": mib / took["seconds"]})

    with ExitStack() as stack:
        app = stack.enter_context(peer_app(bench.folder, "bulk"))
        ours = stack.enter_context(queueproxy(bench.folder, app))
        theirs = stack.enter_context(haproxy(bench.folder, app))
        before = rss_mib(ours.pid)
        series = contest([ours, theirs, direct(app)], turn, bench.rounds, "MiB")
    growth = max(series[ours.name].columns["RSS MiB"]) - before
    figures = [
        *beside(series[ours.name], series[theirs.name], "MiB/s", 0.5, f"1 GiB {direction}, bytes/s", "MiB"),
        at_most(f"1 GiB {direction}, growth of RSS, MiB", growth, GROWTH_MIB, "{:.1f}", by_the_clock=False),
    ]
    return Row(figures, list(series.values()), "HAProxy with its defaults: buffers of 16 KiB, no splicing.")


ROWS = (
    Measure("down", "streaming 1 GiB to the client", TOOLS, lambda bench: _stream(bench, "down")),
    Measure("up", "streaming 1 GiB to the app", TOOLS, lambda bench: _stream(bench, "up")),
)
