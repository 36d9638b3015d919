"""What makes pods start sooner on a node: the order of containers, and no token where none is used."""

from typing import Any

import pytest

from controller.revision.pod import make_pod_spec
from tests.unit.controller.objects import revision, revision_settings

TOKEN = "automountServiceAccountToken"


@pytest.mark.parametrize(
    ("setting", "first"), [({}, "queue-proxy"), ({"queue_sidecar_position": "last"}, "user-container")]
)
def test_the_sidecar_stands_first_unless_it_is_told_otherwise(setting: dict[str, Any], first: str) -> None:
    containers = make_pod_spec(revision(), revision_settings(**setting))["containers"]

    assert containers[0]["name"] == first
    assert {container["name"] for container in containers} == {"queue-proxy", "user-container"}


def test_by_default_the_token_is_left_to_kubernetes() -> None:
    assert TOKEN not in make_pod_spec(revision(), revision_settings())


@pytest.mark.parametrize(
    ("account", "annotation", "left_out"),
    [("", "", True), ("robot", "", False), ("", "true", False), ("robot", "false", True)],
)
def test_the_token_is_left_out_where_nobody_asked_for_it(account: str, annotation: str, left_out: bool) -> None:
    obj = revision(**({"serviceAccountName": account} if account else {}))
    if annotation:
        obj["metadata"]["annotations"] = {"serving.upwell.dev/mount-service-account-token": annotation}

    spec = make_pod_spec(obj, revision_settings(mount_default_service_account_token="false"))

    assert (spec.get(TOKEN) is False) is left_out
