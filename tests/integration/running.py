"""A running `upwell up` for tests that look at the platform as its users do: commands, plain clients, kubectl."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.waiting import eventually_here

UPWELL = Path(sys.executable).with_name("upwell")
EXAMPLES = Path(__file__).parents[2] / "examples"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Up:
    """`upwell up` in a folder of its own."""

    folder: Path
    port: int
    process: "subprocess.Popen[str]"
    output: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / ".upwell" / "kubeconfig"

    def said(self) -> str:
        return self.output.read_text()

    def upwell(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        found = subprocess.run(
            [UPWELL, *words], cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or found.returncode == 0, found.stderr
        return found

    def kubectl(self, *words: str) -> str:
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    def client(self, service: str, namespace: str = "default") -> httpx.Client:
        host = f"{service}.{namespace}.localhost"
        limits = httpx.Limits(max_connections=None)
        return httpx.Client(base_url=self.url, headers={"Host": host}, timeout=60, trust_env=False, limits=limits)

    def ledger(self) -> dict[str, int]:
        """The platform's processes: name to process id."""
        found = {}
        for path in (self.folder / ".upwell").rglob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                entry = json.loads(path.read_text())
                if isinstance(entry, dict) and {"pid", "name"} <= entry.keys():
                    found[str(entry["name"])] = int(entry["pid"])
        return found

    def pods(self, service: str) -> list[str]:
        table = self.upwell("get", "pods", check=False).stdout
        return re.findall(rf"^({service}-\S+)", table, flags=re.MULTILINE)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


def start(folder: Path, *files: str, port: int = 0) -> Up:
    """Start `upwell up` and wait until it says that it is up."""
    folder.mkdir(parents=True, exist_ok=True)
    port, output = port or free_port(), folder / "up.log"
    with output.open("w") as log:
        words = [str(UPWELL), "up", *files, "--port", str(port)]
        # As with an activated virtual environment: apps get the PATH of the shell that runs `upwell up`.
        env = {**os.environ, "PATH": f"{UPWELL.parent}{os.pathsep}{os.environ['PATH']}"}
        env.pop("KUBECONFIG", None)
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=env, text=True)
    up = Up(folder, port, process, output)
    eventually_here(lambda: "Ctrl-C stops everything." in up.said() or process.poll() is not None, seconds=90)
    assert process.poll() is None, up.said()
    return up


@contextlib.contextmanager
def running(folder: Path, *files: str) -> Iterator[Up]:
    up = start(folder, *files)
    try:
        yield up
    finally:
        up.stop()


def copy_example(name: str, folder: Path) -> Path:
    """A copy of an example that a test may change."""
    shutil.copytree(EXAMPLES / name, folder)
    return folder


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def resident_mib(pid: int) -> float:
    """The memory of a process that is in RAM."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0
