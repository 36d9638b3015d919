"""Shell completion: of commands and flags from the parser itself, of objects' names from the API server.

`upwell completion bash` prints what a shell has to read. From then on the shell asks `upwell` itself at each TAB
(argcomplete's protocol), so that flags are never out of date; a server that is slow or away costs one second at most
and completes nothing.
"""

import argparse
import asyncio
import os
from collections.abc import Iterable
from typing import Any, Final

__all__ = ["SHELLS", "Completes", "complete_if_asked", "shell_code"]

SHELLS: Final = ("bash", "zsh", "fish")
_SECONDS: Final = 1.0


class Completes:
    """Completes the names of objects of one kind, or of the kind that the words before name."""

    def __init__(self, kind: str = "") -> None:
        self._kind = kind

    def __call__(self, prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
        # Loaded before the clock starts: the second is the server's.
        import upwell.cli.session
        import upwell.cli.show  # noqa: F401

        try:
            return asyncio.run(asyncio.wait_for(self._names(parsed_args), _SECONDS))
        except Exception:  # whatever is wrong, a TAB is no place to say it
            return ()

    async def _names(self, words: argparse.Namespace) -> list[str]:
        from upwell.api.objects import name_of
        from upwell.cli.session import default_namespace, find_kubeconfig, open_session
        from upwell.cli.show import find_resource

        given, context = getattr(words, "kubeconfig", None), getattr(words, "context", None)
        namespace = getattr(words, "namespace", "") or default_namespace(find_kubeconfig(given, context), context)
        async with open_session(given, context) as session:
            objects, _ = await session.client.list(find_resource(self._kind or words.kind), namespace)
        return [name_of(obj) for obj in objects]


def complete_if_asked(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that completes, and end the process; return at once when none asks."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser, always_complete_options="long")


def shell_code(shell: str) -> str:
    """What `shell` reads to complete `upwell`."""
    from argcomplete.shell_integration import shellcode

    return str(shellcode(["upwell"], shell=shell))
