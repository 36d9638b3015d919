"""The lab against the real thing: the same small trace, and pods over time within one pod and one tick."""

import asyncio
import json
from array import array
from pathlib import Path
from statistics import median
from time import monotonic

import httpx

from tests.integration.running import EXAMPLES, running
from upwell.cli.observe import Observer, observing
from upwell.cluster.client import Client
from upwell.policy.autoscaler_config import AutoscalerConfig
from upwell.policy.decider import DECISION_TICK
from upwell.simulate.distributions import parse_distribution
from upwell.simulate.policy import PodModel, policy_of
from upwell.simulate.requests import simulate_requests
from upwell.simulate.traces import make_requests

WORK = 0.4
"""Seconds that the app takes for a request."""
# A calm beginning at zero, a burst beyond what its pods bear, and silence: (seconds, requests per second).
PHASES = ((4.0, 2.5), (6.0, 20.0))
LOOKED_AT = 22.0
SERVICE = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "tried"},
    "spec": {
        "template": {
            "metadata": {
                "annotations": {"autoscaling.knative.dev/window": "6s", "autoscaling.knative.dev/max-scale": "5"}
            },
            "spec": {
                "containerConcurrency": 3,
                "containers": [{"image": "test.local/app", "command": ["python3", str(EXAMPLES / "hello" / "app.py")]}],
            },
        }
    },
}

Pods = list[tuple[float, float]]


def planned() -> list[float]:
    arrivals, start = [], 0.0
    for seconds, rate in PHASES:
        arrivals += [start + index / rate for index in range(round(seconds * rate))]
        start += seconds
    return arrivals


async def replay(url: str, host: str, began: float) -> list[float]:
    """Send the trace; when each request really left, and that each was answered."""
    sent: list[float] = []
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=url, headers={"Host": host}, timeout=60, trust_env=False, limits=limits
    ) as client:

        async def send(at: float) -> None:
            await asyncio.sleep(began + at - monotonic())
            sent.append(monotonic() - began)
            answer = await client.get("/", params={"ms": round(WORK * 1000)})
            assert answer.status_code == 200

        async with asyncio.TaskGroup() as group:
            for at in planned():
                group.create_task(send(at), name="request of the trace")
    return sorted(sent)


async def watch(observer: Observer, began: float) -> Pods:
    """Ready pods from now on, at each change."""
    seen: Pods = [(0.0, observer.state.ready_pods)]
    while monotonic() - began < LOOKED_AT:
        before = seen[-1][1]
        if await observer.wait_for(lambda state, before=before: state.ready_pods != before, 0.5):  # type: ignore[misc]
            seen.append((monotonic() - began, observer.state.ready_pods))
    return seen


def between(pods: Pods, begin: float, end: float) -> list[float]:
    """All numbers of ready pods that there were from `begin` to `end`."""
    later = [count for t, count in pods if begin < t <= end]
    return [[count for t, count in pods if t <= max(begin, pods[0][0])][-1], *later]


async def run_for_real(folder: Path) -> tuple[list[float], Pods, float]:
    """Departures, ready pods, and how long a pod took to start."""
    with running(folder) as up:
        file = folder / "tried.json"
        file.write_text(json.dumps(SERVICE))
        await asyncio.to_thread(up.upwell, "apply", str(file))
        client = await Client.connect(str(up.kubeconfig))
        try:
            async with observing(client, "default", "tried") as observer:
                assert await observer.wait_for(lambda state: state.ready, 60)
                assert await observer.wait_for(lambda state: not state.desired and not state.pods, 60)
                before = set(observer.state.starts)
                began = monotonic()
                sent, pods = await asyncio.gather(
                    replay(up.url, "tried.default.localhost", began), watch(observer, began)
                )
                starts = [
                    start.ready - start.created
                    for name, start in observer.state.starts.items()
                    if name not in before and start.ready
                ]
                return sent, pods, median(starts)
        finally:
            await client.close()


async def test_pods_over_time_are_those_of_the_platform_within_one_pod_and_one_tick(tmp_path: Path) -> None:
    sent, real, start = await run_for_real(tmp_path / "platform")

    model = PodModel(parse_distribution(f"{start:.3f}", "start"), parse_distribution(str(WORK), "work"))
    assert max(count for _, count in real) >= 4, "the trace is to need several pods"
    # When the platform's ticks fall is nothing that a trace could tell; the lab's fall on even seconds.
    disagreements = [first_disagreement(real, simulated(sent, model, phase / 4)) for phase in range(8)]
    assert None in disagreements, (disagreements, real)


def simulated(sent: list[float], model: PodModel, phase: float) -> Pods:
    """The lab's pods for the trace, when its ticks fall `phase` seconds before even seconds of the trace."""
    arrivals = array("d", [at + phase for at in sent])
    requests = make_requests("replayed", arrivals, array("d", [WORK] * len(sent)))
    outcome = simulate_requests(policy_of(SERVICE, AutoscalerConfig()), model, requests)
    return [(t - phase, count) for t, count in outcome.pods]


def first_disagreement(real: Pods, lab: Pods) -> object:
    for step in range(round(LOOKED_AT * 4)):
        t = step / 4
        near = between(lab, t - DECISION_TICK, t + DECISION_TICK)
        now = between(real, t, t)[0]
        if not min(near) - 1 <= now <= max(near) + 1:
            return t, now, near, lab
    ends = real[-1][1], between(lab, LOOKED_AT, LOOKED_AT)[0]
    return None if ends == (0, 0) else ends
