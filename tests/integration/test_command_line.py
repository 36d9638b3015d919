"""`upwell up` and the commands beside it, as a developer types them."""

import re
import signal
import socket
from pathlib import Path

import pytest

from tests.integration.running import alive, copy_example, running, start
from tests.waiting import eventually_here

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc, which only Linux has")


def test_a_developer_starts_changes_looks_at_and_deletes_a_service(tmp_path: Path) -> None:
    folder = copy_example("hello", tmp_path / "hello")
    with running(folder) as up:
        assert f"curl http://hello.default.localhost:{up.port}" in up.said()
        with up.client("hello") as client:
            assert client.get("/").text == "Hello from hello-00001!\n"

        manifest = folder / "service.yaml"
        manifest.write_text(manifest.read_text().replace('max-scale: "5"', 'max-scale: "4"'))
        assert up.upwell("apply", "service.yaml").stdout == "service hello configured\n"
        assert up.upwell("apply", "service.yaml").stdout == "service hello unchanged\n"
        with up.client("hello") as client:
            eventually_here(lambda: client.get("/").text == "Hello from hello-00002!\n")

        assert re.search(r"^NAME +URL .*\nhello +http://hello", up.upwell("get", "services").stdout)
        assert "hello-00002" in up.upwell("get", "revisions").stdout
        assert up.upwell("logs", "hello", "-c", "queue-proxy").returncode == 0

        assert up.upwell("delete", "hello").stdout == "service hello deleted\n"
        eventually_here(lambda: not up.pods("hello"))
        with up.client("hello") as client:
            eventually_here(lambda: client.get("/").status_code == 404)
        assert "not found" in up.upwell("delete", "hello", check=False).stderr


def test_ctrl_c_stops_every_process_and_the_next_start_has_what_was_applied(tmp_path: Path) -> None:
    folder = copy_example("hello", tmp_path / "hello")
    with running(folder) as up:
        processes = up.ledger()
        assert {"activator", "autoscaler", "controller", "gateway"} <= {_component(name) for name in processes}
        assert up.stop(signal.SIGINT) == 0
    assert not [name for name, pid in processes.items() if alive(pid)]

    (folder / "service.yaml").rename(folder / "kept.yaml")
    with running(folder) as up, up.client("hello") as client:
        assert client.get("/").text == "Hello from hello-00001!\n"


def test_a_platform_that_was_killed_leaves_nothing_behind_once_started_again(tmp_path: Path) -> None:
    folder = copy_example("hello", tmp_path / "hello")
    up = start(folder)
    processes = up.ledger()
    up.stop(signal.SIGKILL)

    with running(folder) as again:
        assert not [name for name, pid in processes.items() if alive(pid) and pid not in again.ledger().values()]
        with again.client("hello") as client:
            assert client.get("/").status_code == 200


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    folder = copy_example("hello", tmp_path / "hello")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError) as failed:
            start(folder, port=port)

    said = str(failed.value)
    assert str(port) in said
    assert "--port" in said
    assert "stopped" not in said, "nothing was running"
    assert "Traceback" not in said


def test_a_file_with_a_fault_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text("apiVersion: serving.knative.dev/v1\nkind: Servise\nmetadata: {name: a}\n")

    with pytest.raises(AssertionError, match="Servise"):
        start(tmp_path)

    assert not (tmp_path / ".upwell").exists()


def _component(name: str) -> str:
    found = re.search(r"activator|autoscaler|controller|gateway", name)
    return found[0] if found else ""
