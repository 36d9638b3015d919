"""What one Service is doing, seen through the API: desired and ready pods, and when each step of a start happened.

An `Observer` watches the Service, its Deployments and its Pods. `upwell up` waits with it for Ready; `upwell demo`
and the load tests draw their curves from it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from upwell.api import names
from upwell.api.objects import Object, is_deleting, name_of
from upwell.api.resources import DEPLOYMENT, POD, SERVICE
from upwell.cli.tasks import background
from upwell.clock import Clock, SystemClock
from upwell.cluster.client import Client
from upwell.cluster.informer import Informer

__all__ = ["Observer", "PodStart", "ServiceState", "condition", "observing"]


def condition(obj: Object, name: str) -> Object:
    """The condition of that type, or an empty one."""
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found.get("type") == name:
            result: Object = found
            return result
    return {}


def is_pod_ready(pod: Object) -> bool:
    return condition(pod, "Ready").get("status") == "True" and not is_deleting(pod)


@dataclass(slots=True)
class PodStart:
    """When a pod was first seen in each state, in seconds of the observer's monotonic clock; 0 is not yet."""

    created: float
    started: float = 0.0
    """All containers run."""
    ready: float = 0.0


@dataclass(slots=True)
class ServiceState:
    """One Service as it stands."""

    ready: bool = False
    failed: bool = False
    """Ready is False, for the current generation; `reason` says why."""
    reason: str = ""
    pod_trouble: str = ""
    """What a pod that is not ready says of itself."""
    url: str = ""
    desired: int = 0
    pods: int = 0
    ready_pods: int = 0
    scaled_up_at: float = 0.0
    """When desired last left zero, in seconds of the observer's clock."""
    starts: dict[str, PodStart] = field(default_factory=dict)


class Observer:
    """Keeps a `ServiceState` current and wakes whoever waits for a condition on it."""

    def __init__(self, client: Client, namespace: str, name: str, clock: Clock) -> None:
        self.state = ServiceState()
        self._clock = clock
        self._name = name
        self._changed = asyncio.Event()
        selector = f"{names.LABEL_SERVICE}={name}"
        self._service = Informer(client, SERVICE, namespace=namespace, fields=f"metadata.name={name}")
        self._deployments = Informer(client, DEPLOYMENT, namespace=namespace, labels=selector)
        self._pods = Informer(client, POD, namespace=namespace, labels=selector)
        self.informers = (self._service, self._deployments, self._pods)
        for informer in self.informers:
            informer.add_handler(self._on_change)

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        del old, new
        state, now = self.state, self._clock.monotonic()
        for service in self._service.list():
            ready = condition(service, "Ready")
            # The Route only says that it has no revision to send to; why not is what the Configuration says.
            told = next((c for c in (condition(service, "ConfigurationsReady"), ready) if c.get("message")), ready)
            observed = (service.get("status") or {}).get("observedGeneration") == service["metadata"].get("generation")
            state.ready = observed and ready.get("status") == "True"
            state.failed = observed and ready.get("status") == "False"
            state.reason = ": ".join(filter(None, (told.get("reason"), told.get("message"))))
            state.url = (service.get("status") or {}).get("url") or ""
        desired = sum(int(d["spec"].get("replicas") or 0) for d in self._deployments.list())
        if desired and not state.desired:
            state.scaled_up_at = now
        state.desired = desired
        pods = self._pods.list()
        for pod in pods:
            self._note_start(pod, now)
        state.pods = len(pods)
        troubles = (condition(pod, "Ready").get("message") for pod in pods if not is_pod_ready(pod))
        state.pod_trouble = next(filter(None, troubles), "")
        state.ready_pods = sum(is_pod_ready(pod) for pod in pods)
        self._changed.set()
        self._changed = asyncio.Event()

    def _note_start(self, pod: Object, now: float) -> None:
        start = self.state.starts.setdefault(name_of(pod), PodStart(now))
        containers = (pod.get("status") or {}).get("containerStatuses") or ()
        if not start.started and containers and all("running" in (c.get("state") or {}) for c in containers):
            start.started = now
        if not start.ready and is_pod_ready(pod):
            start.ready = now

    async def wait_for(self, predicate: Callable[[ServiceState], bool], timeout: float) -> bool:
        """Whether `predicate` came true within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not predicate(self.state):
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def observing(client: Client, namespace: str, name: str) -> AsyncIterator[Observer]:
    """Observe a Service for the length of the block; the watches are in place when it starts."""
    observer = Observer(client, namespace, name, SystemClock())
    async with background("service observer", *(informer.run() for informer in observer.informers)):
        for informer in observer.informers:
            await informer.wait_synced()
        yield observer
