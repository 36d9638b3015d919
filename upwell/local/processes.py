"""Processes that must not outlive us: how they start, how they end, how leftovers of an earlier run are found.

Each process leads a session of its own, so that a signal reaches whatever it started, and three nets see to it that
none is left behind:

1. its owner ends it, and kills the rest of its group the moment the leader exits, before its id can be reused;
2. the kernel kills it when the owner dies, however it dies (PR_SET_PDEATHSIG, Linux). It is set by util-linux'
   `setpriv` on the way to the command: 0.9 ms, measured, where Python's preexec_fn costs 6 ms because it makes
   every start a fork of the whole owner;
3. the ledger remembers it on disk, by id and start time and by a token in its environment. When it has ended, what
   it left in other sessions is found by the token and killed; the next run does the same for what a crash left. An id
   that was reused has another start time, and is let be.
"""

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Final

__all__ = ["Ledger", "Process", "identity_of", "start_process"]

TOKEN_VARIABLE: Final = "UPWELL_RUN_TOKEN"
PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Record:
    """One process as it is written down."""

    pid: int
    identity: str
    token: str
    name: str


class Ledger:
    """The processes of one owner, one small file each, written when they start and removed when nothing is left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended: dict[str, int] = {}
        """Token → id of processes whose children have to be looked for."""
        self._sweep: asyncio.Future[None] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, pid: int, token: str, name: str) -> None:
        entry = {"pid": pid, "identity": identity_of(pid), "token": token, "name": name}
        self._file(pid, token).write_text(json.dumps(entry), encoding="utf-8")

    def ended(self, pid: int, token: str) -> None:
        """A process and its group are gone; look beside the event loop for children that had left the group."""
        self._ended[token] = pid
        if self._sweep is None:
            self._start_sweep()

    async def settle(self) -> None:
        """Return when what ended processes left behind has been dealt with."""
        while self._sweep:
            await asyncio.wait((self._sweep,))

    def _start_sweep(self) -> None:
        ended, self._ended = self._ended, {}
        self._sweep = asyncio.get_running_loop().run_in_executor(None, self._sweep_children, ended)
        self._sweep.add_done_callback(self._swept)

    def _swept(self, _: object) -> None:
        self._sweep = None
        if self._ended:
            self._start_sweep()

    def _sweep_children(self, ended: Mapping[str, int]) -> None:
        for pid in _carriers(set(ended)):
            _kill(pid)
        for token, pid in ended.items():
            self._file(pid, token).unlink(missing_ok=True)

    async def kill_leftovers(self) -> list[str]:
        """Kill what an earlier owner of this folder left behind and wait until it is gone; the names of what it was."""
        records = list(self._records())
        killed: dict[int, tuple[str, str]] = {}
        for record in records:
            if record.identity and identity_of(record.pid) == record.identity:
                _signal_group(record.pid, signal.SIGKILL)
                killed[record.pid] = (record.identity, record.name)
        for pid in _carriers({record.token for record in records}):
            if pid not in killed:
                killed[pid] = (identity_of(pid), f"a child process ({pid})")
                _kill(pid)
        await _gone({pid: identity for pid, (identity, _) in killed.items()})
        for record in records:
            self._file(record.pid, record.token).unlink(missing_ok=True)
        return [name for _, name in killed.values()]

    def _records(self) -> Iterator[_Record]:
        for path in self._folder.glob("*.json"):
            try:
                yield _Record(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                # Cut short by a crash while it was written: the process had just started and died with its owner.
                path.unlink(missing_ok=True)

    def _file(self, pid: int, token: str) -> Path:
        return self._folder / f"{pid}-{token}.json"


class Process:
    """A running process, leader of its own group; `exited` tells its exit code, negative for a signal."""

    def __init__(self, popen: "subprocess.Popen[bytes]", name: str, token: str, ledger: Ledger) -> None:
        self.pid = popen.pid
        self.name = name
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._popen = popen
        self._token = token
        self._ledger = ledger
        self._watch()

    @property
    def stdout(self) -> IO[bytes] | None:
        """The process' output, where it was started with a pipe."""
        return self._popen.stdout

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; nothing happens once the leader has exited."""
        if not self.exited.done():
            _signal_group(self.pid, number)

    async def stop(self, grace: float) -> int:
        """SIGTERM, and SIGKILL after `grace` seconds; the exit code."""
        self.signal(signal.SIGTERM)
        await asyncio.wait((self.exited,), timeout=grace)
        self.signal(signal.SIGKILL)
        return await self.exited

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if hasattr(os, "pidfd_open"):
            pidfd = os.pidfd_open(self.pid)
            loop.add_reader(pidfd, self._ended, pidfd)
            return

        def wait() -> None:
            self._popen.wait()
            loop.call_soon_threadsafe(self._finish)

        threading.Thread(target=wait, name=f"wait for {self.name}", daemon=True).start()

    def _ended(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        # The leader is dead but not collected yet, so its id is still its own and names no one else's group.
        _signal_group(self.pid, signal.SIGKILL)
        self._popen.wait()
        self._finish()

    def _finish(self) -> None:
        self._ledger.ended(self.pid, self._token)
        if self._popen.stdout:
            self._popen.stdout.close()
        if not self.exited.done():
            self.exited.set_result(self._popen.returncode)


def start_process(
    argv: Sequence[str],
    *,
    name: str,
    ledger: Ledger,
    env: Mapping[str, str],
    output: IO[bytes] | int,
    errors: IO[bytes] | int = subprocess.STDOUT,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    when_owner_dies: signal.Signals = signal.SIGKILL,
) -> Process:
    """Start `argv` in a session of its own; raise OSError when it cannot be.

    `argv[0]` has to be a path: with `setpriv` in between, a command that does not exist would look like one that
    failed. The owner's other file descriptors are not passed on.
    """
    token = secrets.token_hex(8)
    popen = subprocess.Popen(
        [*_death_signal(when_owner_dies), *argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        cwd=cwd,
        env={**env, TOKEN_VARIABLE: token},
        pass_fds=pass_fds,
        start_new_session=True,
    )
    ledger.add(popen.pid, token, name)
    return Process(popen, name, token, ledger)


def identity_of(pid: int) -> str:
    """What tells this process from a later one with the same id; empty when there is no such process."""
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return _identity_by_ps(pid) if not PROC.is_dir() else ""
    # The name in parentheses may hold spaces; the start time in clock ticks is field 22, the 20th after it.
    fields = stat.rpartition(b")")[2].split()
    return "" if fields[0] in (b"Z", b"X") else f"{_boot_id()}:{int(fields[19])}"


def _identity_by_ps(pid: int) -> str:
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()


@cache
def _boot_id() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@cache
def _setpriv() -> str:
    """The path of a `setpriv` that can set the death signal; empty where there is none."""
    path = shutil.which("setpriv") if sys.platform == "linux" else None
    if not path:
        return ""
    works = subprocess.run([path, "--pdeathsig", "KILL", "true"], capture_output=True, check=False)
    return path if works.returncode == 0 else ""


def _death_signal(number: signal.Signals) -> list[str]:
    path = _setpriv()
    return [path, "--pdeathsig", number.name.removeprefix("SIG"), "--"] if path else []


def _carriers(tokens: set[str]) -> Iterator[int]:
    """Processes with one of the tokens in their environment; on systems without /proc, none."""
    if not tokens:
        return
    needles = [f"{TOKEN_VARIABLE}={token}".encode() for token in tokens]
    for entry in PROC.glob("[0-9]*"):
        pid = int(entry.name)
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if pid != os.getpid() and any(needle in environment for needle in needles):
            yield pid


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


async def _gone(identities: Mapping[int, str]) -> None:
    """Wait, a second at most, until these processes have ended; until then they may hold their ports."""
    for _ in range(200):
        if not any(identity and identity_of(pid) == identity for pid, identity in identities.items()):
            return
        await asyncio.sleep(0.005)


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        # Nobody left; macOS answers EPERM for a group of which only a dead leader is left.
        pass
