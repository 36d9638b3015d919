"""Processes that do not outlive their owner: groups, the death signal, the ledger."""

# ruff: noqa: ASYNC220, ASYNC240 - small files and one short process; nothing else waits for this loop

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from upwell.local.processes import Ledger, Process, identity_of, start_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the death signal and /proc are Linux'")
SHELL = "/bin/sh"


def start(ledger: Ledger, script: str) -> Process:
    return start_process(
        [SHELL, "-c", script], name="test", ledger=ledger, env={"PATH": os.environ["PATH"]}, output=subprocess.DEVNULL
    )


def alive(pid: int) -> bool:
    return bool(identity_of(pid))


async def eventually(look: Callable[[], bool]) -> None:
    for _ in range(1000):
        if look():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("still not so after 5 s")


async def pid_in(path: Path) -> int:
    await eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


async def test_the_exit_code_is_known_the_moment_the_process_ends(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)

    assert await start(ledger, "exit 3").exited == 3
    assert await start(ledger, "kill -9 $$").exited == -9
    await ledger.settle()


async def test_stopping_kills_what_ignores_sigterm(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    process = start(ledger, f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done")
    await pid_in(tmp_path / "pid")

    assert await process.stop(0.1) == -9
    await ledger.settle()


async def test_the_rest_of_the_group_goes_with_its_leader(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    process = start(ledger, f"sleep 60 & echo $! > {tmp_path}/child; exit 0")

    await process.exited
    child = await pid_in(tmp_path / "child")
    await eventually(lambda: not alive(child))
    await ledger.settle()


async def test_a_child_in_a_session_of_its_own_is_found_by_its_token(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    process = start(ledger, f"setsid sh -c 'echo $$ > {tmp_path}/child; exec sleep 60' & sleep 60")
    child = await pid_in(tmp_path / "child")

    await process.stop(1)
    await ledger.settle()

    await eventually(lambda: not alive(child))
    assert list((tmp_path / "ledger").iterdir()) == []


async def test_a_process_dies_with_its_owner_however_the_owner_dies(tmp_path: Path) -> None:
    script = f"""
import asyncio, os
from pathlib import Path
from upwell.local.processes import Ledger, start_process

async def main():
    process = start_process(["/bin/sleep", "60"], name="x", ledger=Ledger(Path({str(tmp_path / "ledger")!r})),
                            env={{}}, output=-3)
    print(process.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(await asyncio.to_thread(owner.stdout.readline))
    assert alive(pid)

    owner.kill()
    owner.wait()
    owner.stdout.close()

    await eventually(lambda: not alive(pid))


async def test_the_next_run_kills_what_a_crash_left(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    process = start(ledger, "sleep 60")

    killed = await Ledger(tmp_path).kill_leftovers()

    assert killed[0] == "test"
    assert not alive(process.pid)
    assert await process.exited == -9
    await ledger.settle()


async def test_a_process_that_only_has_the_same_id_is_let_be(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    process = start(ledger, "sleep 60")
    record = next(tmp_path.glob("*.json"))
    entry = json.loads(record.read_text())
    record.write_text(json.dumps({**entry, "identity": "another boot:17", "token": "another"}))

    assert await Ledger(tmp_path).kill_leftovers() == []
    assert alive(process.pid)

    await process.stop(1)
    await ledger.settle()


async def test_a_record_that_was_cut_short_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "17-x.json").write_text('{"pid": 17, "ide')

    assert await Ledger(tmp_path).kill_leftovers() == []
    assert list(tmp_path.iterdir()) == []


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(["/bin/true"])
    deadline = time.monotonic() + 5
    while identity_of(child.pid) and time.monotonic() < deadline:
        time.sleep(0.005)

    assert identity_of(child.pid) == ""
    child.wait()
