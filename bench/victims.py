"""Whom the chaos run may kill: the processes that the platform under test has written down as its own.

A victim is one of them, or all of a pod at once, as when a node fails.
"""

import contextlib
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from upwell.api.names import SYSTEM_NAMESPACE
from upwell.local.processes import identity_of

__all__ = ["KINDS", "Victim", "find_victims"]

COMPONENTS = ("activator", "autoscaler", "controller", "gateway")
POD = "pod"
KINDS = ("app", "queue-proxy", POD, *COMPONENTS)


@dataclass(frozen=True, slots=True)
class Process:
    """A running process of a pod."""

    pid: int
    identity: str
    name: str
    """namespace/pod/container"""

    @property
    def kind(self) -> str:
        namespace, _, container = self.name.split("/")
        if namespace == SYSTEM_NAMESPACE:
            return container
        return "queue-proxy" if container == "queue-proxy" else "app"

    def kill(self) -> None:
        """SIGKILL; nothing happens when it has ended, or its id is somebody else's by now."""
        if identity_of(self.pid) == self.identity:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Victim:
    """What is killed at once."""

    name: str
    """namespace/pod/container, or namespace/pod"""
    processes: tuple[Process, ...]

    def kill(self) -> None:
        for process in self.processes:
            process.kill()


def find_victims(root: Path, kind: str) -> list[Victim]:
    """Those of that kind, in a fixed order."""
    processes = _processes(root)
    if kind != POD:
        return [Victim(one.name, (one,)) for one in processes if one.kind == kind]
    pods: dict[str, list[Process]] = {}
    for one in processes:
        if one.kind in ("app", "queue-proxy"):
            pods.setdefault(one.name.rpartition("/")[0], []).append(one)
    return [Victim(name, tuple(members)) for name, members in pods.items()]


def _processes(root: Path) -> list[Process]:
    found = []
    for path in sorted((root / "processes" / "pods").glob("*.json")):
        # A process may end, and its file go, while we look.
        with contextlib.suppress(OSError, ValueError, KeyError):
            entry = json.loads(path.read_text())
            found.append(Process(int(entry["pid"]), str(entry["identity"]), str(entry["name"])))
    return found
