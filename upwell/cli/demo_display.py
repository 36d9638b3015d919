"""What the demo shows while it runs: one live line in a terminal, plain lines without one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from upwell.cli.demo_report import Sample

__all__ = ["Display", "make_display"]

_PLAIN_SECONDS = 2.0


class Display(Protocol):
    """Is told of phases and samples."""

    def phase(self, name: str) -> None: ...

    def show(self, sample: Sample) -> None: ...


def _facts(sample: Sample) -> str:
    return (
        f"{sample.seconds:6.1f} s  pods {sample.ready_pods} of {sample.desired}  in flight {sample.in_flight:3d}"
        f"  answered {sample.sent - sample.in_flight - sample.failed:5d}  failed {sample.failed}"
        f"  p50 {sample.p50_ms:.0f} ms  p99 {sample.p99_ms:.0f} ms"
    )


class PlainDisplay:
    """A line for each phase, and one whenever the number of pods changes or two seconds have passed."""

    def __init__(self) -> None:
        self._shown: Sample | None = None

    def phase(self, name: str) -> None:
        print(f"── {name}", flush=True)

    def show(self, sample: Sample) -> None:
        last = self._shown
        changed = last is None or (sample.ready_pods, sample.desired) != (last.ready_pods, last.desired)
        if changed or last is None or sample.seconds - last.seconds >= _PLAIN_SECONDS:
            self._shown = sample
            print(_facts(sample), flush=True)


class LiveDisplay:
    """The phases as they are done, and below them one line that is redrawn."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._phase = ""
        self._sample: Sample | None = None

    def phase(self, name: str) -> None:
        if self._phase:
            self._live.console.print(f"[green]✓[/] {self._phase}")
        self._phase = name
        self._draw()

    def show(self, sample: Sample) -> None:
        self._sample = sample
        self._draw()

    def _draw(self) -> None:
        table = Table.grid(padding=(0, 1))
        table.add_row("[cyan]●[/]", f"[bold]{self._phase}[/]")
        if self._sample:
            pods = "[blue]" + "■" * self._sample.ready_pods + "[/][dim]" + "□" * self._missing() + "[/]"
            table.add_row("", pods)
            table.add_row("", _facts(self._sample))
        self._live.update(table, refresh=True)

    def _missing(self) -> int:
        return max(0, self._sample.desired - self._sample.ready_pods) if self._sample else 0


@contextmanager
def make_display() -> Iterator[Display]:
    """The display that fits where standard output goes."""
    if not sys.stdout.isatty():
        yield PlainDisplay()
        return
    with Live(console=Console(), auto_refresh=False, transient=True) as live:
        yield LiveDisplay(live)
