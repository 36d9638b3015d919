"""The row for websockets: 64-byte messages there and back over 1,000 connections, one under way on each."""

from contextlib import ExitStack

from bench.contest import Turn, ask_peer, contest
from bench.proxies import Target, direct, haproxy, peer_app, queueproxy
from bench.rows import Bench, Measure, Row, beside

__all__ = ["ROWS"]

CONNECTIONS = 1000
TOOLS = {"haproxy": "haproxy", "taskset": "util-linux"}


def websocket(bench: Bench) -> Row:
    def turn(target: Target) -> Turn:
        took = ask_peer("echo", "drive", target.port, CONNECTIONS, bench.seconds, seconds=bench.seconds)
        return Turn(took["messages"], {"messages/s": took["messages"] / took["seconds"]})

    with ExitStack() as stack:
        app = stack.enter_context(peer_app(bench.folder, "echo"))
        ours = stack.enter_context(queueproxy(bench.folder, app))
        theirs = stack.enter_context(haproxy(bench.folder, app))
        series = contest([ours, theirs, direct(app)], turn, bench.rounds, "message")
    what = "websocket echo, 1,000 connections, messages/s"
    figures = beside(series[ours.name], series[theirs.name], "messages/s", 0.5, what, "message")
    note = "A turn includes opening the connections, so CPU per message is somewhat overstated; messages/s are not."
    return Row(figures, list(series.values()), note)


ROWS = (Measure("websocket", "echo of 64-byte messages over 1,000 connections", TOOLS, websocket),)
