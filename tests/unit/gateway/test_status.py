"""An Ingress's status: what is served, where, and since when."""

from gateway.status import LoadBalancers, rejected_status, served_status
from tests.unit.gateway.builders import simple
from upwell.api.objects import ObjectError

NOW = 946_684_800.0
INSIDE = "gateway.knative-serving.svc.cluster.local"
OUTSIDE = "gateway-external.knative-serving.svc.cluster.local"
NAMES = LoadBalancers(OUTSIDE, INSIDE)


def test_what_is_served_is_ready_at_its_address() -> None:
    status = served_status(simple("a", "a.example", "a", generation=3), NAMES, NOW)

    assert [(c["type"], c["status"]) for c in status["conditions"]] == [
        ("LoadBalancerReady", "True"),
        ("NetworkConfigured", "True"),
        ("Ready", "True"),
    ]
    assert status["observedGeneration"] == 3
    assert status["publicLoadBalancer"] == {"ingress": [{"domainInternal": OUTSIDE}]}
    assert status["privateLoadBalancer"] == {"ingress": [{"domainInternal": INSIDE}]}


def test_the_same_again_is_the_same() -> None:
    obj = simple("a", "a.example", "a")
    obj["status"] = served_status(obj, NAMES, NOW)
    assert served_status(obj, NAMES, NOW + 1000) == obj["status"]


def test_what_cannot_be_served_says_why_and_recovers() -> None:
    obj = simple("a", "a.example", "a")
    obj["status"] = rejected_status(obj, ObjectError("spec.rules", "missing field(s)"), NOW)
    conditions = {c["type"]: c for c in obj["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "False"
    assert conditions["NetworkConfigured"]["message"] == "spec.rules: missing field(s)"

    recovered = served_status(obj, NAMES, NOW)
    assert {c["status"] for c in recovered["conditions"]} == {"True"}
