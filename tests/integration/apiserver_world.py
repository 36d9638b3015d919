"""A running embedded API server, and what the tests of it need: a plain client, watches, kubectl."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

COMMAND = [sys.executable, "-m", "upwell.local.apiserver"]
KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"


class ApiServer:
    """One server process with its folder; `start` again after `kill` goes on with the same database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> "ApiServer":
        options = ["--port", str(self.port), "--db", str(self.folder / "state.db"), "--logs-dir", str(self.logs)]
        self._process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = json.loads(self._process.stdout.readline())["port"]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False)
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        process = self._process
        assert process is not None
        self.client.close()
        process.send_signal(number)
        code = process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()
        self._process = None
        return code

    def close(self) -> None:
        if self._process is not None:
            self.stop(signal.SIGKILL)

    def create(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        answer = self.client.post(path, json=obj)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    @contextlib.contextmanager
    def watch(self, path: str, **query: Any) -> Iterator[Iterator[dict[str, Any]]]:
        """The events of a watch, one after the other."""
        parameters = {"watch": "true", **query}
        with self.client.stream("GET", path, params=parameters) as answer:
            yield (json.loads(line) for line in answer.iter_lines())

    def kubectl(self, *arguments: str, stdin: str | None = None, code: int | None = 0) -> str:
        """Run kubectl against this server; what it printed, both streams together."""
        assert KUBECTL is not None
        result = subprocess.run(
            [KUBECTL, "--kubeconfig", str(self.kubeconfig()), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "KUBE_EDITOR": "sed -i s/before/after/"},
        )
        output = result.stdout + result.stderr
        assert code is None or result.returncode == code, output
        return output

    def kubeconfig(self) -> Path:
        path = self.folder / "kubeconfig"
        if not path.exists():
            cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
            context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
            config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context]}
            path.write_text(yaml.safe_dump({**config, "users": [{"name": "u", "user": {}}], "current-context": "c"}))
        return path


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "app", "image": "example/app:1"}, {"name": "sidecar", "image": "example/sidecar:1"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def deployment(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": "a:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }
