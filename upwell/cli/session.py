"""The platform that a command talks to: the one whose `.upwell` folder is here or above, or any kubeconfig."""

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from upwell.cli.errors import CommandError
from upwell.cluster.client import Client

__all__ = ["FOLDER", "Session", "find_kubeconfig", "free_port", "open_session", "platform_root"]

FOLDER = ".upwell"
"""Where a platform keeps its state, below the folder it was started in."""


def platform_root() -> Path:
    """The platform's folder for this working directory; it need not exist."""
    return Path.cwd() / FOLDER


def free_port() -> int:
    """A port that nothing listens on just now, for a gateway that need not have a known one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def find_kubeconfig(given: str | None) -> Path:
    """The kubeconfig to use: the one given, else that of the platform here or above, else $KUBECONFIG."""
    if given:
        path = Path(given)
        if not path.is_file():
            raise CommandError(f"--kubeconfig {given}: no such file", "name the file that `upwell up` wrote")
        return path
    here = Path.cwd()
    for folder in (here, *here.parents):
        path = folder / FOLDER / "kubeconfig"
        if path.is_file():
            return path
    if os.environ.get("KUBECONFIG"):
        return Path(os.environ["KUBECONFIG"])
    raise CommandError("no platform is running in this folder", "start one with `upwell up`, or give --kubeconfig")


@dataclass(frozen=True, slots=True)
class Session:
    """A connection to an API server."""

    client: Client
    kubeconfig: Path


@contextlib.asynccontextmanager
async def open_session(given: str | None) -> AsyncIterator[Session]:
    kubeconfig = find_kubeconfig(given)
    try:
        client = await Client.connect(str(kubeconfig))
    except Exception as error:  # kubeconfig loaders raise many kinds; each means that the file is no use
        raise CommandError(
            f"{kubeconfig}: cannot be used: {error}", "check the file, or run `upwell up` again"
        ) from error
    try:
        yield Session(client, kubeconfig)
    finally:
        await client.close()
