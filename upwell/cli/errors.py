"""How the command line fails: one line that says what is wrong, one that says what to try.

Exit codes: 0 done, 1 failed, 2 the command's words are off, 130 interrupted.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from upwell.cluster.errors import ApiError, Unavailable

__all__ = ["CommandError", "api_errors"]


class CommandError(Exception):
    """The command cannot do what it was asked; `hint` is what to try."""

    def __init__(self, message: str, hint: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


@contextlib.contextmanager
def api_errors(doing: str, kubeconfig: Path | None = None) -> Iterator[None]:
    """Turn what the API server refuses into a CommandError that says what was being done."""
    try:
        yield
    except Unavailable as error:
        where = f" ({kubeconfig})" if kubeconfig else ""
        raise CommandError(
            f"{doing}: the API server does not answer{where}: {error.message}", "is `upwell up` running in this folder?"
        ) from error
    except ApiError as error:
        raise CommandError(f"{doing}: {error.message}") from error
