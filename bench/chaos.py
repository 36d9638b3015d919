"""`make chaos`: kill processes of the platform at random under steady load, and count every answer by kind.

Two services take the load: one behind the activator all the time, one that the gateway reaches directly. Every few
seconds one victim is killed with SIGKILL: an app, a sidecar, a whole pod, or a component of the platform. What the
failure table
(docs/explanation/proxy-engine.md) calls safe must be answered all the same; the last line of the output is JSON, and
the exit code is 1 if a safe request was lost or a POST was executed twice.

The client does what any HTTP client may: when its connection to the gateway breaks before an answer began, it sends an
idempotent request again, and anything when the connection could not be made. That is counted as `resent_by_client`.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import urlsplit

import httpx

from bench.local import ROOT, LocalPlatform, local_platform
from bench.victims import KINDS, find_victims
from upwell.api.objects import Object
from upwell.api.resources import SERVICE
from upwell.cli.observe import observing
from upwell.cli.tasks import background

SECONDS_MAX = 3600
RESENDS = 40
RESEND_PAUSE = 0.1


@dataclass
class Report:
    """What happened; the names are those of the JSON line."""

    requests: int = 0
    answered: int = 0
    failed: int = 0
    lost_retryable: int = 0
    cut: int = 0
    """Connections that broke after the answer had begun."""
    resent_by_client: int = 0
    executed_twice: int = 0
    kills: int = 0
    kills_by_kind: Counter[str] = field(default_factory=Counter)
    killed: list[tuple[float, str]] = field(default_factory=list)
    """Seconds since the load began, and who."""
    answers: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        return json.dumps(vars(self))


class Client:
    """One user: GETs, and now and then a POST with an id of its own."""

    def __init__(self, url: str, host: str, number: int, report: Report, seed: int) -> None:
        self._url = url
        self._host = host
        self._number = number
        self._report = report
        self._random = random.Random(f"{seed}/{host}/{number}")

    async def run(self, end: float) -> None:
        async with httpx.AsyncClient(timeout=60, trust_env=False, headers={"Host": self._host}) as http:
            count = 0
            while monotonic() < end:
                count += 1
                ms = self._random.choice((0, 5, 20, 50, 150))
                body = f"{self._host}-{self._number}-{count}" if self._random.random() < 0.2 else None
                await self._exchange(http, f"{self._url}/?ms={ms}", body)
                await asyncio.sleep(0.01)

    async def _exchange(self, http: httpx.AsyncClient, url: str, body: str | None) -> None:
        report = self._report
        report.requests += 1
        for _ in range(RESENDS):
            try:
                request = http.build_request("POST" if body else "GET", url, content=body)
                response = await http.send(request, stream=True)
            except httpx.ConnectError:
                report.resent_by_client += 1
            except httpx.TransportError as error:
                if body:
                    # It may have reached the app: an honest client does not send it again.
                    self._failed(f"POST {type(error).__name__}")
                    return
                report.resent_by_client += 1
            else:
                await self._judge(response, body)
                return
            await asyncio.sleep(RESEND_PAUSE)
        self._failed("gateway away", lost=True)

    async def _judge(self, response: httpx.Response, body: str | None) -> None:
        said = response.headers.get("upwell-error", "")
        try:
            await response.aread()
        except httpx.TransportError:
            self._report.cut += 1
            self._failed("cut")
            return
        finally:
            await response.aclose()
        if response.status_code == 200:
            self._report.answered += 1
            self._report.answers["200"] += 1
            return
        safe = body is None or "unsent" in said
        self._failed(f"{'POST' if body else 'GET'} {response.status_code} {said}".strip(), lost=safe)

    def _failed(self, kind: str, *, lost: bool = False) -> None:
        self._report.failed += 1
        self._report.answers[kind] += 1
        self._report.lost_retryable += lost


def _service(name: str, burst_capacity: str) -> Object:
    annotations = {
        "autoscaling.knative.dev/window": "10s",
        "autoscaling.knative.dev/target": "5",
        "autoscaling.knative.dev/min-scale": "2",
        "autoscaling.knative.dev/max-scale": "4",
        "autoscaling.knative.dev/target-burst-capacity": burst_capacity,
    }
    container = {
        "image": "bench.local/chaos",
        "command": [sys.executable, str(ROOT / "bench" / "chaos_app.py")],
        "env": [{"name": "CHAOS_RECORD", "value": str(ROOT / "bench" / "out" / "chaos" / "posts")}],
    }
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}},
    }


async def _hosts(platform: LocalPlatform) -> list[str]:
    hosts = []
    for name, burst_capacity in (("buffered", "-1"), ("direct", "0")):
        await platform.client.create(SERVICE, _service(name, burst_capacity))
        async with observing(platform.client, "default", name) as observer:
            if not await observer.wait_for(lambda state: state.ready and state.ready_pods >= 2, 60):
                raise SystemExit(f"{name} is not ready: {observer.state.reason or 'no reason given'}")
            hosts.append(urlsplit(observer.state.url).hostname or "")
    return hosts


async def _kill(platform: LocalPlatform, report: Report, options: argparse.Namespace) -> None:
    """Kill one process after the other, each kind in turn, until cancelled."""
    dice, started, number = random.Random(options.seed), monotonic(), 0
    while True:
        await asyncio.sleep(options.pause)
        kind = KINDS[number % len(KINDS)]
        number += 1
        victims = find_victims(platform.root, kind)
        if not victims:
            continue
        victim = dice.choice(victims)
        victim.kill()
        at = monotonic() - started
        report.kills += 1
        report.kills_by_kind[kind] += 1
        report.killed.append((round(at, 1), victim.name))
        print(f"{at:6.1f} s  killed {victim.name}", flush=True)


async def _run(options: argparse.Namespace) -> int:
    report = Report()
    async with local_platform("chaos") as platform:
        hosts = await _hosts(platform)
        end = monotonic() + options.seconds
        async with background("killer", _kill(platform, report, options)), asyncio.TaskGroup() as group:
            for host in hosts:
                for number in range(options.users):
                    client = Client(platform.url, host, number, report, options.seed)
                    group.create_task(client.run(end), name=f"client of {host}")
    posts = Counter((ROOT / "bench" / "out" / "chaos" / "posts").read_text().split())
    report.executed_twice = sum(count - 1 for count in posts.values())
    print(report.line())
    return 1 if report.lost_retryable or report.executed_twice else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=300, help=f"at most {SECONDS_MAX} (default: 300)")
    parser.add_argument("--users", type=int, default=6, help="for each of the two services, at most 100 (default: 6)")
    parser.add_argument("--pause", type=float, default=2.5, help="seconds between kills (default: 2.5)")
    parser.add_argument("--seed", type=int, default=1, help="of what is killed and asked (default: 1)")
    options = parser.parse_args()
    if not (1 <= options.seconds <= SECONDS_MAX and 1 <= options.users <= 100 and options.pause >= 0.1):
        parser.error(f"--seconds is 1 to {SECONDS_MAX}, --users 1 to 100, --pause at least 0.1")
    return options


if __name__ == "__main__":
    sys.exit(asyncio.run(_run(_options())))
