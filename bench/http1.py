"""Rows for short exchanges over HTTP/1: how many requests per second one core takes, and what makes it fewer."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.contest import Turn, contest, cpu_seconds
from bench.proxies import Target, backend, direct, haproxy, queueproxy
from bench.rows import Bench, Measure, Row, Series, at_least, at_most, beside
from bench.wrk import TOOLS, wrk

__all__ = ["ROWS"]

CONNECTIONS = 32
POST_BYTES = 16_384
SCRAPES_PER_SECOND = 10
SCRAPES = 100
"""For the CPU time of one."""
SCRAPE_TURNS = 4
"""Per round; of a second each, for the difference looked for is smaller than the machine's moods."""
RATE = "requests/s"


def _beside_haproxy(bench: Bench, body: str, script: str, with_app: bool) -> dict[str, Series]:
    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder, body))
        targets = [
            stack.enter_context(queueproxy(bench.folder, app)),
            stack.enter_context(haproxy(bench.folder, app)),
            *([direct(app)] if with_app else []),
        ]
        for target in targets:
            wrk(target, 1, CONNECTIONS, script)
        return contest(targets, lambda target: wrk(target, bench.seconds, CONNECTIONS, script), bench.rounds)


def small(bench: Bench) -> Row:
    series = _beside_haproxy(bench, "x" * 48, "", with_app=True)
    figures = beside(series["queueproxy"], series["HAProxy"], RATE, 0.60, "requests/s, 48-byte answers")
    return Row(figures, list(series.values()))


def varied(bench: Bench) -> Row:
    series = _beside_haproxy(bench, "x" * 48, "vary.lua", with_app=False)
    figures = beside(series["queueproxy"], series["HAProxy"], RATE, None, "requests/s, no head twice")
    note = "Path and a header differ with every request, so nothing that was remembered of the one before helps."
    return Row(figures, list(series.values()), note)


def post(bench: Bench) -> Row:
    series = _beside_haproxy(bench, "d" * POST_BYTES, "post.lua", with_app=False)
    what = "POST of 16 KiB, answer of 16 KiB"
    return Row(beside(series["queueproxy"], series["HAProxy"], RATE, 0.55, what), list(series.values()))


def queueing(bench: Bench) -> Row:
    """Ten may be under way and a hundred wait: 110 connections only queue, of 128 some are always turned away."""
    connections = {"unlimited": 128, "limit 10, 128 connections": 128, "limit 10, 110 connections": 110}

    def turn(target: Target) -> Turn:
        return wrk(target, bench.seconds, connections[target.name])

    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder))
        free = stack.enter_context(queueproxy(bench.folder, app))
        limited = stack.enter_context(queueproxy(bench.folder, app, {"CONTAINER_CONCURRENCY": "10"}))
        targets = [target.named(name) for target, name in zip((free, limited, limited), connections, strict=True)]
        for target in targets[:2]:
            wrk(target, 1, connections[target.name])
        series = contest(targets, turn, bench.rounds)
    free_series, crowded, queued = series.values()
    share = crowded.share_of(free_series, RATE)
    figures = [
        at_least("containerConcurrency 10, 128 connections, answers/s of unlimited's", share, 0.90),
        *beside(queued, free_series, RATE, 0.90, "the same with 110 connections, none turned away"),
    ]
    return Row(figures, list(series.values()), "Failed: turned away with 503, for the queue was full.")


def scrape(bench: Bench) -> Row:
    settings = {"OBSERVABILITY_CONFIG": '{"requestMetrics": {"protocol": "prometheus"}}'}
    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder))
        target = stack.enter_context(queueproxy(bench.folder, app, settings))
        wrk(target, 1, CONNECTIONS)

        def turn(which: Target) -> Turn:
            with _scraping(which.metrics_port if which.name == "scraped" else 0):
                return wrk(which, 1, CONNECTIONS)

        series = contest([target.named("not scraped"), target.named("scraped")], turn, bench.rounds * SCRAPE_TURNS)
        before = cpu_seconds(target.pid)
        for _ in range(SCRAPES):
            _scrape(target.metrics_port)
        each = (cpu_seconds(target.pid) - before) / SCRAPES
    lost = 1 - series["scraped"].share_of(series["not scraped"], RATE)
    figures = (
        at_most("metrics scraped 10 times a second: requests/s lost, %", lost * 100, 2.0, "{:.1f}"),
        at_most("the same by CPU time, %", each * SCRAPES_PER_SECOND * 100, 2.0, "{:.1f}", by_the_clock=False),
    )
    return Row(figures, list(series.values()))


@contextmanager
def _scraping(port: int) -> Iterator[None]:
    """Scrape ten times a second during the block; not at all if `port` is 0."""
    over = threading.Event()

    def scrapes() -> None:
        while port and not over.wait(1 / SCRAPES_PER_SECOND):
            _scrape(port)

    thread = threading.Thread(target=scrapes, name="scraping")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _scrape(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        answer.read()


ROWS = (
    Measure("small", "48-byte answers, 13 request headers, 32 connections", TOOLS, small),
    Measure("varied", "the same, no two requests alike", TOOLS, varied),
    Measure("queueing", "containerConcurrency 10 under 128 connections", TOOLS, queueing),
    Measure("post", "16 KiB up and 16 KiB down, 32 connections", TOOLS, post),
    Measure("scrape", "metrics scraped 10 times a second", TOOLS, scrape),
)
