"""Class hpa on the local platform: an app that burns CPU is scaled up by it, and down again when it stops."""

from pathlib import Path

from tests.integration.running import Up, running
from tests.waiting import eventually_here

SERVICE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: burner}
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/class: hpa.autoscaling.knative.dev
        autoscaling.knative.dev/metric: cpu
        autoscaling.knative.dev/target: "10"
        autoscaling.knative.dev/window: 6s
        autoscaling.knative.dev/max-scale: "2"
    spec:
      containers: [{image: example.local/burner, command: [python3, burner.py]}]
"""
# A third of a core while the file is there: enough to be seen, and the machine has others to serve.
BURNER = """
import http.server, os, pathlib, threading, time

def burn():
    while True:
        end = time.monotonic() + 0.05
        while pathlib.Path("burning").exists() and time.monotonic() < end:
            pass
        time.sleep(0.1)

threading.Thread(target=burn, daemon=True).start()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_an_app_that_burns_cpu_is_scaled_up_and_down_again(tmp_path: Path) -> None:
    folder = tmp_path / "burner"
    folder.mkdir()
    (folder / "service.yaml").write_text(SERVICE)
    (folder / "burner.py").write_text(BURNER)
    with running(folder, "service.yaml") as up, up.client("burner") as client:
        assert client.get("/").text == "ok"
        eventually_here(lambda: scaled(up) == ("1", "True"), seconds=60, every=0.3)

        (folder / "burning").touch()
        eventually_here(lambda: scaled(up) == ("2", "True"), seconds=60, every=0.3)
        assert client.get("/").text == "ok"

        (folder / "burning").unlink()
        eventually_here(lambda: scaled(up) == ("1", "True"), seconds=60, every=0.3)
        shown = up.kubectl("get", "hpa", "-o", "jsonpath={.items[0].spec.metrics[0].resource.target}")
        assert '"averageUtilization":10' in shown
        assert client.get("/").text == "ok"


def scaled(up: Up) -> tuple[str, str]:
    """What the PodAutoscaler says: pods there are, and whether it is ready."""
    path = '{.items[0].status.actualScale}/{.items[0].status.conditions[?(@.type=="Ready")].status}'
    pods, _, ready = up.kubectl("get", "podautoscalers", "-o", f"jsonpath={path}").partition("/")
    return pods, ready
