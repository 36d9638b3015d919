"""What a cluster's own controllers and kubelets do, for many revisions at once and with no process for any of them.

A Deployment gets its pods, ready at once, each at a loopback address of its own; each private Service gets its
EndpointSlice. All pods listen on one port, where they answer as a sidecar of ours does, to probes and to scrapes.
"""

import asyncio
import contextlib
from collections import Counter
from typing import Final, cast

from upwell.api.names import LABEL_REVISION, LABEL_SLICE_SERVICE
from upwell.api.objects import (
    Key,
    Object,
    controller_reference,
    labels_of,
    name_of,
    namespace_of,
    new_object,
    timestamp,
)
from upwell.api.resources import CORE_SERVICE, DEPLOYMENT, ENDPOINT_SLICE, POD
from upwell.api.stat import Stat, encode_stat
from upwell.clock import SystemClock
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError
from upwell.cluster.informer import Informer
from upwell.cluster.reconciler import Reconciler

__all__ = ["SimulatedPods"]

_STAT: Final = encode_stat(Stat("pod", 0, 0, 0, 0, 600))
_SCRAPE: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/protobuf\r\nContent-Length: %d\r\n\r\n" % len(_STAT)
_READY: Final = b"HTTP/1.1 200 OK\r\nUpwell-Sidecar: 1\r\nContent-Length: 5\r\n\r\nqueue"


class _Answers(asyncio.Protocol):
    """A connection to any pod."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        *heads, self._pending = (self._pending + data).split(b"\r\n\r\n")
        for head in heads:
            self._transport.write(_SCRAPE + _STAT if b" /metrics " in head[:32] else _READY)


class SimulatedPods:
    """One pod for each Deployment that asks for any; `run` until cancelled."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.port = 0
        self.writes: Counter[str] = Counter()
        """What a cluster's own controllers wrote, and so nobody of ours."""
        self._addresses: dict[Key, str] = {}
        self._clock = SystemClock()
        self._deployments = Informer(client, DEPLOYMENT)
        self._services = Informer(client, CORE_SERVICE)
        self._starting = Reconciler("pods", self._start, workers=16)
        self._listing = Reconciler("slices", self._list, workers=16)
        self._deployments.add_handler(self._starting.enqueue_changed)
        self._services.add_handler(self._listing.enqueue_changed)

    async def run(self) -> None:
        server = await asyncio.get_running_loop().create_server(_Answers, "0.0.0.0", 0, backlog=4096)
        self.port = int(server.sockets[0].getsockname()[1])
        async with server, asyncio.TaskGroup() as group:
            for part in (self._deployments, self._services, self._starting, self._listing):
                group.create_task(part.run(), name=type(part).__name__)

    async def _start(self, key: Key) -> None:
        deployment = self._deployments.get(*key)
        if deployment is None:
            return
        wanted = min(1, int(deployment["spec"].get("replicas", 1)))
        if wanted and key not in self._addresses:
            number = len(self._addresses) + 1
            self._addresses[key] = f"127.1.{number >> 8}.{number & 255}"
            await self._make_pod(deployment, self._addresses[key])
        generation = deployment["metadata"].get("generation")
        if (deployment.get("status") or {}).get("observedGeneration") == generation:
            return
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), wanted)
        conditions = [{"type": kind, "status": "True"} for kind in ("Available", "Progressing")]
        status = {"observedGeneration": generation, "conditions": conditions, **counts}
        await self._client.update_status(DEPLOYMENT, {**deployment, "status": status})
        self.writes["deployments/status"] += 1

    async def _make_pod(self, deployment: Object, address: str) -> None:
        template, now = deployment["spec"]["template"], timestamp(self._clock.now())
        metadata = {**template["metadata"], "ownerReferences": [controller_reference(deployment)]}
        name, namespace = f"{name_of(deployment)}-pod", namespace_of(deployment)
        spec = {
            **template["spec"],
            "containers": [_elsewhere(one, self.port) for one in template["spec"]["containers"]],
        }
        with contextlib.suppress(ApiError):
            await self._client.create(POD, new_object(POD, namespace, name, metadata=metadata, spec=spec))
            self.writes["pods"] += 1
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
        }
        await self._client.patch(POD, name, namespace, {"status": status}, subresource="status")
        self.writes["pods/status"] += 1

    async def _list(self, key: Key) -> float | None:
        """The EndpointSlice of a Service with a selector."""
        service = self._services.get(*key)
        selector = (service or {}).get("spec", {}).get("selector")
        if service is None or not selector:
            return None
        address = self._addresses.get(Key(key.namespace, f"{labels_of(service).get(LABEL_REVISION)}-deployment"))
        if address is None:
            return 0.2
        pod = {
            "kind": "Pod",
            "namespace": key.namespace,
            "name": f"{labels_of(service)[LABEL_REVISION]}-deployment-pod",
        }
        conditions = {"ready": True, "serving": True, "terminating": False}
        slice_ = new_object(
            ENDPOINT_SLICE,
            key.namespace,
            f"{key.name}-1",
            metadata={
                "labels": {**labels_of(service), LABEL_SLICE_SERVICE: key.name},
                "ownerReferences": [controller_reference(service)],
            },
            addressType="IPv4",
            ports=[{"name": port["name"], "port": self.port, "protocol": "TCP"} for port in service["spec"]["ports"]],
            endpoints=[{"addresses": [address], "conditions": conditions, "targetRef": pod}],
        )
        with contextlib.suppress(ApiError):
            await self._client.create(ENDPOINT_SLICE, slice_)
            self.writes["endpointslices"] += 1
        return None


def _elsewhere(container: Object, port: int) -> Object:
    """The container, all of whose ports are the one where pods answer."""
    return {**container, "ports": [{**one, "containerPort": port} for one in container.get("ports") or ()]}
