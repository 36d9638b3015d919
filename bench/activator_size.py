"""Rows for what the activator takes of a node: ten thousand revisions that it knows of and nobody asks for."""

import time
from collections.abc import Iterator

from activator import sks as serverless
from activator.public_address import plan_slices, public_endpoints
from bench.cluster import NAMESPACE, api_server, metadata, revision, slice_of
from bench.contest import cpu_seconds, rss_mib
from bench.proxies import activator
from bench.rows import Bench, Measure, Row, Series, at_most
from upwell.api import names
from upwell.api.objects import Object, controller_reference, new_object, timestamp
from upwell.api.resources import (
    CORE_SERVICE,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    POD_AUTOSCALER,
    REVISION,
    SERVERLESS_SERVICE,
    Resource,
)

__all__ = ["ROWS"]

KNOWN = 10_000
QUIET = 0.02
"""Share of a core below which it has done what there was to do at the start."""
START_MOST_SECONDS = 180.0
IDLE_SECONDS = 10.0
ACTIVATORS = ("10.1.0.1", "10.1.0.2")
_PORTS = {"http": names.PORT_HTTP, "https": names.PORT_TLS}


def known(bench: Bench) -> Row:
    series = {"writes public addresses": Series("writes public addresses"), "does not": Series("does not")}
    objects = list(_cluster())
    for name, flips in zip(series, ("true", "false"), strict=True):
        with (
            api_server(bench.folder, objects) as kubeconfig,
            activator(bench.folder, kubeconfig, {"ACTIVATOR_FLIPS": flips}) as target,
        ):
            began = time.monotonic()
            while _share(target.pid, 2.0) > QUIET and time.monotonic() - began < START_MOST_SECONDS:
                pass
            settled = time.monotonic() - began
            share = _share(target.pid, IDLE_SECONDS)
            series[name].add({"RSS MiB": rss_mib(target.pid), "CPU %": share * 100, "s until idle": settled})
    most = series["writes public addresses"]
    figures = (
        at_most("RSS, MiB", most.median("RSS MiB"), 300, "{:.0f}", by_the_clock=False),
        at_most("CPU of a core, %", most.median("CPU %"), 2.0, by_the_clock=False),
        at_most("RSS of one that leaves public addresses to another, MiB", series["does not"].median("RSS MiB"), None),
    )
    note = (
        "Of each a Revision, PodAutoscaler, ServerlessService, Deployment, both Services, their slices and Endpoints."
    )
    return Row(figures, list(series.values()), note)


def _share(pid: int, seconds: float) -> float:
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


def _cluster() -> Iterator[tuple[Resource, Object]]:
    listed = slice_of("activator-service", "a", ACTIVATORS, _PORTS)
    listed["metadata"]["namespace"] = names.SYSTEM_NAMESPACE
    yield ENDPOINT_SLICE, listed
    activators = serverless.ready_backends([listed], names.PORT_NAME_HTTP)
    for number in range(KNOWN):
        yield from _revision(f"known-{number:05d}", activators)


def _revision(name: str, activators: serverless.Backends) -> Iterator[tuple[Resource, Object]]:
    """A revision at zero, as it is when everybody has done what there is to do."""
    now = time.time()
    yield REVISION, revision(name)
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": timestamp(now)} for kind in ("Active", "Ready")
    ]
    status = {"conditions": conditions, "desiredScale": 0, "actualScale": 0}
    spec = {"protocolType": "http1", "scaleTargetRef": reference}
    yield POD_AUTOSCALER, new_object(POD_AUTOSCALER, NAMESPACE, name, metadata=metadata(name), spec=spec, status=status)
    selector = {names.LABEL_REVISION: name}
    deployed = {"replicas": 0, "selector": {"matchLabels": selector}, "template": {"metadata": {"labels": selector}}}
    yield DEPLOYMENT, new_object(DEPLOYMENT, NAMESPACE, name, metadata=metadata(name), spec=deployed)
    sks = new_object(
        SERVERLESS_SERVICE,
        NAMESPACE,
        name,
        metadata=metadata(name),
        spec={"mode": "Proxy", "objectRef": reference, "protocolType": "http1", "numActivators": 2},
    )
    sks["status"] = serverless.status_for(sks, {}, now)
    yield SERVERLESS_SERVICE, sks
    private, public = serverless.private_service(sks, selector), serverless.public_service(sks)
    for service in (private, public):
        service["metadata"].update({key: metadata(name)[key] for key in ("uid", "creationTimestamp", "managedFields")})
        service["spec"]["clusterIP"] = "10.96.0.1"
        yield CORE_SERVICE, service
    empty = slice_of(f"{name}-private", "a", [], _PORTS)
    empty["metadata"]["ownerReferences"] = [controller_reference(private)]
    yield ENDPOINT_SLICE, empty
    backends = serverless.public_backends(sks, {}, activators)
    for made in plan_slices(sks, public, backends, []):
        made["metadata"]["uid"] = metadata(name)["uid"]
        yield ENDPOINT_SLICE, made
    endpoints = public_endpoints(sks, backends)
    endpoints["metadata"]["uid"] = metadata(name)["uid"]
    yield ENDPOINTS, endpoints


ROWS = (Measure("known", "10,000 revisions known, nobody asks", {"taskset": "util-linux"}, known),)
