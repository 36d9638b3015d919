"""What Kubernetes and the ingress did in a recorded run: Deployments' status, pods, endpoints and Ingresses' status.

The record shows pods by phase and readiness only. When a revision fails, its conditions say why; from them the pod's
container and the Deployment are given the state that is the reason.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tests.golden.played_traffic import Traffic
from upwell.api import names
from upwell.api.objects import Object, new_object, timestamp, uid_of
from upwell.api.resources import DEPLOYMENT, ENDPOINT_SLICE, INGRESS, POD, REVISION
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, Conflict, NotFound

__all__ = ["PlayedCluster", "slice_of"]

BALANCER = {"ingress": [{"domainInternal": "ingress.harness-ingress.svc.cluster.local"}]}
ATTEMPTS = 20
_ENDED = re.compile(r"False ExitCode(\d+): Container failed with: (.*)", re.DOTALL)
_TROUBLE = ("condition ContainerHealthy", "condition ResourcesAvailable")
_UNSCHEDULABLE = "Unschedulable"
_BY_DEPLOYMENT = "ProgressDeadlineExceeded"


class PlayedCluster:
    """The part of one namespace that no component of Upwell is."""

    def __init__(self, client: Client, namespace: str, traffic: Traffic, clock: Clock) -> None:
        self._client = client
        self._namespace = namespace
        self._traffic = traffic
        self._clock = clock
        self._states: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)

    async def play(self, event: Mapping[str, Any]) -> None:
        """Do what a recorded event tells of, if that is not ours."""
        kind, name, path, to = event["kind"], event["name"], event.get("path"), event.get("to")
        state = self._states[kind, name]
        state.update(event.get("values", {path: to} if path else {}))
        gone = event.get("event") == "deleted"
        if kind == "Deployment" and not gone:
            await self._write_deployment(name)
        elif kind == "Pod":
            await self._write_pod(name, gone=gone or path == "deletionTimestamp")
        elif kind == "Endpoints" and name.endswith("-private"):
            await self._write_slice(name.removesuffix("-private"), name, gone=gone)
        elif kind == "Revision" and path in _TROUBLE:
            if str(to or "").startswith("False "):
                await self._trouble(name, str(to))
            elif str(event.get("from") or "").startswith("False "):
                await self._recover(name)

    async def scale(self, deployment: str, replicas: int) -> None:
        """Be Kubernetes' own autoscaler."""
        await self._client.patch(DEPLOYMENT, deployment, self._namespace, {"spec": {"replicas": replicas}})

    async def take_up(self, ingress: Object) -> None:
        """Be the ingress that has just read that."""
        generation = ingress["metadata"]["generation"]
        if (ingress.get("status") or {}).get("observedGeneration") == generation:
            return
        kinds = ("LoadBalancerReady", "NetworkConfigured", "Ready")
        status = {
            "observedGeneration": generation,
            "conditions": [{"type": kind, "status": "True"} for kind in kinds],
            "publicLoadBalancer": BALANCER,
            "privateLoadBalancer": BALANCER,
        }
        with suppress(Conflict, NotFound):
            await self._client.update_status(INGRESS, {**ingress, "status": status})

    async def _write_deployment(self, name: str) -> None:
        state = self._states["Deployment", name]
        progressing: Object = {"type": "Progressing", "status": "True"}
        if "trouble" in state:
            reason, message = state["trouble"]
            progressing = {"type": "Progressing", "status": "False", "reason": reason, "message": message}
        counts = {path.removeprefix("status."): count for path, count in state.items() if path.startswith("status.")}
        status = {**{field: count for field, count in counts.items() if count}, "conditions": [progressing]}
        for _ in range(ATTEMPTS):
            with suppress(Conflict, NotFound):
                obj = await self._client.get(DEPLOYMENT, name, self._namespace)
                status["observedGeneration"] = obj["metadata"]["generation"]
                await self._client.update_status(DEPLOYMENT, {**obj, "status": status})
                return

    async def _write_pod(self, name: str, *, gone: bool) -> None:
        pod_name = name.replace("/", "-")
        if gone:
            with suppress(NotFound):
                await self._client.delete(POD, pod_name, self._namespace)
            return
        state = self._states["Pod", name]
        status: Object = {
            "phase": state["phase"],
            "conditions": [{"type": "Ready", "status": str(state["ready"])}, *state.get("conditions", ())],
            "containerStatuses": state.get("containers", []),
        }
        if state["phase"] == "Running":
            status["podIP"] = "127.0.0.1"
            status["startTime"] = state.setdefault("started", timestamp(self._clock.now()))
        with suppress(NotFound):
            try:
                pod = await self._client.create(POD, await self._new_pod(name.partition("/")[0], pod_name))
            except AlreadyExists:
                pod = await self._client.get(POD, pod_name, self._namespace)
            await self._client.update_status(POD, {**pod, "status": status})

    async def _new_pod(self, revision: str, name: str) -> Object:
        owner = await self._client.get(REVISION, revision, self._namespace)
        labels = {names.LABEL_REVISION: revision, names.LABEL_REVISION_UID: uid_of(owner)}
        ports = [{"name": names.PORT_NAME_STATS, "containerPort": await self._traffic.port_of(revision)}]
        containers = [{"name": "queue-proxy", "image": "x", "ports": ports}, {"name": "user-container", "image": "x"}]
        return new_object(POD, self._namespace, name, metadata={"labels": labels}, spec={"containers": containers})

    async def _write_slice(self, revision: str, service: str, *, gone: bool) -> None:
        """The endpoints of a private Service, as Kubernetes' own controller would write them."""
        name = f"{service}-1"
        with suppress(NotFound):
            await self._client.delete(ENDPOINT_SLICE, name, self._namespace)
        addresses: Mapping[str, int] = {} if gone else self._states["Endpoints", service]["addresses"]
        self._traffic.note_pods(revision, addresses.get("pods", 0))
        if not gone:
            backends = [number < addresses.get("pods", 0) for number in range(sum(addresses.values()))]
            port = await self._traffic.port_of(revision)
            labels = {
                names.LABEL_SLICE_SERVICE: service,
                names.LABEL_SKS: revision,
                names.LABEL_SERVICE_TYPE: names.SERVICE_TYPE_PRIVATE,
            }
            await self._client.create(ENDPOINT_SLICE, slice_of(self._namespace, name, labels, port, backends))

    async def _trouble(self, revision: str, told: str) -> None:
        """Let the revision's latest pod, or its Deployment, say what `told` says."""
        reason, _, message = told.removeprefix("False ").partition(": ")
        pods = [name for kind, name in self._states if kind == "Pod" and name.startswith(f"{revision}/")]
        if reason == _BY_DEPLOYMENT or not pods:
            self._states["Deployment", f"{revision}-deployment"]["trouble"] = reason, message
            await self._write_deployment(f"{revision}-deployment")
            return
        state = self._states["Pod", pods[-1]]
        if (ended := _ENDED.match(told)) is not None:
            end = {"terminated": {"exitCode": int(ended[1]), "message": ended[2]}}
            state["containers"] = [{"name": "user-container", "lastState": end}]
        elif reason == _UNSCHEDULABLE:
            state["conditions"] = [
                {"type": "PodScheduled", "status": "False", "reason": reason, "message": message},
            ]
        else:
            waiting = {"waiting": {"reason": reason, "message": message}}
            state["containers"] = [{"name": "user-container", "state": waiting}]
        await self._write_pod(pods[-1], gone=False)

    async def _recover(self, revision: str) -> None:
        """Take back what `_trouble` had them say."""
        deployment = f"{revision}-deployment"
        if self._states["Deployment", deployment].pop("trouble", None) is not None:
            await self._write_deployment(deployment)
        for (kind, name), state in list(self._states.items()):
            if kind == "Pod" and name.startswith(f"{revision}/") and state.keys() & {"containers", "conditions"}:
                state.pop("containers", None)
                state.pop("conditions", None)
                await self._write_pod(name, gone="deletionTimestamp" in state)


def slice_of(namespace: str, name: str, labels: Mapping[str, str], port: int, ready: list[bool]) -> Object:
    """Endpoints on this machine, one for each of `ready`."""
    return new_object(
        ENDPOINT_SLICE,
        namespace,
        name,
        metadata={"labels": dict(labels)},
        addressType="IPv4",
        ports=[{"name": port_name, "port": port, "protocol": "TCP"} for port_name in ("http", "http2")],
        endpoints=[
            {"addresses": [f"127.0.0.{number}"], "conditions": {"ready": is_ready}}
            for number, is_ready in enumerate(ready, 1)
        ],
    )
