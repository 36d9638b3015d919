"""Documents of 2019 and kubectl of today, against a server that takes them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import apiserver_world
from tests.integration.apiserver_world import ApiServer, needs_kubectl

pytestmark = needs_kubectl

SERVICE = """
apiVersion: serving.knative.dev/v1alpha1
kind: Service
metadata: {name: old}
spec:
  runLatest:
    configuration:
      revisionTemplate:
        spec:
          container: {image: dev.local/hello, env: [{name: TARGET, value: "first"}]}
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    monkeypatch.setattr(apiserver_world, "COMMAND", [*apiserver_world.COMMAND, "--old-versions"])
    found = ApiServer(tmp_path).start()
    yield found
    found.close()


def test_a_service_of_2019_is_applied_again_and_again(server: ApiServer) -> None:
    created = server.kubectl("apply", "-f", "-", stdin=SERVICE)
    server.kubectl("apply", "-f", "-", stdin=SERVICE)
    same = json.loads(server.kubectl("get", "ksvc", "old", "-o", "json"))
    server.kubectl("apply", "-f", "-", stdin=SERVICE.replace("first", "second"))
    changed = json.loads(server.kubectl("get", "ksvc", "old", "-o", "json"))

    assert "Warning: spec.runLatest is spec.template and spec.traffic today" in created
    assert (same["apiVersion"], same["metadata"]["generation"]) == ("serving.knative.dev/v1", 1)
    assert changed["metadata"]["generation"] == 2
    assert changed["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "TARGET", "value": "second"}]
    assert "runLatest" not in changed["spec"]
    assert "deleted" in server.kubectl("delete", "-f", "-", stdin=SERVICE)


def test_what_cannot_be_said_any_more_is_refused_with_advice(server: ApiServer) -> None:
    manual = SERVICE[: SERVICE.index("  runLatest")] + "  manual: {}\n"

    assert "write a Configuration and a Route instead" in server.kubectl("apply", "-f", "-", stdin=manual, code=1)
