"""A local platform for the length of a run, in a folder of its own under bench/out."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from upwell.cli.documents import Document, load_files
from upwell.cli.session import free_port
from upwell.cli.tasks import background
from upwell.cluster.client import Client
from upwell.local.platform import Platform

__all__ = ["LocalPlatform", "hello_documents", "local_platform"]

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class LocalPlatform:
    """What a run needs of the platform."""

    client: Client
    url: str
    root: Path


def hello_documents() -> list[Document]:
    return load_files([ROOT / "examples" / "hello" / "service.yaml"])


@asynccontextmanager
async def local_platform(name: str) -> AsyncIterator[LocalPlatform]:
    """Start a fresh platform, supervise it during the block, and stop it."""
    root = ROOT / "bench" / "out" / name
    await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)
    platform = Platform(root, gateway_port=free_port())
    try:
        await platform.start()
        async with background("platform", platform.run()):
            yield LocalPlatform(platform.client, f"http://127.0.0.1:{platform.gateway_port}", root)
    finally:
        await platform.stop()
