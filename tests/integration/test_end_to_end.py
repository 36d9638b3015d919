"""The whole platform as its users see it: one `upwell up`, the services of the examples, ordinary clients."""

import hashlib
import json
import os
import shutil
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.integration.running import EXAMPLES, Up, alive, resident_mib, running
from tests.waiting import eventually_here

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc, which only Linux has")

STREAM_BYTES = 1 << 30

RECORDER = """
import os, sys
sys.path.insert(0, {examples!r})
from app import Hello, Server

class Recorder(Hello):
    def do_GET(self):
        os.write(record, (self.path + "\\n").encode())
        super().do_GET()

record = os.open(os.environ["RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
Server(("127.0.0.1", int(os.environ["PORT"])), Recorder).serve_forever()
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running(tmp_path_factory.mktemp("platform")) as platform:
        yield platform


def service(
    name: str, command: list[str], annotations: dict[str, str] | None = None, **spec: object
) -> dict[str, object]:
    container = {"image": "test.local/app", "command": command, **spec.pop("container", {})}  # type: ignore[dict-item]
    template = {"metadata": {"annotations": annotations or {}}, "spec": {"containers": [container], **spec}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"template": template},
    }


def deploy(up: Up, obj: dict[str, object]) -> str:
    name = str(obj["metadata"]["name"])  # type: ignore[index]
    path = up.folder / f"{name}.yaml"
    path.write_text(json.dumps(obj))
    up.upwell("apply", str(path))
    wait_ready(up, name)
    return name


def conditions(up: Up, kind: str, name: str) -> dict[str, dict[str, str]]:
    found = up.upwell("get", kind, name, "-o", "json", check=False)
    if found.returncode:
        return {}
    status = json.loads(found.stdout).get("status") or {}
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def wait_ready(up: Up, name: str) -> None:
    eventually_here(lambda: conditions(up, "services", name).get("Ready", {}).get("status") == "True", seconds=60)


def wait_for_zero(up: Up, name: str) -> None:
    eventually_here(lambda: not up.pods(name), seconds=60, every=0.3)


def test_two_hundred_requests_at_zero_are_all_answered_and_none_twice(up: Up) -> None:
    app, record = up.folder / "recorder.py", up.folder / "record"
    app.write_text(RECORDER.format(examples=str(EXAMPLES / "hello")))
    env = [{"name": "RECORD", "value": str(record)}]
    annotations = {"autoscaling.knative.dev/window": "6s", "autoscaling.knative.dev/max-scale": "3"}
    name = deploy(up, service("herd", ["python3", str(app)], annotations, container={"env": env}))
    wait_for_zero(up, name)

    with up.client(name) as client, ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda number: client.get(f"/{number}").status_code, range(200)))

    assert Counter(answers) == {200: 200}
    asked = Counter(record.read_text().split())
    assert set(asked.values()) == {1}
    assert len(asked) == 200


def test_a_service_goes_to_zero_and_wakes_on_a_request(up: Up) -> None:
    name = deploy(
        up,
        service("sleeper", ["python3", str(EXAMPLES / "hello" / "app.py")], {"autoscaling.knative.dev/window": "6s"}),
    )
    wait_for_zero(up, name)

    with up.client(name) as client:
        answer = client.get("/")

    assert (answer.status_code, answer.text) == (200, "Hello from sleeper-00001!\n")
    assert conditions(up, "services", name)["Ready"]["status"] == "True", "a service at zero stays Ready"


def test_bodies_stream_both_ways_unchanged_and_no_process_grows(up: Up) -> None:
    # Burst capacity -1 keeps the activator in the path, so the bytes go through all three proxies.
    annotations = {"autoscaling.knative.dev/target-burst-capacity": "-1", "autoscaling.knative.dev/min-scale": "1"}
    name = deploy(up, service("stream", ["python3", str(EXAMPLES / "async-app" / "app.py")], annotations))
    block = bytes(range(256)) * 256
    blocks = STREAM_BYTES // len(block)
    expected = hashlib.sha256()
    for _ in range(blocks):
        expected.update(block)
    proxies = {
        process: pid
        for process, pid in up.ledger().items()
        if any(part in process for part in ("gateway", "activator", f"{name}-00001"))
    }
    assert len(proxies) >= 4, "gateway, activator, sidecar, app"
    with up.client(name) as client:
        client.post("/upload", content=block)  # the first buffers are there before the measurement
        before = {process: resident_mib(pid) for process, pid in proxies.items()}

        sent = client.post("/upload", content=(block for _ in range(blocks))).json()
        received, size = hashlib.sha256(), 0
        with client.stream("GET", "/download", params={"bytes": STREAM_BYTES}) as answer:
            for chunk in answer.iter_raw():
                received.update(chunk)
                size += len(chunk)

    assert sent == {"bytes": STREAM_BYTES, "sha256": expected.hexdigest()}
    assert (size, received.hexdigest()) == (STREAM_BYTES, expected.hexdigest())
    grown = {process: resident_mib(pid) - before[process] for process, pid in proxies.items()}
    assert all(mib < 32 for mib in grown.values()), grown


def test_a_websocket_is_passed_through_to_the_app_and_back(up: Up) -> None:
    name = deploy(up, service("echo", ["python3", str(EXAMPLES / "websocket-echo" / "app.py")]))

    with (
        socket.create_connection(("127.0.0.1", up.port)) as raw,
        connect(f"ws://{name}.default.localhost:{up.port}/chat", sock=raw) as websocket,
    ):
        for message in ("hello", "ö" * 70_000, b"\x00\xff" * 100):
            websocket.send(message)
            assert websocket.recv(timeout=10) == message


@pytest.mark.parametrize(
    "rubbish",
    [
        b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: %b\r\nX-Folded: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: %b\n\n",
        b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\n4 junk\r\nabcd\r\n0\r\n\r\n",
    ],
    ids=["length-and-chunked", "obs-fold", "bare-lf", "chunk-size-with-junk"],
)
def test_what_could_be_read_in_two_ways_is_refused(up: Up, rubbish: bytes) -> None:
    name = deploy(up, service("strict", ["python3", str(EXAMPLES / "hello" / "app.py")]))

    with socket.create_connection(("127.0.0.1", up.port), timeout=10) as raw:
        raw.sendall(rubbish % f"{name}.default.localhost".encode())
        answer = b""
        while chunk := raw.recv(65536):
            answer += chunk

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1, "one answer, and the connection is closed"


def test_an_unknown_host_is_answered_with_what_is_wrong(up: Up) -> None:
    with up.client("nobody") as client:
        answer = client.get("/")

    assert answer.status_code == 404
    assert "nobody.default.localhost" in answer.text


def test_traffic_is_split_by_percentage_and_tags_have_hosts_of_their_own(up: Up) -> None:
    app = ["python3", str(EXAMPLES / "hello" / "app.py")]
    name = deploy(up, service("split", app))
    changed = service("split", app, {"autoscaling.knative.dev/min-scale": "1"})
    changed["spec"]["traffic"] = [  # type: ignore[index]
        {"revisionName": "split-00001", "percent": 75},
        {"latestRevision": True, "percent": 25, "tag": "next"},
    ]
    deploy(up, changed)
    eventually_here(lambda: "split-00002" in up.upwell("get", "routes", name, "-o", "json").stdout)
    wait_ready(up, name)

    with up.client(name) as client:
        answers = Counter(client.get("/").text.split()[2] for _ in range(400))
    with up.client("next-split") as client:
        tagged = client.get("/").text

    assert tagged == "Hello from split-00002!\n"
    assert abs(answers["split-00001!"] - 300) <= 12, answers


@pytest.mark.parametrize("victim", ["activator", "autoscaler", "controller", "gateway"])
def test_a_killed_component_is_back_by_itself_and_requests_are_answered(up: Up, victim: str) -> None:
    name = deploy(
        up,
        service("steady", ["python3", str(EXAMPLES / "hello" / "app.py")], {"autoscaling.knative.dev/min-scale": "1"}),
    )
    process, pid = next((n, p) for n, p in up.ledger().items() if victim in n)

    os.kill(pid, signal.SIGKILL)

    eventually_here(lambda: not alive(pid))
    back = eventually_here(lambda: next((p for n, p in up.ledger().items() if victim in n and p != pid), 0), seconds=20)
    assert alive(back), process
    with up.client(name) as client:
        assert [client.get("/").status_code for _ in range(20)] == [200] * 20


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_prints_tables_of_what_runs(up: Up) -> None:
    deploy(up, service("shown", ["python3", str(EXAMPLES / "hello" / "app.py")]))

    table = up.kubectl("get", "ksvc,revisions,pods", "-A")

    assert "LATESTCREATED" in table
    assert "shown-00001" in table
    assert "knative-serving" in table


def test_what_cannot_run_says_so_in_a_condition_and_the_rest_goes_on(up: Up) -> None:
    for name, command in (
        ("missing", ["/no/such/program"]),
        ("exits", ["python3", "-c", "raise SystemExit('cannot find my model')"]),
    ):
        path = up.folder / f"{name}.yaml"
        path.write_text(json.dumps(service(name, command)))
        up.upwell("apply", str(path))

    for name, word in (("missing", "/no/such/program"), ("exits", "cannot find my model")):
        failed = eventually_here(partial(_failed, up, name), seconds=60)
        assert failed is not None
        assert word in failed["message"], failed
    fine = deploy(up, service("fine", ["python3", str(EXAMPLES / "hello" / "app.py")]))
    with up.client(fine) as client:
        assert client.get("/").status_code == 200


def _failed(up: Up, name: str) -> dict[str, str] | None:
    configurations = conditions(up, "services", name).get("ConfigurationsReady", {})
    return configurations if configurations.get("status") == "False" else None
