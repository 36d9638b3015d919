"""The row for one Service: from `kubectl apply` to Ready on the local platform, with an app that starts at once.

The app is a dozen lines on a plain socket, so that the time is the platform's own. kubectl is the real one, and its
time counts; where it is not installed, what applies is the command line's own code.
"""

import asyncio
import json
import os
import shutil
import sys
import time
from pathlib import Path
from statistics import quantiles

from bench.local import LocalPlatform, local_platform
from bench.proxies import LOAD_CORE, PROXY_CORE
from bench.rows import Bench, Measure, Row, Series, UnmeasuredError, at_most
from upwell.api.objects import Object, new_object
from upwell.api.resources import SERVICE
from upwell.cli.observe import observing

__all__ = ["ROWS"]

TIMES = 12
READY_SECONDS = 30
APP = """
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=64)
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    connection.close()
"""


def apply(bench: Bench) -> Row:
    os.sched_setaffinity(0, {PROXY_CORE, LOAD_CORE})  # a platform has the machine, and this client is a part of it
    try:
        seen = asyncio.run(_apply(bench))
    finally:
        os.sched_setaffinity(0, {LOAD_CORE})
    cuts = quantiles([one["s to Ready"] for one in seen], n=20, method="inclusive")
    series = Series("Services one after the other")
    for one in seen:
        series.add(one)
    figures = (
        at_most(f"s from kubectl apply to Ready, p50 of {len(seen)}", cuts[9], 1.5),
        at_most("the same, p95", cuts[18], 1.5),
        at_most("s of that in kubectl itself, p50", series.median("s in kubectl"), None),
    )
    return Row(figures, [series])


async def _apply(bench: Bench) -> list[dict[str, float]]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise UnmeasuredError("there is no kubectl on the PATH")
    async with local_platform("control-plane") as platform:
        return [await _one(bench.folder, platform, kubectl, f"app-{number}") for number in range(TIMES)]


async def _one(folder: Path, platform: LocalPlatform, kubectl: str, name: str) -> dict[str, float]:
    manifest = folder / f"{name}.json"
    manifest.write_text(json.dumps(_service(name)))
    async with observing(platform.client, "default", name) as observer:
        began = time.monotonic()
        words = ["--kubeconfig", str(platform.root / "kubeconfig"), "apply", "-f", str(manifest)]
        process = await asyncio.create_subprocess_exec(kubectl, *words, stdout=asyncio.subprocess.DEVNULL)
        if await process.wait():
            raise UnmeasuredError(f"kubectl apply ended with {process.returncode}")
        applied = time.monotonic()
        if not await observer.wait_for(lambda state: state.ready, READY_SECONDS):
            raise UnmeasuredError(f"{name} is not ready: {observer.state.reason}")
        ready = time.monotonic()
    await platform.client.delete(SERVICE, name, "default")
    print(f"  {name}: {ready - began:.2f} s", flush=True)
    return {"s in kubectl": applied - began, "s to Ready": ready - began}


def _service(name: str) -> Object:
    # Without site packages Python is up in 20 ms.
    container = {"image": "local/at-once", "command": [sys.executable, "-S", "-c", APP]}
    return new_object(SERVICE, "default", name, spec={"template": {"spec": {"containers": [container]}}})


ROWS = (Measure("apply", "one new Service on the local platform", {"kubectl": "kubernetes-client"}, apply),)
