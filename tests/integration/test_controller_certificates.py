"""HTTPS from one setting: a real controller process makes the Certificates, fulfils them, and tells the Ingress."""

import base64
import contextlib

from cryptography import x509

from tests.integration.autoscaler_world import server_fixture  # noqa: F401  # the API server
from tests.integration.controller_world import NAMESPACE, World, world_fixture  # noqa: F401
from tests.waiting import eventually
from upwell.api.conditions import find
from upwell.api.objects import Object, name_of
from upwell.api.resources import CERTIFICATE, CONFIG_MAP, INGRESS, ROUTE, SECRET
from upwell.cluster.errors import NotFound

SYSTEM = "knative-serving"
CLASS = "upwell.certificate.networking.knative.dev"


async def set_network(world: World, **data: str | None) -> None:
    keys = {key.replace("_", "-"): value for key, value in data.items()}
    await world.client.patch(CONFIG_MAP, "config-network", SYSTEM, {"data": keys})


async def secret(world: World, name: str, namespace: str = NAMESPACE) -> dict[str, bytes]:
    """What is in the Secret, once it is there."""

    async def look() -> Object | None:
        with contextlib.suppress(NotFound):
            return await world.client.get(SECRET, name, namespace)
        return None

    found = await eventually(look)
    assert found is not None
    return {key: base64.b64decode(value) for key, value in found["data"].items()}


def verify(data: dict[str, bytes], *names: str) -> None:
    (leaf,) = x509.load_pem_x509_certificates(data["tls.crt"])
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificates(data["ca.crt"])[0])
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == list(names)


async def served_by_https(world: World) -> Object:
    async def look() -> Object | None:
        ingress = await world.get(INGRESS, "app")
        return ingress if ingress["spec"].get("tls") else None

    found = await eventually(look)
    assert found is not None
    return found


async def url_becomes(world: World, url: str, address: str = "") -> Object:
    """The Route once it tells this URL, and this one for clients inside the cluster where `address` is given."""

    async def look() -> Object | None:
        route = await world.get(ROUTE, "app")
        status = route.get("status") or {}
        told = (status.get("address") or {}).get("url")
        return route if status.get("url") == url and address in ("", told) else None

    found = await eventually(look)
    assert found is not None
    return found


async def test_a_service_is_served_by_https_once_its_certificate_is_there_and_by_http_when_it_is_switched_off(
    world: World,
) -> None:
    world.start_controller()
    await set_network(world, external_domain_tls="enabled", certificate_class=CLASS, external_https_port="8443")
    await world.apply()
    await world.ready()
    ingress = await served_by_https(world)
    (entry,) = ingress["spec"]["tls"]
    assert entry["hosts"] == ["app.default.localhost"]
    verify(await secret(world, entry["secretName"]), "app.default.localhost")
    route = await url_becomes(world, "https://app.default.localhost:8443")
    assert entry["secretName"] == f"route-{route['metadata']['uid']}"
    assert find(route["status"], "CertificateProvisioned")["status"] == "True"
    certificate = await world.get(CERTIFICATE, entry["secretName"])
    assert certificate["status"]["notAfter"] > "2026"
    await set_network(world, external_domain_tls="disabled")
    route = await url_becomes(world, "http://app.default.localhost:8080")
    assert find(route["status"], "CertificateProvisioned")["reason"] == "TLSNotEnabled"
    assert "tls" not in (await world.get(INGRESS, "app"))["spec"]

    async def gone() -> bool:
        return not (await world.client.list(CERTIFICATE, NAMESPACE))[0]

    await eventually(gone)


async def test_one_switch_makes_what_activators_and_sidecars_show_each_other(world: World) -> None:
    world.start_controller()
    await set_network(world, system_internal_tls="enabled", certificate_class=CLASS)
    await world.apply()
    await world.ready()
    verify(await secret(world, "serving-certs"), "kn-user-default", "data-plane.knative.dev")
    activators = await secret(world, "routing-serving-certs", SYSTEM)
    verify(activators, "kn-routing", "data-plane.knative.dev")
    bundle = await world.client.get(CONFIG_MAP, "upwell-trust-bundle", SYSTEM)
    assert bundle["metadata"]["labels"] == {"networking.knative.dev/trust-bundle": "true"}
    assert bundle["data"]["ca.crt"].encode() == activators["ca.crt"]
    assert (await world.get(INGRESS, "app"))["spec"]["rules"][0]["http"]["paths"][0]["splits"][0]["servicePort"] == 443


async def test_without_cert_manager_hosts_stay_on_http_and_the_certificate_says_why(world: World) -> None:
    world.start_controller()
    await set_network(world, external_domain_tls="enabled")
    await world.apply()
    await world.ready()
    route = await world.condition(ROUTE, "app", "CertificateProvisioned", "HTTPDowngrade")
    assert route["status"]["url"] == "http://app.default.localhost:8080"

    async def look() -> Object | None:
        (certificate,) = (await world.client.list(CERTIFICATE, NAMESPACE))[0]
        return certificate if find(certificate.get("status"), "Ready").get("reason") == "CertManagerMissing" else None

    certificate = await eventually(look)
    assert certificate is not None
    assert name_of(certificate).startswith("route-")


async def test_a_namespaces_wildcard_serves_its_routes_and_names_inside_the_cluster_have_their_own(
    world: World,
) -> None:
    world.start_controller()
    await set_network(
        world,
        external_domain_tls="enabled",
        cluster_local_domain_tls="enabled",
        certificate_class=CLASS,
        namespace_wildcard_cert_selector="matchExpressions: [{key: off, operator: DoesNotExist}]",
    )

    async def wildcard() -> bool:
        with contextlib.suppress(NotFound):
            certificate = await world.get(CERTIFICATE, "default.localhost")
            return find(certificate.get("status"), "Ready").get("status") == "True"
        return False

    await eventually(wildcard)
    await world.apply()
    await world.ready()

    async def both() -> list[Object] | None:
        tls: list[Object] = (await world.get(INGRESS, "app"))["spec"].get("tls") or []
        return tls if len(tls) == 2 else None

    entries = await eventually(both)
    assert entries is not None
    inside = ["app.default", "app.default.svc", "app.default.svc.cluster.local"]
    route = await url_becomes(world, "https://app.default.localhost", "https://app.default.svc.cluster.local")
    name = f"route-{route['metadata']['uid']}-local"
    assert [(one["hosts"], one["secretName"]) for one in entries] == [
        (inside, name),
        (["app.default.localhost"], "default.localhost"),
    ]
    assert (await world.get(CERTIFICATE, name))["spec"]["domain"] == "svc.cluster.local"
