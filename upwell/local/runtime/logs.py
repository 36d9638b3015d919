"""Where the output of containers goes: a file each, bounded in size, kept a while after its pod.

`LOGS/NAMESPACE/POD/CONTAINER.log` is written by the process itself, so lines cost the runtime nothing and the last
ones survive whatever happens to it. A file above the bound is copied to `CONTAINER.log.1` and emptied; lines written
in the instant between the two are lost, as with logrotate's copytruncate.
"""

import os
import shutil
from pathlib import Path
from typing import IO, Final

__all__ = ["ContainerLog", "PodLogs"]

MOST_BYTES: Final = 10 * 2**20
MESSAGE_BYTES: Final = 2048
MESSAGE_LINES: Final = 80
KEPT_PODS: Final = 5
"""Pods of one Deployment whose logs stay when they are gone."""


class ContainerLog:
    """The log file of one container over all its runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._run_start = 0

    def open(self) -> IO[bytes]:
        """The file to hand to the next run, positioned at its end."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("ab", buffering=0)
        self._run_start = file.tell()
        return file

    def tail(self) -> str:
        """The end of what the latest run wrote, as a kubelet would put it into a status."""
        try:
            size = self.path.stat().st_size
            start = self._run_start if self._run_start <= size else 0
            with self.path.open("rb") as file:
                file.seek(max(start, size - MESSAGE_BYTES))
                text = file.read(MESSAGE_BYTES).decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-MESSAGE_LINES:])

    def bound(self, most: int = MOST_BYTES) -> None:
        """Start the file anew when it has grown beyond `most` bytes, keeping one old copy of at most that size."""
        try:
            size = self.path.stat().st_size
            if size <= most:
                return
            with self.path.open("rb") as source, self.path.with_suffix(".log.1").open("wb") as kept:
                source.seek(size - most)
                shutil.copyfileobj(source, kept)
            os.truncate(self.path, 0)
        except OSError:
            # The folder was removed by hand, or the disk is full: output is not worth stopping for.
            pass


class PodLogs:
    """The logs of all pods."""

    def __init__(self, folder: Path, kept: int = KEPT_PODS) -> None:
        self._folder = folder
        self._kept = kept

    def container(self, namespace: str, pod: str, container: str) -> ContainerLog:
        return ContainerLog(self._folder / namespace / pod / f"{container}.log")

    def clean(self, running: set[tuple[str, str]]) -> None:
        """Remove the logs of pods that are gone, except the latest few of each owner; `running` is (namespace, pod)."""
        by_owner: dict[tuple[str, str], list[tuple[float, Path]]] = {}
        for path in self._folder.glob("*/*"):
            namespace, pod = path.parent.name, path.name
            if path.is_dir() and (namespace, pod) not in running:
                # Pods are named DEPLOYMENT-HASH-RANDOM.
                owner = (namespace, pod.rsplit("-", 2)[0])
                by_owner.setdefault(owner, []).append((path.stat().st_mtime, path))
        for paths in by_owner.values():
            for _, path in sorted(paths, reverse=True)[self._kept :]:
                shutil.rmtree(path, ignore_errors=True)
