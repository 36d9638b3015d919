"""What the runtime needs to know of a pod, read once from its object.

A field that cannot be used does not fail the pod as a whole: the container keeps the reason and the message, shows
them in its status, and everything else goes on.
"""

from dataclasses import dataclass, field
from typing import Any

from upwell.api.objects import Object
from upwell.local.runtime.images import command_for
from upwell.local.runtime.ports import is_queue_proxy, ports_of
from upwell.local.runtime.probes import Probe, parse_probe

__all__ = ["ContainerSpec", "PodSpec", "Problem", "parse_pod"]

DEFAULT_GRACE = 30.0


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a container cannot start: a reason for programs, and a sentence that says what to do."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One container: what to run, with what, and how to ask whether it works."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    """Command and arguments, before $(VARIABLE) expansion."""
    problem: Problem | None = None
    """Set when the container cannot run as it is specified."""
    env: tuple[Object, ...] = ()
    env_from: tuple[Object, ...] = ()
    working_dir: str = ""
    first_port: int = 0
    """The actual port of the first declared one; 0 when none is declared."""
    host_ports: dict[int, int] = field(default_factory=dict)
    """Declared port → hostPort, for ports that the runtime binds and hands over."""
    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None
    pre_stop: Probe | None = None
    log_as_message: bool = False
    """Whether the end of the log explains a failure (terminationMessagePolicy FallbackToLogsOnError)."""
    built_in: bool = False
    queue_proxy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """One pod: its containers in order, the ports they were given, and how long they may take to end."""

    containers: tuple[ContainerSpec, ...]
    init_containers: tuple[ContainerSpec, ...] = ()
    ports: dict[int, int] = field(default_factory=dict)
    """Declared port → actual port."""
    grace: float = DEFAULT_GRACE


def parse_pod(pod: Object) -> PodSpec:
    """Read a Pod object as the runtime stores it: containerPorts are actual, the annotation has the map."""
    spec = pod["spec"]
    ports = ports_of(pod)
    grace = spec.get("terminationGracePeriodSeconds")
    return PodSpec(
        containers=tuple(_parse_container(raw, ports) for raw in spec.get("containers") or ()),
        init_containers=tuple(_parse_container(raw, ports) for raw in spec.get("initContainers") or ()),
        ports=ports,
        grace=DEFAULT_GRACE if grace is None else float(grace),
    )


def _parse_container(raw: Object, ports: dict[int, int]) -> ContainerSpec:
    image = str(raw.get("image") or "")
    built_in = command_for(image)
    command = (*(raw.get("command") or built_in), *(raw.get("args") or ())) if raw.get("command") or built_in else ()
    declared: list[Object] = raw.get("ports") or []
    numbers = {actual: number for number, actual in ports.items()}

    def actual_port(port: int | str) -> int:
        if isinstance(port, str) and not port.isdigit():
            named = (item["containerPort"] for item in declared if item.get("name") == port)
            return int(next(named, 0))
        return ports.get(int(port), int(port))

    def probe(name: str) -> Probe | None:
        return parse_probe(raw.get(name), actual_port)

    lifecycle: dict[str, Any] = raw.get("lifecycle") or {}
    return ContainerSpec(
        name=str(raw["name"]),
        image=image,
        command=command,
        problem=None if command else _command_missing(raw),
        env=tuple(raw.get("env") or ()),
        env_from=tuple(raw.get("envFrom") or ()),
        working_dir=str(raw.get("workingDir") or ""),
        first_port=int(declared[0]["containerPort"]) if declared else 0,
        host_ports={
            numbers.get(int(item["containerPort"]), int(item["containerPort"])): int(item["hostPort"])
            for item in declared
            if item.get("hostPort")
        },
        startup=probe("startupProbe"),
        readiness=probe("readinessProbe"),
        liveness=probe("livenessProbe"),
        pre_stop=parse_probe(lifecycle.get("preStop"), actual_port),
        log_as_message=raw.get("terminationMessagePolicy") == "FallbackToLogsOnError",
        built_in=bool(built_in) and not raw.get("command"),
        queue_proxy=is_queue_proxy(raw),
    )


def _command_missing(raw: Object) -> Problem:
    return Problem(
        "CommandMissing",
        f'container {raw["name"]} has no command; locally the image "{raw.get("image") or ""}" is only a label: '
        "add command: [...], for example command: [python3, app.py]",
    )
