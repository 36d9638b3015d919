"""Whom the benches compare: sidecar, activator, HAProxy with one thread, nghttpx with one worker, and the app.

Each runs as a process of its own, pinned to a core, on ports that were free a moment ago: the proxy under test alone on
one, client and app together on the other. Where answers are short the app is HAProxy too, answering from memory: it
is needed anyway, and nothing else in Debian is much quicker. Other apps are in `bench.peers`.
"""

import compileall
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import queueproxy as queueproxy_package
import upwell
from bench.rows import UnmeasuredError
from upwell.local.runtime.images import REGISTRY, command_for, python_path

__all__ = [
    "BODY",
    "LOAD_CORE",
    "PROXY_CORE",
    "Target",
    "activator",
    "backend",
    "direct",
    "free_port",
    "gateway",
    "haproxy",
    "haproxy_with",
    "install",
    "nghttpx",
    "peer_app",
    "queueproxy",
]

PROXY_CORE, LOAD_CORE = 0, 1
START_SECONDS = 10.0
HEALTHY_SECONDS = 60.0
"""An activator or a gateway reads everything that the cluster has first."""
BODY = "x" * 48
"""The short answer."""
_BUFFER = 16_384
"""HAProxy's default; an answer from memory, or a request that it waits for, must fit."""

_COMMON = """
global
    maxconn 4096
    nbthread 1
    stats socket {socket} mode 600
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
    timeout http-keep-alive 60s
"""

_BACKEND = """
frontend answers
    bind 127.0.0.1:{port} {options}
    http-request return status 200 content-type text/plain string "{body}"
"""

_PROXY = """
frontend requests
    bind 127.0.0.1:{port}
    option forwardfor
    default_backend app
backend app
    http-reuse always
    server app 127.0.0.1:{backend} pool-max-conn 1000
"""

_SIDECAR_ENV = {
    "CONTAINER_CONCURRENCY": "0",
    "QUEUE_SERVING_PORT": "8012",
    "QUEUE_SERVING_TLS_PORT": "8112",
    "USER_PORT": "8080",
    "REVISION_TIMEOUT_SECONDS": "300",
    "SERVING_LOGGING_CONFIG": "",
    "SERVING_LOGGING_LEVEL": "error",
    "SERVING_NAMESPACE": "default",
    "SERVING_CONFIGURATION": "hello",
    "SERVING_REVISION": "hello-00001",
    "SERVING_POD": "hello-00001-deployment-1",
    "SERVING_POD_IP": "127.0.0.1",
    "UPWELL_BIND_HOST": "127.0.0.1",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers on a loopback port."""

    name: str
    port: int
    pid: int
    metrics_port: int = 0
    has_core: bool = True
    """Not for the app, which shares its core with the client."""

    def named(self, name: str) -> "Target":
        return replace(self, name=name)


def install(commands: Mapping[str, str]) -> str:
    """See that each command of {command: Debian package} is there, installing as root if need be; what is missing."""
    missing = {package for command, package in commands.items() if not shutil.which(command)}
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-q", *sorted(missing)], check=False, stdout=subprocess.DEVNULL)
        missing = {package for command, package in commands.items() if not shutil.which(command)}
    return " ".join(sorted(missing))


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def backend(folder: Path, body: str = BODY, options: str = "") -> Iterator[Target]:
    """The app: answers every request with `body`, once it has all of it; `options` as for HAProxy's `bind`."""
    port = free_port()
    sections = _BACKEND.format(port=port, body=body, options=options)
    if len(body) > _BUFFER // 2:
        sections = sections.replace("http-request", "option http-buffer-request\n    http-request", 1)
        sections = f"global\n    tune.bufsize {4 * len(body)}\n{sections}"
    with _haproxy(folder, "backend", LOAD_CORE, port, sections) as target:
        yield target


@contextmanager
def peer_app(folder: Path, peer: str) -> Iterator[Target]:
    """The app that `python -m bench.peers.<peer> serve PORT` is."""
    port = free_port()
    command = [sys.executable, "-m", f"bench.peers.{peer}", "serve", str(port)]
    with _process(command, peer, LOAD_CORE, port, folder, os.environ) as target:
        yield target


@contextmanager
def haproxy(folder: Path, behind: Target) -> Iterator[Target]:
    """HAProxy in front of the app, with one thread."""
    port = free_port()
    with haproxy_with(folder, port, _PROXY.format(port=port, backend=behind.port)) as target:
        yield target


@contextmanager
def haproxy_with(folder: Path, port: int, sections: str) -> Iterator[Target]:
    """HAProxy with one thread and these frontends and backends, one of which listens on `port`."""
    with _haproxy(folder, "HAProxy", PROXY_CORE, port, sections) as target:
        yield target


@contextmanager
def nghttpx(folder: Path, behind: Target) -> Iterator[Target]:
    """nghttpx in front of an app that speaks h2c, with one worker."""
    port = free_port()
    command = ["nghttpx", "-n1", "--conf=/dev/null", "--errorlog-file=/dev/null", "--accesslog-file=/dev/null"]
    command += ["-f", f"127.0.0.1,{port};no-tls", "-b", f"127.0.0.1,{behind.port};;proto=h2"]
    with _process(command, "nghttpx", PROXY_CORE, port, folder, os.environ) as target:
        yield target


@contextmanager
def queueproxy(
    folder: Path, behind: Target, settings: Mapping[str, str] | None = None, core: int = PROXY_CORE
) -> Iterator[Target]:
    """The sidecar in front of the app, with its defaults and these settings, started as the local platform does it."""
    _compile()
    port, metrics = free_port(), free_port()
    ports = {8012: port, 8112: free_port(), 8022: free_port(), 9090: free_port(), 9091: metrics, 8080: behind.port}
    env = {**os.environ, **_SIDECAR_ENV, "PYTHONPATH": python_path(), **(settings or {})}
    env["UPWELL_PORT_MAP"] = ",".join(f"{contract}={actual}" for contract, actual in ports.items())
    with _process(command_for(f"{REGISTRY}/queueproxy"), "queueproxy", core, port, folder, env) as target:
        yield replace(target, metrics_port=metrics)


@cache
def _compile() -> None:
    """Bytecode for what has changed, as the image has it for everything: without it each start is a compiler's."""
    for package in (queueproxy_package, upwell):
        compileall.compile_dir(Path(str(package.__file__)).parent, quiet=2)


@contextmanager
def activator(folder: Path, kubeconfig: Path, settings: Mapping[str, str] | None = None) -> Iterator[Target]:
    """The activator on the cluster of `kubeconfig`, once it knows the revisions."""
    port, metrics = free_port(), free_port()
    ports = {8012: port, 8013: free_port(), 8112: free_port(), 9090: metrics, 8008: free_port()}
    env = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "POD_NAME": "activator-1",
        "POD_IP": "127.0.0.1",
        "UPWELL_BIND_HOST": "127.0.0.1",
        "UPWELL_LOG_LEVEL": "error",
        "UPWELL_PORT_MAP": ",".join(f"{contract}={actual}" for contract, actual in ports.items()),
        **(settings or {}),
    }
    with _process([sys.executable, "-m", "activator"], "activator", PROXY_CORE, port, folder, env) as target:
        _await_healthy("activator", port, "/")
        yield replace(target, metrics_port=metrics)


@contextmanager
def gateway(folder: Path, kubeconfig: Path, name: str = "gateway") -> Iterator[Target]:
    """The gateway on the cluster of `kubeconfig`, once it knows every route."""
    port, metrics = free_port(), free_port()
    env = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "UPWELL_BIND_HOST": "127.0.0.1",
        "UPWELL_LOG_LEVEL": "error",
        "UPWELL_PORT_MAP": f"8080={port},8443={free_port()},9090={metrics}",
    }
    with _process([sys.executable, "-m", "gateway"], name, PROXY_CORE, metrics, folder, env) as target:
        _await_healthy("gateway", metrics, "/healthz")
        yield replace(target, port=port, metrics_port=metrics)


def _await_healthy(name: str, port: int, path: str) -> None:
    deadline = time.monotonic() + HEALTHY_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path, headers={"User-Agent": "kube-probe/1.34"})
            if connection.getresponse().status == 200:
                return
        finally:
            connection.close()
        time.sleep(0.02)
    raise UnmeasuredError(f"the {name} is not healthy after {HEALTHY_SECONDS:.0f} s")


def direct(behind: Target) -> Target:
    """The app without anything in front."""
    return replace(behind, name="backend alone", has_core=False)


@contextmanager
def _haproxy(folder: Path, name: str, core: int, port: int, sections: str) -> Iterator[Target]:
    config = folder / f"{name}.cfg"
    config.write_text(_COMMON.format(socket=folder / f"{name}.sock") + sections)
    with _process(["haproxy", "-db", "-q", "-f", str(config)], name, core, port, folder, os.environ) as target:
        yield target


@contextmanager
def _process(
    command: Sequence[str], name: str, core: int, port: int, folder: Path, env: Mapping[str, str]
) -> Iterator[Target]:
    with (folder / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], stdout=output, stderr=subprocess.STDOUT, env=dict(env)
        )
        try:
            _await_port(process, name, port, folder)
            yield Target(name, port, process.pid)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _await_port(process: subprocess.Popen[bytes], name: str, port: int, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.001)
    said = (folder / f"{name}.log").read_text(errors="replace")[-2000:]
    raise UnmeasuredError(f"{name} does not listen on port {port}:\n{said}")
