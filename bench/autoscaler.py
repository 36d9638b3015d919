"""`make bench-autoscaler`: what deciding, collecting, scraping and waking cost, each beside its target.

The autoscaler runs on core 0, what feeds it on the others. Three measurements are of the whole process on a cluster
that exists in memory (`bench.autoscaler_child`); waking is measured with the embedded API server, from the statistic
that an activator sends to the scale that a watch shows. Exit status 1 when a target was missed.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import yaml
from rich.console import Console
from rich.table import Table

from upwell.api import names
from upwell.api.objects import Object, new_object, timestamp
from upwell.api.resources import DEPLOYMENT, POD_AUTOSCALER, SERVERLESS_SERVICE
from upwell.api.stat import Stat, WireStatMessage, encode_messages
from upwell.cli.session import free_port
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError
from upwell.cluster.informer import Informer
from upwell.policy.collector import Collection, CollectionSpec
from upwell.policy.decider import DeciderSpec, DeciderState, Observation, decide

WAKES: Final = 20


class Row(NamedTuple):
    """One figure beside its target."""

    what: str
    figure: float
    unit: str
    target: float
    """At most."""
    note: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.autoscaler", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement (default: 15)")
    parser.add_argument("--json", action="store_true", help="print the figures for programs")
    options = parser.parse_args()
    rows = [
        _decision(),
        *_child(10_000, "activator", options.seconds),
        *_child(1_000, "pods", options.seconds),
        *asyncio.run(_wakes()),
    ]
    if options.json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
    else:
        _print(rows)
    return int(any(row.figure > row.target for row in rows))


def _print(rows: list[Row]) -> None:
    table = Table(box=None)
    for column in ("measure", "figure", "target", "note"):
        table.add_column(column)
    for row in rows:
        colour = "green" if row.figure <= row.target else "red"
        table.add_row(row.what, f"[{colour}]{row.figure:.3g} {row.unit}[/]", f"{row.target:g} {row.unit}", row.note)
    Console().print(table)


def _decision() -> Row:
    """Averages of both windows and the decision, for revisions that lie apart in memory; in CPU time."""
    spec = DeciderSpec(target_value=7, total_value=10)
    revisions = []
    for number in range(2_000):
        collection = Collection(CollectionSpec(60, 6))
        for second in range(60):
            collection.record(1000 + second, Stat("pod", 3 + (number + second) % 11, 0, 40))
        revisions.append((collection, DeciderState.start(spec, number % 4, 1000)))
    costs = []
    for repetition in range(5):
        now = 1059.0 + repetition / 10
        began = time.process_time()
        for collection, state in revisions:
            averages = collection.averages("concurrency", now)
            assert averages is not None
            decide(spec, state, Observation(averages.stable, averages.panic, 3), now)
        costs.append((time.process_time() - began) / len(revisions))
    return Row("one decision, data in the windows", 1e6 * statistics.median(costs), "µs", 15)


def _child(revisions: int, source: str, seconds: float) -> list[Row]:
    command = [sys.executable, "-m", "bench.autoscaler_child", str(revisions), source, str(seconds)]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    found = json.loads(output)
    cores = 100 * found["cpu"]
    if source == "pods":
        note = f"{found['scrapes_per_second']:.0f} scrapes/s, {found['scrapes_failed']:.0f} failed"
        return [Row(f"{revisions:,} pods scraped each second", cores, "% of a core", 30, note)]
    note = f"{found['decisions_per_second']:.0f} decisions/s, {found['statistics_per_second']:.0f} statistics/s"
    return [
        Row(f"{revisions:,} revisions, statistics each second", cores, "% of a core", 40, note),
        Row(f"{revisions:,} revisions: memory", found["rss_mib"], "MiB", 400),
    ]


async def _wakes() -> list[Row]:
    """Revisions at zero, one after the other: from the statistic sent to the scale seen."""
    async with _platform() as (client, ports, session):
        scales: dict[str, asyncio.Event] = {}
        deployments = Informer(client, DEPLOYMENT)
        deployments.add_handler(lambda old, new: _note_scale(scales, new))
        watching = asyncio.create_task(deployments.run(), name="watch of deployments")
        seen = []
        try:
            for number in range(WAKES):
                await _add_revision(client, f"asleep-{number}")
                scales[f"asleep-{number}"] = asyncio.Event()
            await asyncio.sleep(3)
            async with session.ws_connect(f"ws://127.0.0.1:{ports[8080]}/") as socket:
                for name, scaled in scales.items():
                    sent = time.monotonic()
                    await socket.send_bytes(encode_messages([WireStatMessage("default", name, Stat("a", 1, 0, 1))]))
                    async with asyncio.timeout(10):
                        await scaled.wait()
                    seen.append(1e3 * (time.monotonic() - sent))
                    await asyncio.sleep(0.05)
            async with session.get(f"http://127.0.0.1:{ports[9090]}/metrics") as response:
                text = await response.text()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    total, count = (
        float(re.findall(rf"^upwell_autoscaler_poke_to_scale_seconds_{what} (\S+)$", text, re.MULTILINE)[0])
        for what in ("sum", "count")
    )
    note = f"seen by a watch after {statistics.median(seen):.1f} ms (median of {len(seen)})"
    return [Row("from zero: statistic received to scale written, mean", 1e3 * total / count, "ms", 10, note)]


def _note_scale(scales: dict[str, asyncio.Event], deployment: Object | None) -> None:
    if deployment is not None and deployment["spec"].get("replicas"):
        scales[deployment["metadata"]["name"]].set()


@contextlib.asynccontextmanager
async def _platform() -> AsyncIterator[tuple[Client, dict[int, int], aiohttp.ClientSession]]:
    """An API server and an autoscaler, nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig, api, ports = Path(folder) / "kubeconfig", free_port(), {8080: free_port(), 9090: free_port()}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bench",
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
            "clusters": [{"name": "bench", "cluster": {"server": f"http://127.0.0.1:{api}"}}],
            "users": [{"name": "bench", "user": {}}],
        }
        kubeconfig.write_text(yaml.safe_dump(content))
        words = ["--port", str(api), "--db", f"{folder}/api.db", "--logs-dir", folder]
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "POD_NAME": "bench",
            "POD_IP": "127.0.0.1",
            "UPWELL_BIND_HOST": "127.0.0.1",
            "UPWELL_LOG_LEVEL": "error",
            "UPWELL_PORT_MAP": ",".join(f"{one}={other}" for one, other in ports.items()),
        }
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "upwell.local.apiserver", *words, stdout=asyncio.subprocess.PIPE
        )
        assert server.stdout is not None
        await server.stdout.readline()
        scaler = await asyncio.create_subprocess_exec(sys.executable, "-m", "autoscaler", env=environment)
        client = await Client.connect(str(kubeconfig))
        try:
            async with aiohttp.ClientSession() as session:
                yield client, ports, session
        finally:
            await client.close()
            for process in (scaler, server):
                process.kill()
                await process.wait()


async def _add_revision(client: Client, name: str) -> None:
    """A revision that is at zero, behind the activator."""
    labels = {names.LABEL_REVISION: name, names.LABEL_CONFIGURATION: name, names.LABEL_SERVICE: name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "bench.local/app"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    await client.create(DEPLOYMENT, new_object(DEPLOYMENT, "default", name, metadata={"labels": labels}, spec=spec))
    annotations = {names.ANNOTATION_CLASS: names.CLASS_KPA, names.ANNOTATION_METRIC: "concurrency"}
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    autoscaler = await client.create(
        POD_AUTOSCALER,
        new_object(
            POD_AUTOSCALER,
            "default",
            name,
            metadata={"labels": labels, "annotations": annotations},
            spec={"protocolType": "http1", "reachability": "Reachable", "scaleTargetRef": reference},
        ),
    )
    now = timestamp(time.time() - 600)
    idle = {
        "serviceName": name,
        "metricsServiceName": f"{name}-private",
        "observedGeneration": 1,
        "conditions": [
            {"type": "Active", "status": "False", "reason": "NoTraffic", "lastTransitionTime": now},
            {"type": "ScaleTargetInitialized", "status": "True", "lastTransitionTime": now},
        ],
    }
    with contextlib.suppress(ApiError):  # the autoscaler may have been faster; then it says so itself
        await client.update_status(POD_AUTOSCALER, {**autoscaler, "status": idle})
    async with asyncio.timeout(10):
        while True:
            services, _ = await client.list(SERVERLESS_SERVICE, "default", fields=f"metadata.name={name}")
            if services:
                break
            await asyncio.sleep(0.02)
    ready = {
        "serviceName": name,
        "privateServiceName": f"{name}-private",
        "observedGeneration": services[0]["metadata"]["generation"],
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": now},
            {"type": "ActivatorEndpointsPopulated", "status": "True", "lastTransitionTime": now},
        ],
    }
    await client.update_status(SERVERLESS_SERVICE, {**services[0], "status": ready})


if __name__ == "__main__":
    sys.exit(main())
