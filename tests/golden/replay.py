"""A recorded run once more, with our components in it; all else does what it did on the recorded cluster.

Ours are the controllers, the autoscaler, and the activator's part that looks after ServerlessServices, over a real API
server. Played are Kubernetes and the ingress (`played_cluster`) and the requests (`played_traffic`), each change at
its recorded time by a clock that only the replay moves. Between two changes the replay waits for what ours must have
shown by then, so that it depends on the order of events and not on the speed of the machine.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import Any

from activator.sks_reconciler import ACTIVATOR_SERVICE
from tests.golden.played_cluster import PlayedCluster, slice_of
from tests.golden.played_traffic import Traffic
from tests.golden.recorded_run import STRICT, Demand, Run, Subject, is_within, read, readable
from upwell.api import podautoscaler
from upwell.api.names import CLASS_KPA, LABEL_SLICE_SERVICE, SYSTEM_NAMESPACE
from upwell.api.objects import Key, Object, name_of
from upwell.api.resources import (
    BY_KIND,
    CONFIGURATION,
    CORE_SERVICE,
    DEPLOYMENT,
    DOMAIN_MAPPING,
    ENDPOINT_SLICE,
    INGRESS,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVERLESS_SERVICE,
    SERVICE,
)
from upwell.clock import FakeClock
from upwell.cluster.client import Client, PatchType
from upwell.cluster.errors import NotFound
from upwell.cluster.informer import Informer

__all__ = ["Replay"]

OURS = {
    one.kind: one
    for one in (
        SERVICE,
        CONFIGURATION,
        REVISION,
        ROUTE,
        DOMAIN_MAPPING,
        POD_AUTOSCALER,
        SERVERLESS_SERVICE,
        DEPLOYMENT,
        INGRESS,
    )
}
KINDS = {**{one.kind: one for one in BY_KIND.values()}, "Service": SERVICE, "K8sService": CORE_SERVICE}
"""As the records name them."""
JUDGED_AT_THE_END = {
    **dict.fromkeys(OURS, ("condition", "status", "label", "annotation", "finalizers", "spec.mode", "spec.reach")),
    "Ingress": ("splits",),
    "Deployment": ("spec",),
}
"""What of each kind is ours, by how its paths begin; the rest of it is played, or to be compared loosely."""
STEP_SECONDS = 0.1
CREEP_SECONDS = 0.02
SLACK_SECONDS = 4.0
"""How much later or earlier than recorded something may be: two ticks."""
PATIENCE_SECONDS = 10.0
"""Of the machine's time, however busy it is."""


class Replay:
    """One run."""

    def __init__(self, client: Client, case: Mapping[str, Any], traffic: Traffic, clock: FakeClock) -> None:
        self._client = client
        self._namespace = str(case["namespace"])
        self._run = Run(case)
        self._traffic = traffic
        self._cluster = PlayedCluster(client, self._namespace, traffic, clock)
        self._clock = clock
        self._start = clock.now()
        self._informers = {one.kind: Informer(client, one, namespace=self._namespace) for one in OURS.values()}
        self._shown: defaultdict[Subject, list[Any]] = defaultdict(list)
        self._shown_at: defaultdict[Subject, list[float]] = defaultdict(list)
        self._early: list[str] = []
        self._matched: dict[Subject, int] = {}
        """Which of what was shown is the state that was last waited for."""
        self._requested: list[tuple[Key, int]] = []
        for kind, informer in self._informers.items():
            informer.add_handler(self._observer(kind))

    def watching(self) -> dict[str, Any]:
        return {f"test's copy of {kind}": informer.run() for kind, informer in self._informers.items()}

    async def prepare(self) -> None:
        """Put the activator where everybody looks for it."""
        with suppress(NotFound):
            await self._client.delete(ENDPOINT_SLICE, ACTIVATOR_SERVICE, SYSTEM_NAMESPACE)
        labels = {LABEL_SLICE_SERVICE: ACTIVATOR_SERVICE}
        activators = slice_of(SYSTEM_NAMESPACE, ACTIVATOR_SERVICE, labels, self._traffic.activator_port, [True])
        await self._client.create(ENDPOINT_SLICE, activators)
        for informer in self._informers.values():
            await informer.wait_synced()

    async def differences(self) -> list[str]:
        """Play the run to its end; where ours differs from the record."""
        steps: list[Any] = [*self._run.actions, *self._run.events, *self._run.demands(OURS)]
        for step in sorted(steps, key=_moment):
            await self._until(_moment(step))
            if isinstance(step, Demand):
                if not await self._eventually(partial(self._has_shown, step)):
                    return [f"since {step.since:.1f} s {' '.join(step.subject)} not {step.value!r}", *self._sequences()]
            elif "action" in step:
                await self._act(step)
            else:
                await self._follow(step)
        await self._eventually(lambda: not self._ends())
        return [*self._ends(), *self._sequences(), *self._early]

    async def clear(self) -> None:
        """Delete what was made, so that nobody works on it during the next run."""
        for action in self._run.actions:
            if action["action"] == "create":
                obj = action["object"]
                with suppress(NotFound):
                    await self._client.delete(BY_KIND[obj["apiVersion"], obj["kind"]], name_of(obj), self._namespace)
        await self._eventually(lambda: not any(one.list() for one in self._informers.values()))

    # What ours shows

    def _observer(self, kind: str) -> Any:
        def observe(old: Object | None, new: Object | None) -> None:
            for path in STRICT:
                subject, value = Subject(kind, name_of(new or old or {}), path), read(new or {}, path)
                if value is not None and [value] != self._shown[subject][-1:]:
                    self._shown[subject].append(value)
                    self._shown_at[subject].append(self._clock.now() - self._start)
            if kind == SERVERLESS_SERVICE.kind and new is not None:
                self._traffic.note_mode(name_of(new), new["spec"]["mode"])

        return observe

    def _has_shown(self, demand: Demand) -> bool:
        shown, before = self._shown[demand.subject], self._matched.get(demand.subject)
        if demand.value not in shown[before or 0 :]:
            return False
        found = self._matched[demand.subject] = shown.index(demand.value, before or 0)
        if found != before and self._shown_at[demand.subject][found] < demand.since - SLACK_SECONDS:
            self._early.append(f"{' '.join(demand.subject)} was {demand.value!r} long before {demand.since:.1f} s")
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

    async def _eventually(self, look: Callable[[], object]) -> bool:
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
        for ingress in self._informers["Ingress"].list():
            if Subject("Ingress", name_of(ingress), "condition Ready") in self._run.states:
                await self._cluster.take_up(ingress)
        await self._traffic.pass_on(self._namespace, self._clock.now())
        await asyncio.sleep(0.01)

    # What others do

    async def _act(self, action: Mapping[str, Any]) -> None:
        match action["action"]:
            case "create":
                obj = deepcopy(action["object"])
                resource = BY_KIND[obj["apiVersion"], obj["kind"]]
                if resource.namespaced:
                    obj["metadata"].setdefault("namespace", self._namespace)
                await self._client.create(resource, obj)
            case "patch":
                resource, name, patch = KINDS[action["kind"]], action["name"], action["patch"]
                await self._client.patch(resource, name, self._namespace, patch, PatchType.MERGE)
            case "delete":
                name = action["name"].replace("/", "-")  # as pods are called here
                await self._client.delete(KINDS[action["kind"]], name, self._namespace)
            case "requests":
                self._requested.append((self._revision_behind(action["host"]), int(action["concurrent"])))
                await self._traffic.add(*self._requested[-1], self._clock.now())
            case "requests done":
                revision, requests = self._requested.pop(0)
                await self._traffic.add(revision, -requests, self._clock.now())

    def _revision_behind(self, host: str) -> Key:
        for route in self._informers["Route"].list():
            status = route["status"]
            for target in status.get("traffic") or ():
                if f"//{host}" in (target.get("url") or status["url"]):
                    return Key(self._namespace, target["revisionName"])
        raise AssertionError(f"no Route has the host {host}")

    async def _follow(self, event: Mapping[str, Any]) -> None:
        """Play it, as soon as what it is an answer to is there."""
        kind, name = event["kind"], event["name"]
        if event.get("path") == "spec.replicas" and self._is_scaled_by_others(name):
            await self._cluster.scale(name, event["to"])
        if kind in ("Pod", "Endpoints", "Deployment"):
            deployment = _deployment_of(kind, name)
            want = self._run.at(Subject("Deployment", deployment, "spec.replicas"), event["t"])
            await self._eventually(lambda: want is None or self._replicas(deployment) == want)
        await self._cluster.play(event)

    def _is_scaled_by_others(self, deployment: str) -> bool:
        found = self._informers["PodAutoscaler"].get(self._namespace, deployment.removesuffix("-deployment"))
        return found is not None and podautoscaler.class_of(found) != CLASS_KPA

    def _replicas(self, deployment: str) -> int | None:
        found = self._informers["Deployment"].get(self._namespace, deployment)
        return None if found is None else int(found["spec"]["replicas"])


def _moment(step: Any) -> float:
    return step.due if isinstance(step, Demand) else float(step["t"])


def _deployment_of(kind: str, name: str) -> str:
    """Of a recorded pod, of Endpoints, or of itself."""
    if kind == "Deployment":
        return name
    revision = name.partition("/")[0] if kind == "Pod" else name.removesuffix("-private")
    return f"{revision}-deployment"
