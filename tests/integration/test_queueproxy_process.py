"""Starting the sidecar: what it tells who starts it wrongly, and what it does not load."""

import asyncio
import socket
import subprocess
import sys

from tests.integration.sidecar import ENVIRONMENT, start


async def run(settings: dict[str, str | None], *arguments: str) -> tuple[int, list[str]]:
    process = await start(settings, *arguments)
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode().splitlines()


async def test_help_lists_the_environment_variables() -> None:
    status, lines = await run({}, "--help")

    assert status == 0
    assert any(line.split()[:1] == ["CONTAINER_CONCURRENCY"] for line in lines)


async def test_an_argument_that_does_not_exist_is_refused() -> None:
    status, _ = await run({**ENVIRONMENT}, "--port=1")

    assert status == 2


async def test_each_thing_that_is_wrong_is_one_line_and_the_process_exits() -> None:
    status, lines = await run({**ENVIRONMENT, "USER_PORT": "http", "SERVING_POD": None})

    assert status == 1
    assert lines == [
        'queueproxy: USER_PORT="http": not a port; give a number from 1 to 65535',
        "queueproxy: SERVING_POD is not set: give the name of the pod",
    ]


async def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, lines = await run({**ENVIRONMENT, "UPWELL_PORT_MAP": f"8012={port}"})

    assert status == 1
    assert lines == [f"queueproxy: cannot listen on 127.0.0.1 port {port}: Address already in use"]


async def test_a_descriptor_that_is_no_socket_is_one_line() -> None:
    status, lines = await run({**ENVIRONMENT, "UPWELL_LISTEN_FDS": "8012=77"})

    assert status == 1
    assert lines == [
        'queueproxy: UPWELL_LISTEN_FDS="8012=77": not an open socket (Bad file descriptor); name one that is'
    ]


def test_nothing_is_loaded_that_a_sidecar_does_not_serve_with() -> None:
    code = (
        "import sys, queueproxy.main;"
        "unwanted = ('aiohttp', 'prometheus_client', 'kubernetes_asyncio', 'httpx', 'yaml', 'rich', 'argparse', "
        "'queueproxy.request_log', 'queueproxy.request_metrics', 'queueproxy.grpc_health', 'queueproxy.tls', "
        "'queueproxy.request_tracing', 'queueproxy.profiling', 'queueproxy.http2_client', 'opentelemetry', 'hashlib', "
        "'hpack', 'upwell.telemetry.metrics');"
        "print([name for name in unwanted if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_a_pod_for_http2_has_all_of_it_loaded_before_the_first_request() -> None:
    code = (
        "import asyncio, pkgutil, sys\n"
        "import upwell.http, upwell.http.h2 as h2\n"
        "async def expect() -> None:\n"
        "    upwell.http.Engine(component=b'test').expect_http2()\n"
        "asyncio.run(expect())\n"
        "names = ['hpack'] + [f'upwell.http.h2.{each.name}' for each in pkgutil.iter_modules(h2.__path__)]\n"
        "print([name for name in names if name not in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
