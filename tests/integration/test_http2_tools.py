"""nghttp and h2load as they come, against the sidecar and HAProxy as an app that speaks HTTP/2."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.sidecar import MAIN, Sidecar, sidecar
from tests.waiting import eventually

APP = """
global
    maxconn 1024
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend app
    bind 127.0.0.1:{port} proto h2
    http-request return status 200 content-type text/plain string "hello from the app"
"""

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("nghttp", "h2load", "haproxy"))), reason="needs nghttp2-client and haproxy"
)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[Sidecar]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "app.cfg"
    config.write_text(APP.format(port=port))
    app = await asyncio.create_subprocess_exec("haproxy", "-db", "-q", "-f", str(config))
    try:
        await eventually(lambda: listens(port))
        async with sidecar(port) as running:
            yield running
    finally:
        app.kill()
        await app.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return output.decode()


async def test_nghttp_gets_its_answer_by_prior_knowledge(tmp_path: Path) -> None:
    async with world(tmp_path) as running:
        said = await run("nghttp", "-nv", f"http://127.0.0.1:{running.ports[MAIN]}/hello")
        assert ":status: 200" in said
        assert "GOAWAY" not in said.partition("recv DATA")[0]


async def test_h2load_gets_every_answer(tmp_path: Path) -> None:
    async with world(tmp_path) as running:
        said = await run("h2load", "-n2000", "-c10", "-m10", f"http://127.0.0.1:{running.ports[MAIN]}/")
        assert re.search(r"2000 succeeded, 0 failed, 0 errored", said), said


async def test_h2load_gets_every_answer_to_uploads(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * 200_000)
    async with world(tmp_path) as running:
        said = await run("h2load", "-n100", "-c2", "-m5", f"-d{body}", f"http://127.0.0.1:{running.ports[MAIN]}/")
        assert re.search(r"100 succeeded, 0 failed, 0 errored", said), said


async def test_sigterm_lets_streams_finish_and_ends_the_process(tmp_path: Path) -> None:
    async with world(tmp_path) as running:
        load = asyncio.ensure_future(run("h2load", "-n500", "-c5", "-m5", f"http://127.0.0.1:{running.ports[MAIN]}/"))
        said = await load
        running.terminate()
        assert await running.exit_status() == 0
        assert "500 succeeded" in said
