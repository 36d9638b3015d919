"""A rollout that goes wrong on the whole platform is taken back by itself, and says why."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import Up, running
from tests.waiting import eventually_here

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc, which only Linux has")

APP = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(int(os.environ["STATUS"]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), App).serve_forever()
"""


@pytest.fixture(scope="module", name="up")
def up_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running(tmp_path_factory.mktemp("platform")) as platform:
        yield platform


def apply(up: Up, status: int) -> None:
    app = up.folder / "app.py"
    app.write_text(APP)
    container = {
        "image": "test.local/app",
        "command": ["python3", str(app)],
        "env": [{"name": "STATUS", "value": str(status)}],
    }
    annotations = {"serving.knative.dev/rollout-duration": "120s", "serving.upwell.dev/canary-guard": "enabled"}
    scale = {"autoscaling.knative.dev/min-scale": "1"}
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "shop", "annotations": annotations},
        "spec": {"template": {"metadata": {"annotations": scale}, "spec": {"containers": [container]}}},
    }
    path = up.folder / "shop.yaml"
    path.write_text(json.dumps(service))
    up.upwell("apply", str(path))


def route(up: Up) -> dict[str, Any]:
    found = up.upwell("get", "routes", "shop", "-o", "json", check=False)
    return (json.loads(found.stdout).get("status") or {}) if found.returncode == 0 else {}


def condition(up: Up, kind: str) -> dict[str, str]:
    return next((one for one in route(up).get("conditions") or () if one["type"] == kind), {})


def test_a_revision_that_fails_is_taken_back_and_the_next_one_is_tried(up: Up) -> None:
    apply(up, 200)
    eventually_here(lambda: condition(up, "Ready").get("status") == "True", seconds=60)
    stop, answers = threading.Event(), Counter[int]()

    def load() -> None:
        with up.client("shop") as client:
            while not stop.is_set():
                answers[client.get("/").status_code] += 1

    thread = threading.Thread(target=load)
    thread.start()
    try:
        apply(up, 500)
        eventually_here(lambda: condition(up, "CanaryHealthy").get("reason") == "CanaryFailed", seconds=60, every=0.3)
    finally:
        stop.set()
        thread.join()

    message = condition(up, "Ready")["message"]
    assert message.startswith('Revision "shop-00002" was taken back: ')
    assert [(one["revisionName"], one["percent"]) for one in route(up)["traffic"]] == [("shop-00001", 100)]
    with up.client("shop") as client:
        assert Counter(client.get("/").status_code for _ in range(100)) == {200: 100}
    told = json.loads(up.upwell("get", "events", "-o", "json").stdout)["items"]
    assert "CanaryFailed" in {event["reason"] for event in told}

    apply(up, 204)
    eventually_here(
        lambda: "shop-00003" in {one["revisionName"] for one in route(up).get("traffic") or ()}, seconds=60, every=0.3
    )
    assert "shop-00002" not in {one["revisionName"] for one in route(up)["traffic"]}
    assert answers[500] < answers[200] / 4
