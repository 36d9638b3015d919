"""The rows for a thousand Services: applied all at once until each is Ready, then a minute in which nothing happens.

Embedded API server, controller, autoscaler, activator and gateway are the real ones; only the pods are played. Writes
are counted where they arrive: every version of an object that a watch of its kind shows was written by somebody, and
what the played parts and the one who applies wrote is taken off. Refused writes change nothing; the controller's own
count of answers has them.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from bench.cluster import api_server
from bench.contest import cpu_seconds, rss_mib
from bench.control_plane_pods import SimulatedPods
from bench.proxies import LOAD_CORE, PROXY_CORE, free_port
from bench.rows import Bench, Measure, Row, Series, UnmeasuredError, at_most
from upwell.api.conditions import find
from upwell.api.names import SYSTEM_NAMESPACE
from upwell.api.objects import Object, name_of, new_object
from upwell.api.resources import (
    CONFIG_MAP,
    CONFIGURATION,
    CORE_SERVICE,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    EVENT,
    IMAGE,
    INGRESS,
    METRIC,
    POD,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVERLESS_SERVICE,
    SERVICE,
    Resource,
)
from upwell.cli.tasks import background
from upwell.cluster.client import Client
from upwell.cluster.informer import Informer
from upwell.local.manifests import GatewayPorts, config_maps

__all__ = ["ROWS"]

SERVICES = 1000
PARALLEL = 16
READY_SECONDS = 300
SETTLE_SECONDS = 15
STEADY_SECONDS = 60
COMPONENTS = ("controller", "autoscaler", "activator", "gateway")
OBSERVED = (
    SERVICE,
    CONFIGURATION,
    REVISION,
    ROUTE,
    DEPLOYMENT,
    POD_AUTOSCALER,
    METRIC,
    SERVERLESS_SERVICE,
    INGRESS,
    IMAGE,
    CORE_SERVICE,
    ENDPOINTS,
    ENDPOINT_SLICE,
    POD,
    EVENT,
)
_ANSWERS = re.compile(r'upwell_api_requests_total\{verb="(\w+)",resource="([^"]*)",code="(\d+)"\} (\d+)')
_seen: list[Mapping[str, Any]] = []
"""Both rows are of the same thousand, which are made once."""


class _Versions:
    """How often each kind was written, and which Services are Ready."""

    def __init__(self, client: Client) -> None:
        self.writes: Counter[str] = Counter()
        self.ready: set[str] = set()
        self._informers = [Informer(client, resource) for resource in OBSERVED]
        for informer in self._informers:
            informer.add_handler(self._handler(informer.resource))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                group.create_task(informer.run(), name=f"copy of {informer.resource.plural}")

    def _handler(self, resource: Resource) -> Any:
        def handle(old: Object | None, new: Object | None) -> None:
            self.writes[resource.plural if resource is not CORE_SERVICE else "services (core)"] += 1
            if resource is SERVICE and new is not None and find(new.get("status"), "Ready").get("status") == "True":
                self.ready.add(name_of(new))

        return handle


def many(bench: Bench) -> Row:
    seen = _thousand(bench)
    writes: Counter[str] = seen["writes"]
    series = Series("writes per Service")
    series.add({kind: count / SERVICES for kind, count in sorted(writes.items())})
    used = Series("CPU seconds")
    used.add(seen["cpu at once"])
    answers = Series("answers to the controller per Service")
    answers.add({name: count / SERVICES for name, count in sorted(seen["answers"].items()) if count >= SERVICES / 100})
    figures = (
        at_most(f"s until all of {SERVICES:,} are Ready", seen["seconds"], 120.0, "{:.1f}"),
        at_most("CPU s of all processes in that time", sum(seen["cpu at once"].values()), None, "{:.1f}"),
        at_most("API writes per Service", writes.total() / SERVICES, 25.0, "{:.1f}", by_the_clock=False),
        at_most("of these the controller's own", _own(seen["answers"]) / SERVICES, None, "{:.1f}"),
    )
    return Row(figures, [series, used, answers])


def _own(answers: Counter[str]) -> int:
    """What the controller wrote; its Leases go by the clock, not by Services."""
    total = 0
    for asked, count in answers.items():
        verb, kind, code = asked.split(" ")
        total += count if verb != "get" and kind != "leases" and code.startswith("2") else 0
    return total


def steady(bench: Bench) -> Row:
    seen = _thousand(bench)
    used = Series("CPU seconds per second")
    used.add(seen["cpu at rest"])
    figures = (
        at_most("controller's CPU, % of a core", seen["cpu at rest"]["controller"] * 100, 2.0),
        at_most("controller's RSS, MiB", seen["rss"], 250.0, "{:.0f}", by_the_clock=False),
        at_most("controller's calls of the API per second", seen["calls"], None),
        at_most("writes per second, whoever's", seen["writes at rest"], None),
    )
    return Row(figures, [used])


def _thousand(bench: Bench) -> Mapping[str, Any]:
    if not _seen:
        os.sched_setaffinity(0, {PROXY_CORE, LOAD_CORE})
        try:
            with ExitStack() as stack:
                kubeconfig = stack.enter_context(api_server(bench.folder, _settings()))
                _seen.append(asyncio.run(_measure(bench.folder, kubeconfig)))
        finally:
            os.sched_setaffinity(0, {LOAD_CORE})
    return _seen[0]


def _settings() -> Iterator[tuple[Resource, Object]]:
    for obj in config_maps(GatewayPorts(8080)):
        obj["metadata"]["uid"] = name_of(obj)
        yield CONFIG_MAP, obj


async def _measure(folder: Path, kubeconfig: Path) -> Mapping[str, Any]:
    client = await Client.connect(str(kubeconfig))
    pods, versions = SimulatedPods(client), _Versions(client)
    try:
        with _components(folder, kubeconfig) as (pids, ports):
            await _list_components(client, ports)
            await asyncio.sleep(5)
            async with background("pods", pods.run()), background("versions", versions.run()):
                await asyncio.sleep(1)
                return await _watch_over(client, pods, versions, pids, ports)
    finally:
        await client.close()


async def _watch_over(
    client: Client, pods: SimulatedPods, versions: _Versions, pids: Mapping[str, int], ports: Mapping[str, int]
) -> Mapping[str, Any]:
    before, began = _cpu(pids), time.monotonic()
    await _apply(client)
    while len(versions.ready) < SERVICES:
        if time.monotonic() - began > READY_SECONDS:
            raise UnmeasuredError(f"{len(versions.ready)} of {SERVICES} are Ready after {READY_SECONDS} s")
        await asyncio.sleep(0.05)
    seconds, at_once = time.monotonic() - began, _since(before, pids)
    print(f"  all Ready after {seconds:.1f} s", flush=True)
    await asyncio.sleep(SETTLE_SECONDS)
    writes = versions.writes - Counter({kind.split("/")[0]: 0 for kind in pods.writes})
    for kind, count in pods.writes.items():
        writes[kind.split("/")[0]] -= count
    writes[SERVICE.plural] -= SERVICES
    answers = await _answers(ports["controller"])
    before, noted = _cpu(pids), versions.writes.total()
    await asyncio.sleep(STEADY_SECONDS)
    rest = {name: used / STEADY_SECONDS for name, used in _since(before, pids).items()}
    calls = (await _answers(ports["controller"])).total() - answers.total()
    return {
        "seconds": seconds,
        "cpu at once": at_once,
        "writes": +writes,
        "answers": answers,
        "cpu at rest": rest,
        "rss": rss_mib(pids["controller"]),
        "calls": calls / STEADY_SECONDS,
        "writes at rest": (versions.writes.total() - noted) / STEADY_SECONDS,
    }


async def _apply(client: Client) -> None:
    names = iter(range(SERVICES))

    async def some() -> None:
        for number in names:
            await client.create(SERVICE, _service(number))

    async with asyncio.TaskGroup() as group:
        for number in range(PARALLEL):
            group.create_task(some(), name=f"kubectl {number}")


def _service(number: int) -> Object:
    container = {"image": "registry.example/team/app:v1", "ports": [{"containerPort": 8080}]}
    template = {
        # They stay: a thousand that sink back to zero would be another measure.
        "metadata": {"annotations": {"autoscaling.knative.dev/min-scale": "1"}},
        "spec": {"containers": [container]},
    }
    return new_object(SERVICE, "default", f"app-{number:04d}", spec={"template": template})


@contextmanager
def _components(folder: Path, kubeconfig: Path) -> Iterator[tuple[Mapping[str, int], Mapping[str, int]]]:
    """By name, their process ids and metrics ports; and under `stats` and `http` where others reach them."""
    ports = {name: free_port() for name in (*COMPONENTS, "stats", "http", "h2c")}
    pids: dict[str, int] = {"API server": _child_named("upwell.local.apiserver")}
    with ExitStack() as stack:
        for name in COMPONENTS:
            output = stack.enter_context((folder / f"{name}.log").open("wb"))
            given = {9090: ports[name]}
            if name == "autoscaler":
                given[8080] = ports["stats"]
            elif name == "activator":
                given |= {8012: ports["http"], 8013: ports["h2c"], 8112: free_port(), 8008: free_port()}
            elif name == "gateway":
                given |= {8080: free_port(), 8443: free_port()}
            process = subprocess.Popen([sys.executable, "-m", name], stderr=output, env=_env(name, kubeconfig, given))
            stack.callback(process.wait)
            stack.callback(process.kill)
            pids[name] = process.pid
        yield pids, ports


def _env(name: str, kubeconfig: Path, ports: Mapping[int, int]) -> dict[str, str]:
    return {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "POD_NAME": f"{name}-1",
        "POD_IP": "127.0.0.1",
        "UPWELL_BIND_HOST": "127.0.0.1",
        "UPWELL_LOG_LEVEL": "warn",
        "ACTIVATOR_CLUSTER_IPS": "false",
        "UPWELL_PORT_MAP": ",".join(f"{contract}={actual}" for contract, actual in ports.items()),
    }


async def _list_components(client: Client, ports: Mapping[str, int]) -> None:
    """The EndpointSlices by which the components find each other."""
    for service, named in (
        ("activator-service", {"http": ports["http"], "http2": ports["h2c"]}),
        ("autoscaler", {"http": ports["stats"]}),
    ):
        slice_ = new_object(
            ENDPOINT_SLICE,
            SYSTEM_NAMESPACE,
            f"{service}-1",
            metadata={"labels": {"kubernetes.io/service-name": service}},
            addressType="IPv4",
            ports=[{"name": name, "port": port, "protocol": "TCP"} for name, port in named.items()],
            endpoints=[{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        )
        await client.create(ENDPOINT_SLICE, slice_)


def _child_named(module: str) -> int:
    for process in psutil.Process().children(recursive=True):
        if module in process.cmdline():
            return process.pid
    raise UnmeasuredError(f"{module} does not run")


async def _answers(port: int) -> Counter[str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
        found = _ANSWERS.findall(await response.text())
    return Counter({f"{verb} {resource} {code}": int(count) for verb, resource, code, count in found})


def _cpu(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def _since(before: Mapping[str, float], pids: Mapping[str, int]) -> dict[str, float]:
    return {name: used - before[name] for name, used in _cpu(pids).items()}


ROWS = (
    Measure("many", f"{SERVICES:,} Services applied at once, pods played", {}, many),
    Measure("steady", f"{SERVICES:,} Services at rest", {}, steady),
)
