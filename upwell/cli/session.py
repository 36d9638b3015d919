"""The platform that a command talks to: the one whose `.upwell` folder is here or above, or any kubeconfig."""

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from upwell.cli.errors import CommandError
from upwell.cluster.client import Client
from upwell.cluster.connection import connect

__all__ = ["FOLDER", "Session", "default_namespace", "find_kubeconfig", "free_port", "open_session", "platform_root"]

FOLDER = ".upwell"
"""Where a platform keeps its state, below the folder it was started in."""


def platform_root() -> Path:
    """The platform's folder for this working directory; it need not exist."""
    return Path.cwd() / FOLDER


def free_port() -> int:
    """A port that nothing listens on just now, for a gateway that need not have a known one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def find_kubeconfig(given: str | None, context: str | None = None) -> Path:
    """The kubeconfig to use: the one given, else that of the platform here or above, else $KUBECONFIG.

    A `context` means a cluster of the user's own: then $KUBECONFIG, else ~/.kube/config. Without either word the
    latter is never used, so that a command typed in the wrong folder does not reach a cluster.
    """
    if given:
        path = Path(given)
        if not path.is_file():
            raise CommandError(f"--kubeconfig {given}: no such file", "name the file that `upwell up` wrote")
        return path
    own = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    if context:
        if not own.is_file():
            raise CommandError(f"--context {context}: there is no kubeconfig {own}", "give --kubeconfig FILE")
        return own
    here = Path.cwd()
    for folder in (here, *here.parents):
        path = folder / FOLDER / "kubeconfig"
        if path.is_file():
            return path
    if os.environ.get("KUBECONFIG"):
        return own
    raise CommandError("no platform is running in this folder", "start one with `upwell up`, or give --kubeconfig")


def default_namespace(kubeconfig: Path, context: str | None) -> str:
    """The namespace of the context in use; `default` where it names none."""
    try:
        content = yaml.safe_load(kubeconfig.read_text(encoding="utf-8")) or {}
        wanted = context or content.get("current-context")
        found: dict[str, str] = next(
            (one["context"] for one in content.get("contexts") or () if one["name"] == wanted), {}
        )
        return str(found.get("namespace") or "default")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return "default"  # whatever is wrong with the file is said when it is used to connect


@dataclass(frozen=True, slots=True)
class Session:
    """A connection to an API server."""

    client: Client
    kubeconfig: Path

    @property
    def is_local(self) -> bool:
        """Whether it is a platform that `upwell up` runs: there a container's command says what runs."""
        return self.kubeconfig.resolve().parent.name == FOLDER


@contextlib.asynccontextmanager
async def open_session(given: str | None, context: str | None = None) -> AsyncIterator[Session]:
    kubeconfig = find_kubeconfig(given, context)
    try:
        client = Client(await connect(str(kubeconfig), context))
    except Exception as error:  # kubeconfig loaders raise many kinds; each means that the file is no use
        raise CommandError(
            f"{kubeconfig}: cannot be used: {error}", "check the file, or run `upwell up` again"
        ) from error
    try:
        yield Session(client, kubeconfig)
    finally:
        await client.close()
