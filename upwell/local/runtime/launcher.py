"""From a container's specification to a running process: command, folder, environment, log, inherited sockets.

What cannot be started raises `LaunchError` with a reason and a sentence that says what to change. The command is
looked up here, in the container's own PATH and folder, because behind the exec shim a missing command would look like
a program that failed.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from upwell.api.objects import Object
from upwell.local.processes import Ledger, Process, start_process
from upwell.local.runtime.environment import (
    Reference,
    VariableError,
    build_environment,
    expand,
    needs_uid,
    references,
)
from upwell.local.runtime.logs import ContainerLog
from upwell.local.runtime.spec import ContainerSpec, PodSpec, Problem

__all__ = ["HostPorts", "LaunchError", "Launcher", "PodLauncher"]

BACKLOG: Final = 4096
"""Connections that wait in a handed-down socket while its container restarts."""

Fetch = Callable[[str, Reference], Awaitable[Mapping[str, str] | None]]
"""Reads a ConfigMap's or Secret's data (namespace, reference); None when it does not exist."""


class LaunchError(Exception):
    """The container cannot be started."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(reason, message)


class Launcher(Protocol):
    """Starts the containers of one pod."""

    async def launch(self, container: ContainerSpec, log: ContainerLog) -> Process:
        """Start a container's process; raise LaunchError."""
        ...

    async def execute(self, container: ContainerSpec, command: Sequence[str]) -> int:
        """Run a command beside a container's process, with the same environment; its exit code."""
        ...


class HostPorts:
    """Listening sockets for hostPorts: bound once, handed to whichever process serves them."""

    def __init__(self, inherited: Mapping[int, int]) -> None:
        """`inherited` are descriptors that were handed to us: hostPort → descriptor."""
        self._sockets = {port: socket.socket(fileno=descriptor) for port, descriptor in inherited.items()}

    def descriptor(self, port: int) -> int:
        """The descriptor that listens on `port`, binding it the first time; raise LaunchError."""
        if port not in self._sockets:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                listener.close()
                text = f"hostPort {port} cannot be bound: {error.strerror}; stop what uses it or choose another"
                raise LaunchError("HostPortUnavailable", text) from error
            listener.listen(BACKLOG)
            self._sockets[port] = listener
        return self._sockets[port].fileno()

    def close(self) -> None:
        for listener in self._sockets.values():
            listener.close()


@dataclass(slots=True)
class PodLauncher:
    """Starts the containers of one pod on this machine."""

    pod: Object
    spec: PodSpec
    ledger: Ledger
    host_ports: HostPorts
    inherited: Mapping[str, str]
    """The runtime's own environment, of which containers see a handful of variables."""
    folder: Path
    """Where containers without a workingDir run."""
    fetch: Fetch
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the API server has stored the pod and `pod` has its uid."""
    _environments: dict[str, dict[str, str]] = field(default_factory=dict)

    async def launch(self, container: ContainerSpec, log: ContainerLog) -> Process:
        if container.problem:
            raise LaunchError(container.problem.reason, container.problem.message)
        fds = {port: self.host_ports.descriptor(host) for port, host in container.host_ports.items()}
        env = await self._environment(container, fds)
        self._environments[container.name] = env
        folder = self._folder_of(container)
        argv = _resolved([expand(part, env) for part in container.command], container, folder, env)
        try:
            with log.open() as output:
                return start_process(
                    argv,
                    name=f"{self.pod['metadata']['namespace']}/{self.pod['metadata']['name']}/{container.name}",
                    ledger=self.ledger,
                    env=env,
                    output=output,
                    cwd=folder,
                    pass_fds=tuple(fds.values()),
                )
        except OSError as error:
            raise LaunchError("StartError", f"container {container.name}: {argv[0]}: {error.strerror}") from error

    async def execute(self, container: ContainerSpec, command: Sequence[str]) -> int:
        env = self._environments.get(container.name, {})
        folder = self._folder_of(container)
        argv = _resolved(command, container, folder, env)
        process = start_process(
            argv,
            name=f"exec in {container.name}",
            ledger=self.ledger,
            env=env,
            output=subprocess.DEVNULL,
            cwd=folder,
        )
        try:
            return await process.exited
        except asyncio.CancelledError:
            await process.stop(0)
            raise

    async def _environment(self, container: ContainerSpec, fds: Mapping[int, int]) -> dict[str, str]:
        if needs_uid(container):
            await self.stored.wait()
        data = {}
        for reference in references(container):
            found = await self.fetch(self.pod["metadata"]["namespace"], reference)
            if found is not None:
                data[reference] = found
        try:
            return build_environment(
                container, self.pod, self.spec, inherited=self.inherited, data=data, listen_fds=fds
            )
        except VariableError as error:
            raise LaunchError(error.problem.reason, f"container {container.name}: {error}") from error

    def _folder_of(self, container: ContainerSpec) -> Path:
        folder = self.folder / container.working_dir
        if not folder.is_dir():
            text = f"container {container.name}: workingDir {folder} is not a folder on this machine"
            raise LaunchError("WorkingDirMissing", text)
        return folder


def _resolved(argv: Sequence[str], container: ContainerSpec, folder: Path, env: Mapping[str, str]) -> list[str]:
    """The command with the path of its program in front; raise LaunchError when there is no such program."""
    program, *rest = argv
    if os.sep in program:
        path = folder / program
        if path.is_file() and os.access(path, os.X_OK):
            return [str(path), *rest]
        reason, why = _why_not(path)
        raise LaunchError(reason, f'container {container.name}: command "{program}" {why}')
    search = env.get("PATH", os.defpath)
    if found := shutil.which(program, path=search):
        return [os.path.abspath(found), *rest]
    hint = _hint(program, folder)
    raise LaunchError("CommandNotFound", f'container {container.name}: command "{program}" is not on PATH{hint}')


def _why_not(path: Path) -> tuple[str, str]:
    with contextlib.suppress(OSError):
        if path.is_dir():
            return "CommandNotExecutable", f"is a folder ({path})"
        if path.exists():
            return "CommandNotExecutable", f"is not executable: chmod +x {path}"
    return "CommandNotFound", f"does not exist (looked for {path})"


def _hint(program: str, folder: Path) -> str:
    if (folder / program).is_file():
        return f"; there is a file of that name in {folder}: write ./{program}"
    return ": install it or correct the name"
