"""One pod: its init containers in order, then its containers together, and the end of all of them.

The runtime's view of a pod is this object, not the one in the API, so that nothing waits for a round trip: readiness
goes from here into the pod's status and the endpoint slices at the same moment.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from upwell.api.objects import Key, Object, key_of, labels_of
from upwell.clock import Clock
from upwell.local.runtime.container import Container, Running, Terminated, Waiting
from upwell.local.runtime.launcher import Launcher
from upwell.local.runtime.logs import PodLogs
from upwell.local.runtime.prober import listens
from upwell.local.runtime.spec import ContainerSpec, PodSpec, Problem

__all__ = ["Pod"]

LABEL_HASH = "pod-template-hash"


@dataclass(slots=True)
class _Transition:
    status: bool
    since: float


@dataclass(slots=True)
class Pod:
    """See the module; `changed` is called after every change, with the pod."""

    obj: Object
    spec: PodSpec
    owner: str
    """The uid of the Deployment."""
    clock: Clock
    changed: Callable[["Pod"], None]
    created: float = 0.0
    initialized: bool = False
    terminating: bool = False
    containers: list[Container] = field(default_factory=list)
    init_containers: list[Container] = field(default_factory=list)
    _transitions: dict[str, _Transition] = field(default_factory=dict)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _grace: float = 0.0

    @classmethod
    def build(
        cls,
        obj: Object,
        spec: PodSpec,
        owner: str,
        launcher: Launcher,
        logs: PodLogs,
        clock: Clock,
        changed: Callable[["Pod"], None],
    ) -> "Pod":
        pod = cls(obj, spec, owner, clock, changed, created=clock.now())
        key = pod.key

        def container(item: ContainerSpec, once: bool) -> Container:
            log = logs.container(key.namespace, key.name, item.name)
            explain = pod._explain if item.queue_proxy else None
            made = Container(
                item, log, launcher, clock, lambda: pod._container_changed(made), explain=explain, once=once
            )
            return made

        pod.init_containers = [container(item, True) for item in spec.init_containers]
        pod.containers = [container(item, False) for item in spec.containers]
        return pod

    @property
    def key(self) -> Key:
        return key_of(self.obj)

    @property
    def template_hash(self) -> str:
        return labels_of(self.obj).get(LABEL_HASH, "")

    @property
    def ready(self) -> bool:
        """Whether the pod can serve: all of its containers say so. A pod that ends may still be ready."""
        return self.initialized and all(container.ready for container in self.containers)

    @property
    def pids(self) -> list[int]:
        """The processes of the containers that run."""
        return [container.pid for container in self.containers if container.pid is not None]

    @property
    def problem(self) -> Problem | None:
        """Why a container cannot even start, where that is so."""
        for container in (*self.init_containers, *self.containers):
            state = container.state
            if isinstance(state, Waiting) and state.reason not in ("ContainerCreating", "CrashLoopBackOff"):
                return Problem(state.reason, state.message)
        return None

    async def run(self) -> None:
        """Run the containers until `terminate` was called and all of them have ended."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stop_when_asked(), name=f"end of {self.key}")
            for container in self.init_containers:
                await container.run()
                if not container.completed:
                    return
            self.initialized = True
            for container in self.containers:
                group.create_task(container.run(), name=f"container {container.spec.name} of {self.key}")
            self.changed(self)

    def terminate(self, grace: float) -> None:
        """Begin to end the pod, within `grace` seconds; asking again can only shorten the time."""
        if self.terminating:
            if grace < self._grace:
                self._grace = grace
                asyncio.get_running_loop().call_later(grace, self._kill)
            return
        self.terminating = True
        self._grace = grace
        self._stop.set()
        self.changed(self)

    def since(self, condition: str, status: bool) -> float:
        """When a condition took on its present status (Unix seconds), remembering it."""
        known = self._transitions.get(condition)
        if known is None or known.status is not status:
            known = self._transitions[condition] = _Transition(status, self.clock.now())
        return known.since

    async def _stop_when_asked(self) -> None:
        await self._stop.wait()
        if self._grace <= 0:
            self._kill()
        await asyncio.gather(*(item.stop(self._grace) for item in (*self.init_containers, *self.containers)))

    def _kill(self) -> None:
        for container in (*self.init_containers, *self.containers):
            container.kill()

    def _container_changed(self, container: Container) -> None:
        if isinstance(container.state, Terminated) and not container.spec.queue_proxy:
            # What the sidecar's probe said of the app was said of a process that is gone.
            for other in self.containers:
                if other.spec.queue_proxy:
                    other.doubt()
        self.changed(self)

    async def _explain(self) -> str:
        """What a failing sidecar probe most often means: the app does not listen where it was told to."""
        for container in self.containers:
            port = container.spec.first_port
            running = isinstance(container.state, Running)
            if not container.spec.queue_proxy and port and running and not await listens("127.0.0.1", port):
                return (
                    f"{container.spec.name} does not listen on 127.0.0.1:{port}; "
                    f"it has to take the port from its environment (PORT={port})"
                )
        return ""
