"""The life of the server's process: what survives its death, and what it says when it cannot start."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.apiserver_world import COMMAND, CONFIG_MAPS, ApiServer, config_map
from tests.waiting import eventually_here


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path).start()
    yield server
    server.close()


def test_every_acknowledged_write_survives_a_kill(server: ApiServer) -> None:
    acknowledged: list[str] = []

    def write(writer: int) -> None:
        with httpx.Client(base_url=server.client.base_url, trust_env=False) as client:
            for index in range(100_000):
                name = f"c-{writer}-{index}"
                try:
                    answer = client.post(CONFIG_MAPS, json=config_map(name))
                except httpx.HTTPError:
                    return
                assert answer.status_code == 201
                acknowledged.append(name)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    eventually_here(lambda: len(acknowledged) > 200)
    server.stop(signal.SIGKILL)
    for writer in writers:
        writer.join()

    server.start()

    names = {item["metadata"]["name"] for item in server.client.get(CONFIG_MAPS).json()["items"]}
    assert set(acknowledged) <= names


def test_versions_and_uids_go_on_after_a_kill(server: ApiServer) -> None:
    made = server.create(CONFIG_MAPS, config_map("c"))
    server.create(CONFIG_MAPS, config_map("gone"))
    server.client.delete(f"{CONFIG_MAPS}/gone")

    server.stop(signal.SIGKILL)
    server.start()

    assert server.client.get(f"{CONFIG_MAPS}/c").json() == made
    again = server.create(CONFIG_MAPS, config_map("gone"))
    assert int(again["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"]) + 2


def test_a_cascade_that_a_kill_interrupted_is_finished(server: ApiServer) -> None:
    owner = server.create(CONFIG_MAPS, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    for index in range(300):
        metadata = {"name": f"c{index}", "ownerReferences": [reference]}
        server.create(CONFIG_MAPS, {**config_map("x"), "metadata": metadata})

    server.client.delete(f"{CONFIG_MAPS}/owner")
    server.stop(signal.SIGKILL)
    server.start()

    eventually_here(lambda: server.client.get(CONFIG_MAPS).json()["items"] == [])


def test_a_signal_ends_it_at_once_even_with_watches_open(server: ApiServer) -> None:
    with server.watch(CONFIG_MAPS, resourceVersion="0"):
        assert server.stop(signal.SIGTERM) == 0


def refusal(*options: str) -> str:
    """What the server says when it does not start."""
    result = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_a_database_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"something else entirely, and long enough to look like a file" * 50)

    told = refusal("--db", str(path))

    assert f"database {path} cannot be used" in told
    assert "delete it" in told


def test_a_database_in_use_is_one_clear_line(server: ApiServer) -> None:
    assert "in use by another API server" in refusal("--db", str(server.folder / "state.db"))


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert f"port {port} on 127.0.0.1 is in use" in refusal("--port", str(port))


def test_an_address_that_others_could_reach_is_refused() -> None:
    assert "--host 0.0.0.0: not a loopback address" in refusal("--host", "0.0.0.0")
