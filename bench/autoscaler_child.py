"""The autoscaler as it is, on a cluster that exists in memory only: what `bench.autoscaler` measures.

    python -m bench.autoscaler_child REVISIONS activator|pods SECONDS

Everything is real but the client: its lists hold a PodAutoscaler, ServerlessService, Deployment and Pod for each
revision, writes are taken and forgotten. With `activator` the figures come over the websocket from a process that plays
one, a frame a second; with `pods` each pod, at an address of its own, is scraped. Prints one JSON line.
"""

import asyncio
import json
import os
import re
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import psutil
import uvloop

from autoscaler.application import Autoscaler
from autoscaler.config import ProcessConfig
from upwell.api import names
from upwell.api.metric import metric_spec, new_metric
from upwell.api.objects import Key, Object, key_of, new_object, timestamp
from upwell.api.resources import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    HPA,
    METRIC,
    POD,
    POD_AUTOSCALER,
    SERVERLESS_SERVICE,
    Resource,
)
from upwell.clock import SystemClock
from upwell.cluster.client import Client
from upwell.cluster.errors import NotFound
from upwell.ports import PortMap
from upwell.telemetry import log

WARM_UP: Final = 10.0
"""Seconds; every revision is reconciled once and has had decisions."""


class MemoryClient:
    """A cluster of revisions with one ready pod each."""

    def __init__(self, revisions: int, scraped: bool, stats_port: int) -> None:
        self.objects: dict[Resource, dict[Key, Object]] = {
            resource: {} for resource in (CONFIG_MAP, DEPLOYMENT, ENDPOINT_SLICE, HPA, METRIC, POD, POD_AUTOSCALER)
        }
        self.objects[SERVERLESS_SERVICE] = {}
        self.writes = 0
        for number in range(revisions):
            for kind, obj in _revision(number, scraped, stats_port):
                self.objects[kind][key_of(obj)] = obj

    async def list(self, resource: Resource, namespace: str = "", **options: Any) -> tuple[list[Object], str]:
        return list(self.objects.get(resource, {}).values()), "1"

    async def watch(self, resource: Resource, *args: Any, **options: Any) -> AsyncIterator[tuple[str, Object]]:
        await asyncio.Event().wait()
        yield "BOOKMARK", {}

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        found = self.objects.get(resource, {}).get(Key(namespace, name))
        if found is None:
            raise NotFound(404, "NotFound", name)
        return found

    async def create(self, resource: Resource, obj: Object) -> Object:
        return self._written(obj)

    async def update(self, resource: Resource, obj: Object) -> Object:
        return self._written(obj)

    async def update_status(self, resource: Resource, obj: Object) -> Object:
        return self._written(obj)

    async def patch(self, *args: Any, **options: Any) -> Object:
        return self._written({})

    async def delete(self, *args: Any, **options: Any) -> None:
        self.writes += 1

    def _written(self, obj: Object) -> Object:
        self.writes += 1
        return {**obj, "metadata": {**obj.get("metadata", {}), "resourceVersion": str(self.writes)}}


def _revision(number: int, scraped: bool, stats_port: int) -> list[tuple[Resource, Object]]:
    """The objects of a revision with one pod, as a controller and the autoscaler would have left them."""
    name, namespace, now = f"revision-{number:05d}", f"ns-{number % 50}", timestamp(time.time() - 600)
    kinds = (names.LABEL_REVISION, names.LABEL_REVISION_UID, names.LABEL_CONFIGURATION, names.LABEL_SERVICE)
    labels = dict.fromkeys(kinds, name)
    annotations = {names.ANNOTATION_CLASS: names.CLASS_KPA, names.ANNOTATION_METRIC: "concurrency"}
    if not scraped:
        annotations[names.AUTOSCALING + "target-burst-capacity"] = "-1"
    metadata = {"labels": labels, "annotations": annotations, "uid": name, "generation": 1, "resourceVersion": "1"}
    autoscaler = _autoscaler(namespace, name, metadata, now)
    measured = new_metric(autoscaler, metric_spec(60, 6, f"{name}-private" if scraped else ""))
    measured["metadata"]["uid"] = name
    deployment = new_object(DEPLOYMENT, namespace, name, metadata={"labels": labels, "uid": name}, spec={"replicas": 1})
    address = f"127.{1 + number // 60_000}.{number // 250 % 240}.{1 + number % 250}"
    return [
        (POD_AUTOSCALER, autoscaler),
        (SERVERLESS_SERVICE, _serverless_service(namespace, name, metadata, now, scraped)),
        (METRIC, measured),
        (DEPLOYMENT, deployment),
        (POD, _pod(namespace, name, labels, now, address, stats_port)),
    ]


def _reference(name: str) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}


def _autoscaler(namespace: str, name: str, metadata: dict[str, Any], now: str) -> Object:
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now}
        for kind in ("Active", "Ready", "SKSReady", "ScaleTargetInitialized")
    ]
    return new_object(
        POD_AUTOSCALER,
        namespace,
        name,
        metadata=metadata,
        spec={"protocolType": "http1", "reachability": "Reachable", "scaleTargetRef": _reference(name)},
        status={
            "conditions": conditions,
            "serviceName": name,
            "metricsServiceName": f"{name}-private",
            "observedGeneration": 1,
            "actualScale": 1,
            "desiredScale": 1,
        },
    )


def _serverless_service(namespace: str, name: str, metadata: dict[str, Any], now: str, serves: bool) -> Object:
    owner = {"ownerReferences": [{"kind": POD_AUTOSCALER.kind, "name": name, "uid": name, "controller": True}]}
    mode, activators = ("Serve", 4) if serves else ("Proxy", 2)
    return new_object(
        SERVERLESS_SERVICE,
        namespace,
        name,
        metadata={**metadata, **owner},
        spec={"mode": mode, "objectRef": _reference(name), "protocolType": "http1", "numActivators": activators},
        status={
            "serviceName": name,
            "privateServiceName": f"{name}-private",
            "observedGeneration": 1,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
        },
    )


def _pod(namespace: str, name: str, labels: dict[str, str], now: str, address: str, stats_port: int) -> Object:
    return new_object(
        POD,
        namespace,
        name,
        metadata={"labels": labels, "uid": name},
        spec={"containers": [{"name": "q", "ports": [{"name": "http-autometric", "containerPort": stats_port}]}]},
        status={
            "phase": "Running",
            "podIP": address,
            "startTime": now,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _scrapes(app: Autoscaler) -> float:
    found = re.findall(rb"^kn_autoscaler_scrape_duration_seconds_count\S* (\S+)$", app.registry.render(), re.MULTILINE)
    return sum(map(float, found))


async def _measure(revisions: int, source: str, seconds: float) -> dict[str, float]:
    stats_port, feed_port = _free_port(), _free_port()
    client = MemoryClient(revisions, source == "pods", stats_port)
    ports = PortMap({8080: feed_port, 9090: _free_port()}, bind_host="127.0.0.1")
    config = ProcessConfig(pod_name="bench", pod_ip="127.0.0.1", ports=ports)
    stop = asyncio.Event()
    app = Autoscaler(config, cast("Client", client), SystemClock())
    running = asyncio.create_task(app.run(stop), name="autoscaler")
    await asyncio.sleep(1)
    port = stats_port if source == "pods" else feed_port
    command = [sys.executable, "-m", "bench.autoscaler_feed", source, str(port), str(revisions)]
    feed = await asyncio.create_subprocess_exec(*command)
    try:
        await asyncio.sleep(WARM_UP)
        before, began, writes = resource.getrusage(resource.RUSAGE_SELF), time.monotonic(), client.writes
        received = app.metrics.stats_received.value
        decided = app.metrics.decisions.value, app.metrics.decision_seconds.value
        failed = app.metrics.scrapes_failed.value
        # Rendering the metrics of 10,000 revisions takes a second, which is no part of this.
        scraped = _scrapes(app) if source == "pods" else 0.0
        await asyncio.sleep(seconds)
        after, elapsed = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
        received = app.metrics.stats_received.value - received
        decisions = app.metrics.decisions.value - decided[0]
        return {
            "cpu": (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / elapsed,
            "rss_mib": psutil.Process(os.getpid()).memory_info().rss / 2**20,
            "decisions_per_second": decisions / elapsed,
            "decision_us": 1e6 * (app.metrics.decision_seconds.value - decided[1]) / max(1.0, decisions),
            "statistics_per_second": received / elapsed,
            "scrapes_per_second": (_scrapes(app) - scraped) / elapsed if source == "pods" else 0.0,
            "scrapes_failed": app.metrics.scrapes_failed.value - failed,
            "writes": client.writes - writes,
        }
    finally:
        feed.kill()
        await feed.wait()
        stop.set()
        await asyncio.gather(running, return_exceptions=True)


def main() -> None:
    log.configure("autoscaler", "error")
    revisions, source, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_measure(revisions, source, seconds))), flush=True)


if __name__ == "__main__":
    main()
