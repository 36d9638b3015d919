"""Ports for pods that share one machine: who gets which, and what the pod's object says about it.

Every containerPort number of a pod stands for a port of its own between 20000 and 32000, below the range from which
systems take the local ends of connections. The Pod object that is stored has the actual ports in place of the
declared ones, and the map in an annotation (`local.upwell.dev/ports`: `8012=20117,…`), by which numbers elsewhere
(probes, hooks, a Service's targetPort) are translated.
"""

import random
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from upwell.api import names
from upwell.api.objects import Object, annotations_of
from upwell.local.runtime.images import command_for
from upwell.ports import parse_pairs

__all__ = [
    "ANNOTATION_PORTS",
    "PortAllocator",
    "PortsExhausted",
    "declared_ports",
    "format_ports",
    "is_free",
    "is_queue_proxy",
    "ports_of",
]

ANNOTATION_PORTS: Final = "local.upwell.dev/ports"
LOWEST: Final = 20000
HIGHEST: Final = 32000
QUEUE_PROXY_PORTS: Final = (names.PORT_TLS, names.PORT_QUEUE_ADMIN, names.PORT_STATS, names.PORT_USER_METRICS)
"""Ports that a queue-proxy listens on whether its container declares them or not."""


class PortsExhausted(Exception):  # noqa: N818
    """No free port is left in the range."""


class PortAllocator:
    """Hands out ports that are free now, and none twice until it is released.

    It goes round: a port rests as long as possible after its release, so that a late client of an old pod is refused
    rather than served by another one.
    """

    def __init__(self, free: Callable[[int], bool], *, start: int | None = None) -> None:
        """`free` says whether nothing listens on a port; the first port tried is `start`, by default any."""
        self._free = free
        self._next = start if start is not None else random.randrange(LOWEST, HIGHEST)
        self._taken: set[int] = set()

    def take(self) -> int:
        """A free port; raise PortsExhausted."""
        for _ in range(HIGHEST - LOWEST):
            port = self._next
            self._next = port + 1 if port + 1 < HIGHEST else LOWEST
            if port not in self._taken and self._free(port):
                self._taken.add(port)
                return port
        raise PortsExhausted(f"no free port between {LOWEST} and {HIGHEST} on 127.0.0.1; stop what occupies them")

    def release(self, ports: Iterable[int]) -> None:
        self._taken.difference_update(ports)


def is_free(port: int) -> bool:
    """Whether nothing on this machine is bound to `port` of the loopback address."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def is_queue_proxy(container: Object) -> bool:
    image = command_for(str(container.get("image") or ""))
    return container["name"] == "queue-proxy" or image == command_for("upwell.local/queueproxy")


def declared_ports(pod_spec: Object) -> list[int]:
    """Every port number that the containers of a pod use, each once, in order."""
    found: dict[int, None] = {}
    for container in pod_spec.get("containers") or ():
        for port in container.get("ports") or ():
            found[int(port["containerPort"])] = None
        if is_queue_proxy(container):
            found.update(dict.fromkeys(QUEUE_PROXY_PORTS))
    return list(found)


def format_ports(ports: Mapping[int, int]) -> str:
    """The form that the annotation and UPWELL_PORT_MAP have."""
    return ",".join(f"{number}={actual}" for number, actual in ports.items())


def ports_of(pod: Object) -> dict[int, int]:
    """Declared number → actual port of a pod that the runtime made; empty for others."""
    return parse_pairs(ANNOTATION_PORTS, annotations_of(pod).get(ANNOTATION_PORTS, ""), 65535)
