"""Whom the chaos run may kill: the processes that the platform under test has written down as its own."""

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
KINDS = ("app", "queue-proxy", *COMPONENTS)


@dataclass(frozen=True, slots=True)
class Victim:
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


def find_victims(root: Path, kind: str) -> list[Victim]:
    """The running processes of that kind, in a fixed order."""
    found = []
    for path in sorted((root / "processes" / "pods").glob("*.json")):
        # A process may end, and its file go, while we look.
        with contextlib.suppress(OSError, ValueError, KeyError):
            entry = json.loads(path.read_text())
            victim = Victim(int(entry["pid"]), str(entry["identity"]), str(entry["name"]))
            if victim.kind == kind:
                found.append(victim)
    return found
