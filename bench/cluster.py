"""The cluster that the activator's rows need: the embedded API server, and revisions as a controller makes them.

The API server runs on the core of client and app. What it is to know from the start is put into its database before,
since ten thousand revisions with all that belongs to them are too many to be created one by one.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from bench.proxies import LOAD_CORE
from upwell.api import names
from upwell.api.objects import Object, new_object, timestamp
from upwell.api.resources import CONFIG_MAP, ENDPOINT_SLICE, REVISION, Resource
from upwell.local.apiserver.catalog import CATALOG
from upwell.local.apiserver.journal import Journal
from upwell.local.apiserver.restore import open_store

__all__ = ["NAMESPACE", "api_server", "config_map", "metadata", "revision", "slice_of"]

NAMESPACE = "default"


@contextmanager
def api_server(folder: Path, objects: Iterable[tuple[Resource, Object]] = ()) -> Iterator[Path]:
    """The API server with these objects; the path of a kubeconfig."""
    database, kubeconfig = folder / "objects.db", folder / "kubeconfig"
    database.unlink(missing_ok=True)
    _fill(database, objects)
    words = ["--db", str(database), "--logs-dir", str(folder)]
    command = ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m", "upwell.local.apiserver", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        try:
            port = json.loads(process.stdout.readline())["port"]
            kubeconfig.write_text(yaml.safe_dump(_config(f"http://127.0.0.1:{port}")))
            yield kubeconfig
        finally:
            process.kill()


def revision(name: str, concurrency: int = 0) -> Object:
    """A revision of one container, with the fields that the API server fills in."""
    container = {
        "image": "registry.example/team/app@sha256:" + "0" * 64,
        "name": "user-container",
        "ports": [{"containerPort": 8080, "name": "user-port", "protocol": "TCP"}],
        "env": [{"name": f"SETTING_{number}", "value": f"value {number} of {name}"} for number in range(10)],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "successThreshold": 1, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    }
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": timestamp(time.time())}
        for kind in ("Active", "ContainerHealthy", "Ready", "ResourcesAvailable")
    ]
    spec = {"containers": [container], "containerConcurrency": concurrency, "timeoutSeconds": 300}
    return new_object(REVISION, NAMESPACE, name, metadata=metadata(name), spec=spec, status={"conditions": conditions})


def slice_of(
    service: str, suffix: str, hosts: Sequence[str], ports: Mapping[str, int], *, ready: bool = True
) -> Object:
    """An EndpointSlice as Kubernetes makes it for a revision's Service."""
    labels = {names.LABEL_SKS: service.removesuffix("-private"), names.LABEL_SLICE_SERVICE: service}
    return new_object(
        ENDPOINT_SLICE,
        NAMESPACE,
        f"{service}-{suffix}",
        metadata={**metadata(service), "labels": labels},
        addressType="IPv4",
        ports=[{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()],
        endpoints=[{"addresses": [host], "conditions": {"ready": ready}} for host in hosts],
    )


def config_map(name: str, data: Mapping[str, str]) -> Object:
    """Settings of the components."""
    return new_object(CONFIG_MAP, names.SYSTEM_NAMESPACE, name, metadata={"uid": str(uuid.uuid4())}, data=dict(data))


def metadata(revision_name: str) -> dict[str, Any]:
    """Labels, annotations and bookkeeping of an object that belongs to a revision."""
    now = timestamp(time.time())
    service = revision_name.removesuffix("-private").rpartition("-")[0]
    fields: dict[str, Any] = {f"f:field{number}": {} for number in range(20)}
    return {
        "uid": str(uuid.uuid4()),
        "generation": 1,
        "creationTimestamp": now,
        "labels": {
            names.LABEL_REVISION: revision_name,
            names.LABEL_CONFIGURATION: service,
            names.LABEL_SERVICE: service,
        },
        "annotations": {"serving.knative.dev/creator": "system:admin", "autoscaling.knative.dev/window": "60s"},
        "managedFields": [{"manager": "controller", "operation": "Update", "time": now, "fieldsV1": fields}],
    }


def _fill(database: Path, objects: Iterable[tuple[Resource, Object]]) -> None:
    def failed(error: Exception) -> None:
        raise error

    with closing(Journal(str(database), failed)) as journal:
        store = open_store(CATALOG, journal)
        for resource, obj in objects:
            store.put(resource, obj)


def _config(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": server}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "users": [{"name": "bench", "user": {}}],
    }
