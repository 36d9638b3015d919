"""Services of ServerlessServices and their status agree with those that the reference made in a real cluster."""

from collections.abc import Iterator
from typing import Any

import pytest

from activator.sks import private_service, public_service, ready_backends, status_for
from tests.golden.conftest import load

SET_BY_THE_API_SERVER = (
    "clusterIP",
    "clusterIPs",
    "type",
    "sessionAffinity",
    "ipFamilies",
    "ipFamilyPolicy",
    "internalTrafficPolicy",
)


def recorded() -> Iterator[Any]:
    for case in load("children.json")["cases"]:
        for number, step in enumerate(case["steps"]):
            objects = (step.get("want") or {}).get("objects") or ()
            by_name = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}
            for (kind, name), obj in by_name.items():
                if kind == "ServerlessService":
                    yield pytest.param(obj, by_name, id=f"{case['name']} {number} {name}")


@pytest.mark.parametrize(("sks", "objects"), list(recorded()))
def test_services_and_status_agree_with_the_reference(sks: dict[str, Any], objects: dict[Any, dict[str, Any]]) -> None:
    name = sks["metadata"]["name"]
    private = sks["status"].get("privateServiceName", f"{name}-private")
    sks["metadata"]["uid"] = f"<uid:ServerlessService/{name}>"
    sks["metadata"]["namespace"] = "default"
    wanted = objects.get(("Service", private))
    if wanted is not None:
        assert_agrees(private_service(sks, wanted["spec"]["selector"]), wanted)
    if (wanted := objects.get(("Service", name))) is not None:
        assert_agrees(public_service(sks), wanted)
    populated = any(one["type"] == "Ready" and one["status"] == "True" for one in sks["status"]["conditions"])
    pods = ready_backends([one_pod(sks)] if populated else [], "http")
    assert without_times(status_for({**sks, "status": {}}, pods, 0.0)) == sks["status"]


def one_pod(sks: dict[str, Any]) -> dict[str, Any]:
    return {"ports": [{"name": "http", "port": 8012}], "endpoints": [{"addresses": ["10.1.0.1"]}]}


def assert_agrees(made: dict[str, Any], wanted: dict[str, Any]) -> None:
    for field in ("name", "labels", "annotations", "ownerReferences"):
        assert made["metadata"].get(field) == wanted["metadata"].get(field), field
    assert made["spec"] == {name: value for name, value in wanted["spec"].items() if name not in SET_BY_THE_API_SERVER}


def without_times(status: dict[str, Any]) -> dict[str, Any]:
    for condition in status["conditions"]:
        del condition["lastTransitionTime"]
    return status
