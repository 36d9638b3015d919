"""The recorded outcomes of the reference implementation, read from the folder that UPWELL_GOLDEN names.

Tests whose records are of a whole cluster get an embedded API server, one for each module.
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from upwell.cluster.client import Client

DEFAULT_FOLDER = Path(__file__).parents[2].parent / "shared" / "golden"


def golden_folder() -> Path:
    """Where the records are, whether or not that folder exists."""
    return Path(os.environ.get("UPWELL_GOLDEN") or DEFAULT_FOLDER)


@cache
def load(name: str) -> dict[str, Any]:
    """One file of records, `scaling.json` say; skips the calling test or module when the folder is not there."""
    folder = golden_folder()
    if not folder.is_dir():
        pytest.skip(f"no golden records in {folder}; set UPWELL_GOLDEN to their folder", allow_module_level=True)
    return dict(json.loads((folder / name).read_text()))


@pytest.fixture
def golden() -> Callable[[str], dict[str, Any]]:
    """`load`, for tests that prefer a fixture."""
    return load


@pytest.fixture(scope="module", name="kubeconfig")
def kubeconfig_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of an embedded API server of our own."""
    folder = tmp_path_factory.mktemp("api")
    command = [sys.executable, "-m", "upwell.local.apiserver", "--port", "0", "--logs-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "test", "user": {}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        yield path
        process.terminate()


@pytest_asyncio.fixture(name="client")
async def client_fixture(kubeconfig: Path) -> AsyncIterator[Client]:
    client = await Client.connect(str(kubeconfig))
    yield client
    await client.close()
