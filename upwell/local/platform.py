"""The platform on a laptop: an API server, a runtime, and the four components as pods, in one folder.

    lock ──> kill leftovers ──> take the gateway's port ──> API server ──> kubeconfig ──┬─> runtime
                                                                                        └─> manifests ──> all ready

The API server and the runtime are our children and are started again when they die; everything else is the runtime's.
The gateway's socket is ours: it stays open whatever is restarted below, so clients wait instead of being refused.
Ending goes the other way round: the runtime ends all pods, then the API server goes. What was applied stays in
`state/` and is there again at the next start.
"""

import asyncio
import errno
import fcntl
import os
import secrets
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import yaml

from upwell.api.names import SYSTEM_NAMESPACE
from upwell.api.objects import Object, name_of, namespace_of
from upwell.api.resources import BY_KIND, CONFIG_MAP, DEPLOYMENT, POD
from upwell.clock import Clock, SystemClock
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, ApiError
from upwell.local import manifests
from upwell.local.daemon import Daemon, DaemonSpec, PlatformError
from upwell.local.processes import Ledger

__all__ = ["Platform", "PlatformError"]

HOST: Final = "127.0.0.1"
BACKLOG: Final = 4096
"""Connections that wait while the gateway restarts."""
READY_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.05
RESTARTS_MAX: Final = 4
"""A component that ended this often while the platform starts will not come up."""
LOG_CHECK_SECONDS: Final = 5.0


class Platform:
    """See the module. `start`, then `run` for as long as it shall live, then `stop`, which is safe at any point."""

    def __init__(
        self, root: Path, *, gateway_port: int = 8080, https_port: int | None = None, clock: Clock | None = None
    ) -> None:
        """`root` is the `.upwell` folder; of ports that are 0, `start` picks free ones. Without `https_port` there is
        no HTTPS.
        """
        self.kubeconfig = root.absolute() / "kubeconfig"
        self.gateway_port = gateway_port
        self.https_port = https_port
        self.client: Client
        """Connected once `start` has returned."""
        self._root = root.absolute()
        self._clock = clock or SystemClock()
        self._lock: IO[str] | None = None
        self._listeners: dict[int, socket.socket] = {}
        """The gateway's, by port."""
        self._api_port = 0
        self._api_server: Daemon | None = None
        self._runtime: Daemon | None = None

    async def start(self) -> None:
        """Return when controller, autoscaler, activator and gateway are ready; raise PlatformError."""
        self._take_lock()
        ledger = Ledger(self._root / "processes" / "platform")
        await ledger.kill_leftovers()
        await Ledger(self._root / "processes" / "pods").kill_leftovers()
        self.gateway_port = self._listen(self.gateway_port, "--port")
        if self.https_port is not None:
            self.https_port = self._listen(self.https_port, "--https-port")
        self._api_port = self._known_api_port()
        self._api_server = self._make_api_server(ledger)
        self._api_port = int((await self._api_server.start())["port"])
        self._write_kubeconfig()
        self.client = await Client.connect(str(self.kubeconfig))
        self._runtime = self._make_runtime(ledger)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._runtime.start(), name="start of the runtime")
                group.create_task(self._apply(), name="manifests")
            await self._wait_ready()
        except* ApiError as errors:
            raise PlatformError(f"the API server failed: {errors.exceptions[0]}") from errors
        except* PlatformError as errors:
            raise errors.exceptions[0] from None

    @property
    def started(self) -> bool:
        """Whether there is anything to stop: false where the folder or a port was somebody else's."""
        return self._api_server is not None

    async def run(self) -> None:
        """Keep the API server and the runtime alive; raise PlatformError when that fails."""
        assert self._api_server is not None
        assert self._runtime is not None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._api_server.supervise(), name="API server")
                group.create_task(self._runtime.supervise(), name="runtime")
                group.create_task(self._bound_logs(self._api_server, self._runtime), name="log upkeep")
        except* PlatformError as errors:
            raise errors.exceptions[0] from None

    async def stop(self) -> None:
        """End everything that was started, in order; leaves no process behind."""
        for daemon in (self._runtime, self._api_server):
            if daemon:
                await daemon.stop()
        self._runtime = self._api_server = None
        if hasattr(self, "client"):
            await self.client.close()
        while self._listeners:
            self._listeners.popitem()[1].close()
        if self._lock:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        # Not closed by a `with`: the lock lasts as long as the file is open.
        lock = (self._root / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            text = f"a platform is running in {self._root} already (process {owner}); stop it, or use another folder"
            raise PlatformError(text) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _known_api_port(self) -> int:
        """The API server's port of the last run if it is free, so that a kubeconfig in use stays right; else 0."""
        try:
            known = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
            port = int(known["clusters"][0]["cluster"]["server"].rpartition(":")[2])
        except (OSError, ValueError, KeyError, IndexError, TypeError, yaml.YAMLError):
            return 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except (OSError, OverflowError):
                return 0
        return port

    def _make_api_server(self, ledger: Ledger) -> Daemon:
        state = self._root / "state"
        state.mkdir(parents=True, exist_ok=True)

        def command() -> list[str]:
            options = {"--host": HOST, "--port": self._api_port, "--db": state / "objects.db"}
            options["--logs-dir"] = self._root / "logs"
            return [*_module("upwell.local.apiserver", options), "--old-versions"]

        spec = DaemonSpec(
            name="apiserver",
            command=command,
            env=os.environ,
            when_owner_dies=signal.SIGKILL,
            stop_seconds=3.0,
        )
        return Daemon(spec, ledger, self._root / "logs" / "apiserver.log", self._clock)

    def _listen(self, port: int, option: str) -> int:
        listener = _listener(port, option)
        found = int(listener.getsockname()[1])
        self._listeners[found] = listener
        return found

    def _make_runtime(self, ledger: Ledger) -> Daemon:
        descriptors = {port: listener.fileno() for port, listener in self._listeners.items()}
        command = _module("upwell.local.runtime", {"--root": self._root, "--kubeconfig": self.kubeconfig})
        spec = DaemonSpec(
            name="runtime",
            command=lambda: command,
            env={**os.environ, "UPWELL_LISTEN_FDS": ",".join(f"{port}={fd}" for port, fd in descriptors.items())},
            # It then ends its pods itself, at once, with whatever they have started.
            when_owner_dies=signal.SIGTERM,
            stop_seconds=8.0,
            pass_fds=tuple(descriptors.values()),
        )
        return Daemon(spec, ledger, self._root / "logs" / "runtime.log", self._clock)

    def _write_kubeconfig(self) -> None:
        server = f"http://{HOST}:{self._api_port}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "upwell", "cluster": {"server": server}}],
            "users": [{"name": "upwell", "user": {}}],
            "contexts": [
                {"name": "upwell", "context": {"cluster": "upwell", "user": "upwell", "namespace": "default"}}
            ],
            "current-context": "upwell",
        }
        partial = self.kubeconfig.with_suffix(".new")
        partial.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        partial.chmod(0o600)
        partial.replace(self.kubeconfig)

    async def _apply(self) -> None:
        """Create what is missing; of what is there, bring Deployments and Services up to date, keep edited settings."""
        gateway = manifests.GatewayPorts(self.gateway_port, self.https_port or 0)
        forced = manifests.forced_keys(gateway)
        for obj in manifests.config_maps(gateway):
            await self._put(obj, {"data": dict(forced.get(name_of(obj), {}))})
        for obj in manifests.services():
            await self._put(obj, {"spec": obj["spec"]})
        for obj in manifests.deployments(self.kubeconfig, gateway, secrets.token_hex(4)):
            await self._put(obj, {"spec": obj["spec"]})

    async def _put(self, obj: Object, update: Mapping[str, Any]) -> None:
        resource = BY_KIND[obj["apiVersion"], obj["kind"]]
        try:
            await self.client.create(resource, obj)
        except AlreadyExists:
            if resource is not CONFIG_MAP or update["data"]:
                await self.client.patch(resource, name_of(obj), namespace_of(obj), update)

    async def _wait_ready(self) -> None:
        deadline = self._clock.monotonic() + READY_SECONDS
        while True:
            found, _ = await self.client.list(DEPLOYMENT, SYSTEM_NAMESPACE)
            waiting = [name_of(item) for item in found if not _is_available(item)]
            if not waiting:
                return
            late = self._clock.monotonic() > deadline
            if failed := await self._failed_component(waiting, give_up=late):
                raise PlatformError(failed)
            await self._clock.sleep(LOOK_SECONDS)

    async def _failed_component(self, waiting: list[str], *, give_up: bool) -> str:
        """A line about a component that does not come up, when one has failed too often or the time is over."""
        pods, _ = await self.client.list(POD, SYSTEM_NAMESPACE)
        for pod in pods:
            name = pod["metadata"]["labels"].get("app", "")
            for container in (pod.get("status") or {}).get("containerStatuses") or ():
                if name in waiting and (give_up or container["restartCount"] >= RESTARTS_MAX):
                    log_file = self._root / "logs" / SYSTEM_NAMESPACE / name_of(pod) / f"{container['name']}.log"
                    return f"the {name} does not come up: {_last_line(container)} (log: {log_file})"
        return f"not ready after {READY_SECONDS:.0f} s: {', '.join(waiting)}" if give_up else ""

    async def _bound_logs(self, *daemons: Daemon) -> None:
        while True:
            for daemon in daemons:
                daemon.log.bound()
            await self._clock.sleep(LOG_CHECK_SECONDS)


def _listener(port: int, option: str) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        why = (
            "is in use"
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            else f"cannot be used: {error}"
        )
        text = f"port {port} on {HOST} {why}; stop what uses it, or choose another one with {option}"
        raise PlatformError(text) from None
    return listener


def _module(name: str, options: Mapping[str, object]) -> list[str]:
    # -P: a file in the user's folder must not replace a module of ours or of Python.
    return [sys.executable, "-P", "-m", name, *(str(word) for pair in options.items() for word in pair)]


def _is_available(deployment: Object) -> bool:
    status = deployment.get("status") or {}
    current = status.get("observedGeneration") == deployment["metadata"].get("generation")
    return current and int(status.get("availableReplicas") or 0) >= 1


def _last_line(container: Mapping[str, Any]) -> str:
    """What the container said before it ended, or what it waits for."""
    for state in ("lastState", "state"):
        for details in (container.get(state) or {}).values():
            if lines := str(details.get("message") or "").strip().splitlines():
                return lines[-1]
    return "it is not ready"
