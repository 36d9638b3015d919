"""What is kept of the objects: routing reads the same from it as from the whole."""

from typing import Any

from gateway import kept
from gateway.ingress import compile_ingress
from gateway.status import LoadBalancers, served_status
from tests.unit.gateway.builders import service, simple, slices
from upwell.api.names import ANNOTATION_STICKINESS, INGRESS_CLASS
from upwell.api.objects import Object, mutable

NAMES = LoadBalancers("out.example", "in.example")


def described(obj: Object, **metadata: Any) -> Object:
    """As a server sends it: with all that nobody here reads."""
    obj["metadata"].update(
        {"uid": "u", "resourceVersion": "7", "creationTimestamp": "2024-01-01T00:00:00Z"}, **metadata
    )
    obj["metadata"].setdefault("labels", {})["team"] = "a"
    return obj


def test_an_ingress_of_ours_comes_to_the_same_routes_and_statuses() -> None:
    whole = described(simple("a", "a.example", "a", generation=3))
    whole["metadata"]["annotations"].update({ANNOTATION_STICKINESS: "client-address", "a.example/note": "long" * 99})
    whole["status"] = served_status(whole, NAMES, 0)
    trimmed = kept.ingress_trim(INGRESS_CLASS)(mutable(whole))

    assert compile_ingress(kept.whole_ingress(trimmed)).key == compile_ingress(whole).key
    found, expected = (compile_ingress(obj).hosts[b"a.example"] for obj in (kept.whole_ingress(trimmed), whole))
    assert (found.hash, found.routes[0].targets) == (expected.hash, expected.routes[0].targets)
    assert kept.whole_ingress(trimmed)["spec"] == whole["spec"]
    assert served_status(trimmed, NAMES, 99) == whole["status"]
    assert "a.example/note" not in str(trimmed)


def test_of_an_ingress_that_others_serve_little_is_left() -> None:
    foreign = kept.ingress_trim(INGRESS_CLASS)(described(simple("a", "a.example", "a", ingress_class="istio")))

    assert "spec" not in foreign
    assert (foreign["metadata"]["name"], foreign["metadata"]["resourceVersion"]) == ("a", "7")


def test_a_slice_keeps_addresses_conditions_and_ports() -> None:
    whole = described(slices("a", "10.0.0.1:8012")[0])
    whole["endpoints"][0].update(
        nodeName="node-1", zone="z", targetRef={"kind": "Pod"}, conditions={"ready": False, "serving": True}
    )
    trimmed = kept.endpoint_slice(mutable(whole))

    assert trimmed["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": {"ready": False, "serving": True}}]
    assert trimmed["ports"] == [{"name": "http", "port": 8012}]
    assert trimmed["metadata"]["labels"] == {"kubernetes.io/service-name": "a"}


def test_equal_parts_are_kept_once() -> None:
    one, other = (kept.service(described(service(name, http=80))) for name in ("a", "b"))

    assert one["spec"] == {"ports": [{"name": "http", "port": 80}]}
    assert one["spec"] is other["spec"]
