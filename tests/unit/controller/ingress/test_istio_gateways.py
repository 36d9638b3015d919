"""Certificates, redirects and statuses at Istio's gateways."""

import base64
from typing import Any

import pytest

from controller.ingress.istio import Istio
from controller.ingress.kinds import ISTIO_GATEWAY, VIRTUAL_SERVICE
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.controller.ingress.ingresses import INSIDE, PUBLIC, ingress, rule, settings, split
from upwell.api.objects import Key, Object, name_of, new_object
from upwell.api.resources import CORE_SERVICE, SECRET

SHARED = "knative-serving/knative-ingress-gateway"
SHARED_LOCAL = "knative-serving/knative-local-gateway"
SERVICE = Key("istio-system", "istio-ingressgateway")
CERTIFICATE = {"tls.crt": base64.b64encode(b"certificate").decode(), "tls.key": base64.b64encode(b"key").decode()}


class Cluster:
    """What there is beside the Ingress."""

    def __init__(self, **data: str) -> None:
        self.api = FakeApi()
        self.port_name = "http"
        self.selector: dict[str, str] = {"istio": "ingressgateway"}
        self.istio = Istio(
            settings(istio={key.replace("_", "-"): value for key, value in data.items()}), self.api, self._service
        )

    def _service(self, key: Key) -> Object | None:
        return new_object(CORE_SERVICE, *key, spec={"selector": self.selector, "ports": [{"name": self.port_name}]})

    def made(self, obj: Object) -> dict[str, dict[str, Any]]:
        """The specs of Gateways and VirtualServices, by name."""
        return {name_of(child): child["spec"] for child in self.istio.children(obj)}

    def secret(self, **data: str) -> None:
        fields = {"data": {**CERTIFICATE, **data}, "type": "kubernetes.io/tls"}
        self.api.put(SECRET, new_object(SECRET, "shop", "certificate", **fields))

    def copies(self) -> list[Object]:
        return [one for (kind, key), one in self.api.objects.items() if kind == SECRET and key.namespace != "shop"]


def with_certificate(*hosts: str, option: str = "Enabled", namespace: str = "shop") -> Object:
    obj = ingress()
    entry = {"hosts": list(hosts), "secretName": "certificate", "secretNamespace": namespace}
    obj["spec"] |= {"tls": [entry], "httpOption": option}
    return obj


def own(made: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The one Gateway of the Ingress's own, as VirtualServices call it."""
    ((name, spec),) = ((name, spec) for name, spec in made.items() if "servers" in spec)
    return f"shop/{name}", spec


def gateways_by_prefix(made: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    routes = made["app-ingress"]["http"]
    return {match["authority"]["prefix"]: match["gateways"] for route in routes for match in route["match"]}


def test_a_host_with_a_certificate_has_a_server_at_the_pods_behind_the_gateways_service() -> None:
    made = Cluster().made(with_certificate(PUBLIC))

    name, spec = own(made)
    assert name == "shop/app-3797421420"
    assert spec["selector"] == {"istio": "ingressgateway"}
    (server,) = spec["servers"]
    assert server["hosts"] == [PUBLIC]
    assert server["port"] == {"name": "shop/app:0", "number": 443, "protocol": "HTTPS"}
    assert server["tls"]["mode"] == "SIMPLE"
    assert gateways_by_prefix(made) == {"app.shop": [SHARED_LOCAL], PUBLIC: sorted([SHARED, name])}


def test_clients_inside_the_cluster_have_certificates_at_their_own_gateways() -> None:
    made = Cluster().made(with_certificate("app.shop", "app.shop.svc", INSIDE))

    name, spec = own(made)
    assert spec["servers"][0]["hosts"] == ["app.shop", INSIDE]
    assert gateways_by_prefix(made) == {"app.shop": sorted([SHARED_LOCAL, name]), PUBLIC: [SHARED]}
    assert made["app-mesh"]["gateways"] == ["mesh"]


def test_a_redirect_takes_plain_http_away_from_the_gateways_of_all() -> None:
    made = Cluster().made(with_certificate(PUBLIC, option="Redirected"))

    name, spec = own(made)
    assert spec["servers"][1] == {
        "hosts": [PUBLIC],
        "port": {"name": "http-server", "number": 80, "protocol": "HTTP"},
        "tls": {"httpsRedirect": True},
    }
    assert gateways_by_prefix(made)[PUBLIC] == [name]


def test_without_a_certificate_there_is_nowhere_to_redirect_to() -> None:
    obj = ingress()
    obj["spec"]["httpOption"] = "Redirected"

    assert gateways_by_prefix(Cluster().made(obj))[PUBLIC] == [SHARED]


def test_a_domains_name_is_made_fit_for_gateways_and_their_ports() -> None:
    obj = with_certificate(PUBLIC)
    obj["metadata"]["name"] = "www.example.com"

    name, spec = own(Cluster().made(obj))

    assert "." not in name
    assert "." not in spec["servers"][0]["port"]["name"]


async def test_a_certificate_is_copied_to_the_gateways_and_its_copy_follows_it() -> None:
    cluster, obj = Cluster(), with_certificate(PUBLIC)
    cluster.secret()

    assert await cluster.istio.prepare(obj) is None

    (copy,) = cluster.copies()
    _, spec = own(cluster.made(obj))
    assert copy["metadata"]["namespace"] == SERVICE.namespace
    assert spec["servers"][0]["tls"]["credentialName"] == name_of(copy)
    assert (copy["type"], copy["data"]) == ("kubernetes.io/tls", CERTIFICATE)

    cluster.secret(**{"tls.crt": base64.b64encode(b"renewed").decode()})
    assert await cluster.istio.prepare(obj) is None
    assert cluster.copies()[0]["data"]["tls.crt"] == base64.b64encode(b"renewed").decode()
    writes = len(cluster.api.writes)
    assert await cluster.istio.prepare(obj) is None
    assert len(cluster.api.writes) == writes


@pytest.mark.parametrize("gone", ["the Ingress", "its certificate"])
async def test_copies_go_with_what_they_were_for(gone: str) -> None:
    cluster, obj = Cluster(), with_certificate(PUBLIC)
    cluster.secret()
    await cluster.istio.prepare(obj)
    if gone == "the Ingress":
        obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    else:
        obj["spec"]["tls"] = []

    await cluster.istio.prepare(obj)

    assert not cluster.istio.leaves_traces(obj)
    assert cluster.copies() == []


async def test_where_gateways_can_read_the_secret_it_is_not_copied() -> None:
    cluster, obj = Cluster(), with_certificate(PUBLIC, namespace=SERVICE.namespace)

    assert await cluster.istio.prepare(obj) is None

    assert cluster.copies() == []
    assert own(cluster.made(obj))[1]["servers"][0]["tls"]["credentialName"] == "certificate"


async def test_a_secret_of_somebody_elses_is_not_overwritten() -> None:
    cluster, obj = Cluster(), with_certificate(PUBLIC)
    cluster.secret()
    await cluster.istio.prepare(obj)
    (copy,) = cluster.copies()
    theirs = new_object(SECRET, SERVICE.namespace, name_of(copy), data={})
    cluster.api.put(SECRET, theirs)

    obstacle = await cluster.istio.prepare(obj)

    assert obstacle is not None
    assert obstacle.reason == "NotOwned"
    assert cluster.copies()[0]["data"] == {}


async def test_what_is_missing_for_a_certificate_is_named() -> None:
    cluster, obj = Cluster(), with_certificate(PUBLIC)

    obstacle = await cluster.istio.prepare(obj)
    assert obstacle == ("SecretDoesNotExist", "could not find Secret shop/certificate")

    cluster.selector = {}
    obstacle = await cluster.istio.prepare(obj)
    assert obstacle == ("NoGateway", f"could not find Service {SERVICE}, or what it selects")
    assert set(cluster.made(obj)) == {"app-mesh", "app-ingress"}, "a Gateway without selector is for all pods"


def test_a_status_settles_what_is_served_where_istio_is_set_up_to_tell() -> None:
    def told(**status: Any) -> Object:
        return new_object(VIRTUAL_SERVICE, "shop", "app-mesh", metadata={"generation": 2}, spec={}, status=status)

    believing, asking = Cluster(enable_virtualservice_status="true").istio, Cluster().istio
    yes = told(observedGeneration="2", conditions=[{"type": "Reconciled", "status": "True"}])
    stale = told(observedGeneration="1", conditions=[{"type": "Reconciled", "status": "True"}])
    silent = told()
    gateway = new_object(ISTIO_GATEWAY, "shop", "app-1", spec={})

    assert believing.vouched([gateway, yes])
    assert believing.obstacle([gateway, yes]) is None
    assert not believing.vouched([yes, silent])
    assert believing.obstacle([yes, silent]) is None, "gateways are asked instead"
    stopped = believing.obstacle([yes, stale])
    assert stopped is not None
    assert "app-mesh" in stopped.message
    assert not asking.vouched([yes])
    assert asking.obstacle([stale]) is None


def test_hosts_without_certificates_need_no_gateway_of_their_own() -> None:
    made = Cluster().made(ingress(rule("ExternalIP", PUBLIC)))

    assert set(made) == {"app-ingress"}


@pytest.mark.parametrize(("port_name", "upgraded"), [("http", False), ("http2", True)])
def test_who_takes_tls_is_spoken_to_that_way_and_only_with_its_name(port_name: str, upgraded: bool) -> None:
    cluster, to_tls = Cluster(), {**split("app-00001"), "servicePort": 443}
    cluster.port_name = port_name

    made = cluster.made(ingress(rule("ExternalIP", PUBLIC, paths=[{"splits": [to_tls]}, {"splits": [split("other")]}])))

    assert set(made) == {"app-app-00001", "app-ingress"}
    assert made["app-app-00001"]["host"] == "app-00001.shop.svc.cluster.local"
    policy = made["app-app-00001"]["trafficPolicy"]
    assert policy["tls"] == {
        "mode": "SIMPLE",
        "credentialName": "routing-serving-certs",
        "subjectAltNames": ["kn-routing", "kn-user-shop"],
    }
    assert ("connectionPool" in policy) is upgraded
