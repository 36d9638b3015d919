"""`upwell top`: each revision's load and scale, live in a terminal, once with `--once`, for programs with `-o json`."""

import asyncio
import json
import re
import sys
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from upwell.cli.components import Ask, asking
from upwell.cli.errors import CommandError, api_errors
from upwell.cli.session import Session

__all__ = ["top"]

PERIOD: Final = 1.0
_QUEUED: Final = re.compile(
    r'^kn_revision_request_queued\{k8s_namespace_name="([^"]*)",kn_revision_name="([^"]*)"\} (\S+)$', re.MULTILINE
)


async def top(session: Session, namespace: str, output: str, system_namespace: str, *, once: bool) -> None:
    """Show the revisions of `namespace`, or of all, until interrupted."""
    with api_errors("top", session.kubeconfig):
        ask = asking(session, system_namespace)
        if output == "json":
            print(json.dumps(await _figures(ask, namespace), indent=2))
        elif once or not sys.stdout.isatty():
            width = None if sys.stdout.isatty() else 160  # what a pipe has no width for
            Console(width=width).print(_table(await _figures(ask, namespace)))
        else:
            await _live(ask, namespace)


async def _live(ask: Ask, namespace: str) -> None:
    """Redraw every second; while nobody answers, the last table stays, and says why."""
    table = _table(await _figures(ask, namespace))
    with Live(table, auto_refresh=False, screen=True) as live:
        while True:
            live.update(table, refresh=True)
            await asyncio.sleep(PERIOD)
            try:
                table = _table(await _figures(ask, namespace))
            except CommandError as error:
                table.caption = str(error)


async def _figures(ask: Ask, namespace: str) -> list[dict[str, Any]]:
    """The revisions, those with pods first, and how many requests wait for each."""
    path = f"/revisions?namespace={namespace}" if namespace else "/revisions"
    owned, queued = await asyncio.gather(ask("autoscaler", path), _queued(ask))
    revisions = [revision for part in owned for revision in part]
    for revision in revisions:
        revision["queued"] = queued.get((revision["namespace"], revision["name"]), 0)
    return sorted(revisions, key=lambda one: (-one["ready"], -one["desired"], one["namespace"], one["name"]))


async def _queued(ask: Ask) -> dict[tuple[str, str], int]:
    """Requests that wait in activators, by namespace and revision; nothing where none answers."""
    found: dict[tuple[str, str], int] = {}
    try:
        pages = await ask("activator", "/metrics")
    except CommandError:
        return {}
    for page in pages:
        for namespace, revision, value in _QUEUED.findall(str(page)):
            found[namespace, revision] = found.get((namespace, revision), 0) + int(float(value))
    return found


def _table(revisions: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("NAMESPACE")
    table.add_column("REVISION", no_wrap=True)
    for name in ("WANTED", "READY", "PENDING", "STABLE", "PANIC", "TARGET", "QUEUE", "ROOM"):
        table.add_column(name, justify="right")
    table.add_column("STATE")
    for one in revisions:
        table.add_row(
            one["namespace"],
            one["name"],
            _count(one["desired"] if one["requested"] in (None, -1) else one["requested"]),
            str(one["ready"]),
            str(one["pending"]),
            _average(one["stable"]),
            _average(one["panic"]),
            f"{one['target']:.4g}{' rps' if one['metric'] == 'rps' else ''}",
            str(one["queued"]),
            str(one["excess_burst_capacity"]),
            "[bold red]panic[/]" if one["in_panic"] else "zero" if one["ready"] == 0 == one["desired"] else "",
        )
    return table


def _count(value: int) -> str:
    return "?" if value < 0 else str(value)


def _average(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"
