"""A recorded run once more, with our controllers in it; all else does what it did on the recorded cluster.

Ours are the controllers of Services, Configurations, Revisions and Routes, over a real API server. Played are the
autoscaler (PodAutoscalers' status, the scale of Deployments), Kubernetes (Deployments' status, pods) and the ingress,
each change at its recorded time by a clock that only the replay moves. Between two changes the replay waits for what
ours must have shown by then, so that it depends on the order of events and not on the speed of the machine.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

from tests.golden.recorded_run import STRICT, Demand, Run, Subject, is_within, read, readable
from upwell.api.names import LABEL_REVISION
from upwell.api.objects import Object, name_of, new_object
from upwell.api.resources import (
    BY_KIND,
    CONFIGURATION,
    DEPLOYMENT,
    INGRESS,
    POD,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVICE,
    Resource,
)
from upwell.clock import FakeClock
from upwell.cluster.client import Client, PatchType
from upwell.cluster.errors import AlreadyExists, Conflict, NotFound
from upwell.cluster.informer import Informer

__all__ = ["Replay"]

OURS = {one.kind: one for one in (SERVICE, CONFIGURATION, REVISION, ROUTE)}
WATCHED = (*OURS.values(), DEPLOYMENT, POD_AUTOSCALER, INGRESS)
PLAYED = {one.kind: one for one in (DEPLOYMENT, POD_AUTOSCALER)}
JUDGED_AT_THE_END = {
    **dict.fromkeys(OURS, ("condition", "status", "label", "annotation", "finalizers")),
    "PodAutoscaler": ("spec",),
    "Ingress": ("splits",),
}
"""What of each kind is ours, by how its paths begin; the rest of it is played."""
STEP_SECONDS = 0.1
CREEP_SECONDS = 0.02
SLACK_SECONDS = 4.0
"""How much later than recorded something may be: two ticks."""
PATIENCE_SECONDS = 10.0
"""Of the machine's time, however busy it is."""
BALANCER = {"ingress": [{"domainInternal": "ingress.harness-ingress.svc.cluster.local"}]}
TROUBLE = ("condition ContainerHealthy", "condition ResourcesAvailable")
_ENDED = re.compile(r"False ExitCode(\d+): Container failed with: (.*)", re.DOTALL)


class Replay:
    """One run."""

    def __init__(self, client: Client, case: Mapping[str, Any], clock: FakeClock) -> None:
        self._client = client
        self._namespace = str(case["namespace"])
        self._run = Run(case)
        self._clock = clock
        self._start = clock.now()
        self._informers = {one.kind: Informer(client, one, namespace=self._namespace) for one in WATCHED}
        self._shown: defaultdict[Subject, list[Any]] = defaultdict(list)
        self._matched: defaultdict[Subject, int] = defaultdict(int)
        self._played: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
        for kind, informer in self._informers.items():
            informer.add_handler(self._observer(kind))

    def watching(self) -> dict[str, Any]:
        return {f"test's copy of {kind}": informer.run() for kind, informer in self._informers.items()}

    async def differences(self) -> list[str]:
        """Play the run to its end; where ours differs from the record."""
        for informer in self._informers.values():
            await informer.wait_synced()
        demands = list(self._run.demands(OURS))
        steps: list[Any] = [*self._run.actions, *self._run.events, *demands]
        for step in sorted(steps, key=_moment):
            await self._until(_moment(step))
            if isinstance(step, Demand):
                if not await self._eventually(lambda demand=step: self._has_shown(demand)):
                    return [f"by {step.t:.1f} s no {step.value!r}", *self._sequences()]
            elif "action" in step:
                await self._act(step)
            elif step["kind"] in PLAYED or step["kind"] == "Revision":
                await self._play(step)
        await self._eventually(lambda: not self._ends())
        return [*self._ends(), *self._sequences()]

    # What ours shows

    def _observer(self, kind: str) -> Any:
        def observe(old: Object | None, new: Object | None) -> None:
            for path in STRICT:
                subject, value = Subject(kind, name_of(new or old or {}), path), read(new or {}, path)
                if value is not None and [value] != self._shown[subject][-1:]:
                    self._shown[subject].append(value)

        return observe

    def _has_shown(self, demand: Demand) -> bool:
        shown, start = self._shown[demand.subject], self._matched[demand.subject]
        if demand.value not in shown[start:]:
            return False
        self._matched[demand.subject] = shown.index(demand.value, start)
        return True

    def _sequences(self) -> list[str]:
        return [
            f"{' '.join(subject)} was {self._shown[subject]}, want {[state.value for state in states]}"
            for subject, states in self._run.states.items()
            if subject.kind in OURS and not is_within(self._shown[subject], states)
        ]

    def _ends(self) -> list[str]:
        found = []
        for kind, name in self._run.gone:
            if kind in self._informers and self._informers[kind].get(self._namespace, name) is not None:
                found.append(f"{kind} {name} is still there")
        for subject, want in self._run.last.items():
            if not readable(subject.path) or not subject.path.startswith(JUDGED_AT_THE_END.get(subject.kind, ("-",))):
                continue
            obj = self._informers[subject.kind].get(self._namespace, subject.name)
            value = read(obj, subject.path) if obj is not None else "not there"
            if value != want:
                found.append(f"{' '.join(subject)} is {value!r} in the end, want {want!r}")
        return found

    # The course of time

    async def _until(self, seconds: float) -> None:
        while (left := self._start + seconds - self._clock.now()) > 0:
            await self._pass(min(STEP_SECONDS, left))

    async def _eventually(self, look: Any) -> bool:
        loop = asyncio.get_running_loop()
        crept, deadline = 0.0, loop.time() + PATIENCE_SECONDS
        while not look():
            if loop.time() > deadline:
                return False
            await self._pass(CREEP_SECONDS if crept < SLACK_SECONDS else 0.0)
            crept += CREEP_SECONDS
        return True

    async def _pass(self, seconds: float) -> None:
        await self._clock.advance(seconds)
        await self._play_ingress()
        await asyncio.sleep(0.01)

    # What others do

    async def _act(self, action: Mapping[str, Any]) -> None:
        if action["action"] == "create":
            obj = deepcopy(action["object"])
            obj["metadata"]["namespace"] = self._namespace
            await self._client.create(BY_KIND[obj["apiVersion"], obj["kind"]], obj)
        elif action["action"] == "patch":
            resource = OURS[action["kind"]]
            await self._client.patch(resource, action["name"], self._namespace, action["patch"], PatchType.MERGE)
        elif action["action"] == "delete":
            await self._client.delete(OURS[action["kind"]], action["name"], self._namespace)

    async def _play(self, event: Mapping[str, Any]) -> None:
        kind, name = event["kind"], event["name"]
        if kind == "Revision":
            await self._play_trouble(name, event)
            return
        if event.get("event") == "deleted":
            return  # the API server's garbage collector does it
        state = self._played[kind, name]
        state.update(event["values"] if "values" in event else {event["path"]: event.get("to")})
        await self._write(PLAYED[kind], name)

    async def _write(self, resource: Resource, name: str) -> None:
        """Make what is played of an object what it is now, as soon as the object is there."""
        informer, state = self._informers[resource.kind], self._played[resource.kind, name]
        await self._eventually(lambda: informer.get(self._namespace, name) is not None)
        for _ in range(20):
            try:
                obj = await self._client.get(resource, name, self._namespace)
                if resource is DEPLOYMENT and obj["spec"].get("replicas") != state["spec.replicas"]:
                    replicas = {"spec": {"replicas": state["spec.replicas"]}}
                    obj = await self._client.patch(resource, name, self._namespace, replicas)
                status = _deployment_status(state) if resource is DEPLOYMENT else _autoscaler_status(state)
                status["observedGeneration"] = obj["metadata"]["generation"]
                await self._client.update_status(resource, {**obj, "status": status})
                return
            except Conflict:
                continue
            except NotFound:
                return

    async def _play_trouble(self, revision: str, event: Mapping[str, Any]) -> None:
        """What pods and Deployment said when a revision failed, which the record shows by its conditions only."""
        told = str(event.get("to") or "")
        if event.get("path") not in TROUBLE or not told.startswith("False "):
            return
        if (ended := _ENDED.match(told)) is not None:
            state = {"terminated": {"exitCode": int(ended[1]), "message": ended[2]}}
            await self._play_pod(revision, {"containerStatuses": [{"name": "user-container", "lastState": state}]})
        else:
            reason, _, message = told.removeprefix("False ").partition(": ")
            deployment = f"{revision}-deployment"
            self._played["Deployment", deployment]["trouble"] = reason, message
            await self._write(DEPLOYMENT, deployment)

    async def _play_pod(self, revision: str, status: Object) -> None:
        spec = {"containers": [{"name": "user-container", "image": "x"}]}
        pod = new_object(
            POD, self._namespace, f"{revision}-pod", metadata={"labels": {LABEL_REVISION: revision}}, spec=spec
        )
        with suppress(AlreadyExists):
            stored = await self._client.create(POD, pod)
            await self._client.update_status(POD, {**stored, "status": status})

    async def _play_ingress(self) -> None:
        """Take up every Ingress at once."""
        for ingress in self._informers["Ingress"].list(self._namespace):
            generation = ingress["metadata"]["generation"]
            if (ingress.get("status") or {}).get("observedGeneration") == generation:
                continue
            kinds = ("LoadBalancerReady", "NetworkConfigured", "Ready")
            status = {
                "observedGeneration": generation,
                "conditions": [{"type": kind, "status": "True"} for kind in kinds],
                "publicLoadBalancer": BALANCER,
                "privateLoadBalancer": BALANCER,
            }
            with suppress(Conflict, NotFound):
                await self._client.update_status(INGRESS, {**ingress, "status": status})


def _moment(step: Any) -> float:
    return step.t if isinstance(step, Demand) else float(step["t"])


def _deployment_status(state: Mapping[str, Any]) -> Object:
    counts = {path.removeprefix("status."): value for path, value in state.items() if path.startswith("status.")}
    progressing: Object = {"type": "Progressing", "status": "True"}
    if "trouble" in state:
        reason, message = state["trouble"]
        progressing = {"type": "Progressing", "status": "False", "reason": reason, "message": message}
    return {**{name: count for name, count in counts.items() if count}, "conditions": [progressing]}


def _autoscaler_status(state: Mapping[str, Any]) -> Object:
    status: Object = {"conditions": []}
    for path, value in state.items():
        if path.startswith("status."):
            status[path.removeprefix("status.")] = value
        elif path.startswith("condition ") and value is not None:
            told, _, message = value.partition(": ")
            condition, _, reason = told.partition(" ")
            entry = {"type": path.removeprefix("condition "), "status": condition, "reason": reason, "message": message}
            status["conditions"].append({name: text for name, text in entry.items() if text})
    return status
