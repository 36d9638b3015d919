"""A component's process: help, signals, and one line when it cannot run."""

import json
import signal
import subprocess
import sys
import textwrap

PROGRAM = """
import asyncio, socket, sys
from upwell.cluster.runtime import run_component, running
from upwell.ports import ConfigError

async def serve(env, stop):
    mode = env.get("MODE")
    if mode == "config":
        raise ConfigError('PORT="x": it has to be a number')
    if mode == "taken":
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0)); first.listen()
            second.bind(first.getsockname())
    if mode == "bug":
        async def work():
            raise KeyError("what")
        async with running({"work": work()}):
            await stop.wait()
    print("serving", flush=True)
    await stop.wait()
    print("draining", flush=True)
    if mode == "stuck":
        await asyncio.sleep(60)

run_component("demo", serve, about="A demonstration.", variables=[("MODE", "how to behave")])
"""


def start(*arguments: str, **env: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin", **env},
    )


def test_help_lists_what_can_be_set() -> None:
    process = start("--help")
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    for text in ("python -m demo", "A demonstration.", "MODE", "KUBECONFIG", "UPWELL_PORT_MAP"):
        assert text in out


def test_sigterm_drains_and_ends_well() -> None:
    process = start()
    assert process.stdout is not None
    assert process.stdout.readline() == "serving\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("draining\n", 0)


def test_a_second_signal_ends_at_once() -> None:
    process = start(MODE="stuck")
    assert process.stdout is not None
    assert process.stdout.readline() == "serving\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "draining\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 1


def test_what_cannot_run_says_why_in_one_line() -> None:
    for mode, said in (("config", 'PORT="x": it has to be a number'), ("taken", "Address already in use")):
        process = start(MODE=mode)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 1
        (line,) = err.strip().splitlines()
        assert said in json.loads(line)["error"]


def test_an_unexpected_error_is_one_line_with_its_traceback() -> None:
    process = start(MODE="bug")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    (line,) = err.strip().splitlines()
    record = json.loads(line)
    assert "KeyError" in record["error"]
    assert "in work" in record["traceback"]
