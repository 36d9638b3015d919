"""What a ServerlessService asks for, compared with what the reference makes of the same object."""

from collections.abc import Iterable
from typing import Any

import pytest

from activator.public_address import plan_slices
from activator.sks import (
    effective_mode,
    private_service,
    public_backends,
    public_service,
    ready_backends,
    status_for,
    status_not_owned,
    status_unwritten,
)
from upwell.api import names
from upwell.api.conditions import find
from upwell.api.objects import Object, labels_of

SELECTOR = {names.LABEL_REVISION_UID: "u1"}


def sks(mode: str = "Proxy", **spec: Any) -> Object:
    return {
        "apiVersion": "networking.internal.knative.dev/v1alpha1",
        "kind": "ServerlessService",
        "metadata": {
            "namespace": "default",
            "name": "app-00001",
            "uid": "sks-uid",
            "generation": 3,
            "labels": {"app": "app-00001"},
            "annotations": {"autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev"},
        },
        "spec": {"mode": mode, "protocolType": "http1", "numActivators": 2, **spec},
    }


def endpoint(address: str, *, ready: bool = True, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": {"ready": ready, **conditions}, "targetRef": {"name": address}}


def slice_of(*endpoints: dict[str, Any], **ports: int) -> Object:
    return {
        "metadata": {"namespace": "default", "name": "slice"},
        "addressType": "IPv4",
        "ports": [{"name": name.replace("_", "-"), "port": port, "protocol": "TCP"} for name, port in ports.items()],
        "endpoints": list(endpoints),
    }


def pods(*addresses: str) -> Object:
    return slice_of(*map(endpoint, addresses), http=8012, https=8112, http_autometric=9090)


def activators(count: int) -> Object:
    return slice_of(*(endpoint(f"10.8.0.{number}") for number in range(count)), http=8012, http2=8013, https=8112)


def leads_to(made: list[Object]) -> list[str]:
    return [address for one in made for item in one["endpoints"] for address in item["addresses"]]


def flipped(
    wanted: Object, pod_slices: list[Object], activator_slices: list[Object], present: Iterable[Object] = ()
) -> list[Object]:
    listed, activators = (ready_backends(slices, "http") for slices in (pod_slices, activator_slices))
    return plan_slices(wanted, public_service(wanted), public_backends(wanted, listed, activators), present)


def test_the_private_service_selects_the_pods_on_every_port_of_the_sidecar() -> None:
    made = private_service(sks(), SELECTOR)

    assert made["metadata"]["name"] == "app-00001-private"
    assert labels_of(made)[names.LABEL_SERVICE_TYPE] == "Private"
    assert labels_of(made)[names.LABEL_SKS] == "app-00001"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "sks-uid"
    assert made["spec"]["selector"] == SELECTOR
    assert [(port["name"], port["port"], port["targetPort"]) for port in made["spec"]["ports"]] == [
        ("http", 80, 8012),
        ("https", 443, 8112),
        ("http-autometric", 9090, "http-autometric"),
        ("http-usermetric", 9091, "http-usermetric"),
        ("http-istio", 8012, 8012),
    ]


def test_an_h2c_revision_has_the_other_port() -> None:
    private, public = private_service(sks(protocolType="h2c"), SELECTOR), public_service(sks(protocolType="h2c"))

    assert private["spec"]["ports"][0] == {
        "name": "http2",
        "protocol": "TCP",
        "port": 80,
        "targetPort": 8013,
        "appProtocol": "kubernetes.io/h2c",
    }
    assert private["spec"]["ports"][-1]["name"] == "http2-istio"
    assert (public["spec"]["ports"][0]["port"], public["spec"]["ports"][0]["targetPort"]) == (81, 8013)


def test_the_public_service_selects_nothing() -> None:
    made = public_service(sks())

    assert made["metadata"]["name"] == "app-00001"
    assert "selector" not in made["spec"]
    assert [(port["name"], port["port"], port["targetPort"]) for port in made["spec"]["ports"]] == [
        ("http", 80, 8012),
        ("https", 443, 8112),
    ]


@pytest.mark.parametrize(
    ("mode", "some_pods", "some_activators", "effective"),
    [
        ("Serve", True, True, "Serve"),
        ("Serve", False, True, "Proxy"),
        ("Serve", True, False, "Serve"),
        ("Proxy", True, True, "Proxy"),
        ("Proxy", False, True, "Proxy"),
        ("Proxy", True, False, "Serve"),
        ("Proxy", False, False, "Serve"),
    ],
)
def test_the_address_never_leads_to_who_is_not_there(
    mode: str, some_pods: bool, some_activators: bool, effective: str
) -> None:
    pod_backends = ready_backends([pods("10.1.0.1")] if some_pods else [], "http")
    activator_backends = ready_backends([activators(1)] if some_activators else [], "http")

    assert effective_mode(sks(mode), pod_backends, activator_backends) == effective


def test_serving_leads_to_ready_pods_with_the_ports_of_requests_only() -> None:
    listed = slice_of(
        endpoint("10.1.0.2"),
        endpoint("10.1.0.1"),
        endpoint("10.1.0.3", ready=False),
        endpoint("10.1.0.4", terminating=True),
        http=8012,
        https=8112,
        http_autometric=9090,
    )

    (made,) = flipped(sks("Serve"), [listed], [activators(1)])

    assert leads_to([made]) == ["10.1.0.1", "10.1.0.2"]
    assert [port["name"] for port in made["ports"]] == ["http", "https"]
    assert labels_of(made)[names.LABEL_SLICE_SERVICE] == "app-00001"
    assert labels_of(made)[names.LABEL_SLICE_MANAGER] == "upwell-activator"


def test_proxying_leads_to_a_consistent_part_of_the_activators() -> None:
    made = flipped(sks("Proxy", numActivators=3), [pods("10.1.0.1")], [activators(10)])

    assert len(leads_to(made)) == 3
    assert leads_to(made) == leads_to(flipped(sks("Proxy", numActivators=3), [], [activators(10)]))
    assert len(leads_to(flipped(sks("Proxy", numActivators=0), [], [activators(10)]))) == 10


def test_a_flip_between_the_same_ports_rewrites_one_slice() -> None:
    (serve,) = flipped(sks("Serve"), [pods("10.1.0.1")], [activators(1)])
    (proxy,) = flipped(sks("Proxy"), [pods("10.1.0.1")], [activators(1)], [serve])

    assert serve["metadata"]["name"] == proxy["metadata"]["name"]
    assert leads_to([serve]) != leads_to([proxy])


def test_pods_with_ports_of_their_own_have_slices_of_their_own() -> None:
    both = [slice_of(endpoint("127.0.0.1"), http=port) for port in (20001, 20002)]

    made = flipped(sks("Serve"), both, [])

    assert len({one["metadata"]["name"] for one in made}) == 2
    assert {one["ports"][0]["port"] for one in made} == {20001, 20002}


def test_more_endpoints_than_a_slice_may_hold_go_into_several() -> None:
    crowd = [f"10.{number // 250}.0.{number % 250}" for number in range(1500)]

    made = flipped(sks("Serve"), [pods(*crowd)], [])

    assert [len(one["endpoints"]) for one in made] == [100] * 15
    assert sorted(leads_to(made)) == sorted(crowd)


def test_an_endpoint_in_two_slices_is_listed_once() -> None:
    assert leads_to(flipped(sks("Serve"), [pods("10.1.0.1"), pods("10.1.0.1")], [])) == ["10.1.0.1"]


def test_with_ready_pods_it_is_ready() -> None:
    status = status_for(sks("Serve"), ready_backends([pods("10.1.0.1")], "http"), 0.0)

    assert find(status, "Ready")["status"] == "True"
    assert find(status, "ActivatorEndpointsPopulated")["status"] == "False"
    assert find(status, "ActivatorEndpointsPopulated")["severity"] == "Info"
    assert (status["serviceName"], status["privateServiceName"]) == ("app-00001", "app-00001-private")
    assert status["observedGeneration"] == 3


def test_without_pods_it_is_backed_by_the_activator_and_not_yet_known_to_be_ready() -> None:
    status = status_for(sks("Serve"), {}, 0.0)

    ready = find(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "NoHealthyBackends")
    assert ready["message"] == "K8s Service is not ready"
    assert find(status, "ActivatorEndpointsPopulated")["status"] == "True"


def test_an_unchanged_state_has_an_unchanged_status() -> None:
    before = sks("Serve")
    backends = ready_backends([pods("10.1.0.1")], "http")
    before["status"] = status_for(before, backends, 0.0)

    assert status_for(before, backends, 1000.0) == before["status"]


def test_a_foreign_service_makes_it_false() -> None:
    condition = find(status_not_owned(sks(), "Service", "app-00001", 0.0), "Ready")

    assert (condition["status"], condition["reason"]) == ("False", "NotOwned")
    assert condition["message"] == "Resource app-00001 of type Service is not owned by SKS"


def test_what_the_api_server_refuses_shows_in_the_status_with_the_reason_of_the_contract() -> None:
    before = sks("Serve")
    before["status"] = status_for(before, ready_backends([pods("10.1.0.1")], "http"), 0.0)

    status = status_unwritten(before, "CreatingPublicEndpoints", 5.0)

    condition = find(status, "Ready")
    assert (condition["status"], condition["reason"]) == ("Unknown", "CreatingPublicEndpoints")
    assert condition["message"] == "K8s Service is not ready"
    assert status["serviceName"] == "app-00001"
