"""`make load`: locust scenarios against the local platform, each with locust's report and a plot of pods over time.

Starts a platform of its own, applies the hello example, and runs the scenarios one after the other, bounded in users
and time. Reports go to bench/out; exit code 1 if a request failed.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from bench.local import LocalPlatform, hello_documents, local_platform
from bench.scenarios import SCENARIOS, Scenario
from upwell.charts.drawing import Chart, Line, draw
from upwell.charts.page import write_page
from upwell.charts.text import text_chart
from upwell.cli.apply import apply_documents
from upwell.cli.observe import Observer, observing
from upwell.cli.tasks import background

OUT = Path(__file__).parent / "out"
USERS_MAX, SECONDS_MAX = 500, 600


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make load", description=__doc__.split("\n")[0])
    choices = [*SCENARIOS, "all"]
    parser.add_argument(
        "--scenario", choices=choices, default="all", help="; ".join(f"{s.name}: {s.about}" for s in SCENARIOS.values())
    )
    parser.add_argument("--users", type=int, default=40, help=f"at most {USERS_MAX} (default: 40)")
    parser.add_argument("--seconds", type=float, default=45, help=f"per scenario, at most {SECONDS_MAX} (default: 45)")
    parser.add_argument("--ms", type=int, default=100, help="how long the app takes for a request (default: 100)")
    options = parser.parse_args()
    if not (1 <= options.users <= USERS_MAX and 5 <= options.seconds <= SECONDS_MAX):
        parser.error(f"--users is 1 to {USERS_MAX}, --seconds 5 to {SECONDS_MAX}")
    return options


async def _locust(scenario: Scenario, options: argparse.Namespace, url: str, host: str) -> int:
    """Run locust to its end; its exit code is 1 when a request failed."""
    env = {
        **os.environ,
        "UPWELL_SCENARIO": scenario.name,
        "UPWELL_USERS": str(options.users),
        "UPWELL_SECONDS": str(options.seconds),
        "UPWELL_MS": str(options.ms),
        "UPWELL_HOST": host,
    }
    report = OUT / f"{scenario.name}.html"
    words = [
        "-m",
        "locust",
        "-f",
        "bench/locustfile.py",
        "--headless",
        "--loglevel",
        "WARNING",
        "--only-summary",
        "--html",
        str(report),
        "-H",
        url,
    ]
    process = await asyncio.create_subprocess_exec(sys.executable, *words, env=env, cwd=Path(__file__).parent.parent)
    try:
        async with asyncio.timeout(options.seconds + 60):
            return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _watch(observer: Observer, started: float, points: list[tuple[float, int, int]]) -> None:
    while True:
        points.append((monotonic() - started, observer.state.ready_pods, observer.state.desired))
        await asyncio.sleep(0.25)


async def _scenario(platform: LocalPlatform, scenario: Scenario, options: argparse.Namespace) -> int:
    print(f"── {scenario.name}: {scenario.about}", flush=True)
    points: list[tuple[float, int, int]] = []
    async with observing(platform.client, "default", "hello") as observer:
        if not await observer.wait_for(lambda state: state.ready, 60):
            raise SystemExit(f"hello is not ready: {observer.state.reason}")
        host = urlsplit(observer.state.url).hostname or ""
        async with background("pods over time", _watch(observer, monotonic(), points)):
            code = await _locust(scenario, options, platform.url, host)
    ready = Line("ready pods", [(t, pods) for t, pods, _ in points], 0, step=True)
    desired = Line("desired pods", [(t, pods) for t, _, pods in points], 1, step=True, dashed=True)
    page = OUT / f"{scenario.name}-pods.html"
    drawn = draw(Chart("Pods", "", [desired, ready]), points[-1][0] if points else 0.0)
    write_page(page, f"Upwell: {scenario.name}", scenario.name, scenario.about, drawn)
    print("\n".join(text_chart([ready])))
    print(f"reports: bench/out/{scenario.name}.html, bench/out/{page.name}", flush=True)
    return code


async def _run(options: argparse.Namespace) -> int:
    OUT.mkdir(exist_ok=True)
    chosen = list(SCENARIOS.values()) if options.scenario == "all" else [SCENARIOS[options.scenario]]
    async with local_platform("load") as platform:
        await apply_documents(platform.client, hello_documents())
        codes = [await _scenario(platform, scenario, options) for scenario in chosen]
    return max(codes)


if __name__ == "__main__":
    sys.exit(asyncio.run(_run(_options())))
