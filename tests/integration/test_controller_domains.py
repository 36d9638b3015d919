"""Domains of one's own: claimed, led to a Service, secured, and given back."""

from tests.integration.autoscaler_world import server_fixture  # noqa: F401  # the API server
from tests.integration.controller_world import NAMESPACE, World, world_fixture  # noqa: F401
from tests.waiting import eventually
from upwell.api.conditions import find
from upwell.api.objects import Object, name_of, new_object
from upwell.api.resources import CERTIFICATE, CONFIG_MAP, DOMAIN_CLAIM, DOMAIN_MAPPING, INGRESS
from upwell.cluster.errors import NotFound

DOMAIN = "shop.example.com"


async def map_domain(world: World, name: str = DOMAIN) -> None:
    reference = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "app"}
    await world.client.create(DOMAIN_MAPPING, new_object(DOMAIN_MAPPING, NAMESPACE, name, spec={"ref": reference}))


async def set_network(world: World, **data: str) -> None:
    keys = {key.replace("_", "-"): value for key, value in data.items()}
    await world.client.patch(CONFIG_MAP, "config-network", "knative-serving", {"data": keys})


async def claims(world: World) -> list[str]:
    return [name_of(claim) for claim in (await world.client.list(DOMAIN_CLAIM))[0]]


async def test_a_domain_leads_to_its_service_and_is_given_back_with_the_mapping(world: World) -> None:
    await set_network(world, autocreate_cluster_domain_claims="true")
    world.start_controller()
    await map_domain(world)
    await world.condition(DOMAIN_MAPPING, DOMAIN, "ReferenceResolved", "ResolveFailed")
    await world.apply()
    mapping = await world.ready(DOMAIN, resource=DOMAIN_MAPPING)

    assert mapping["status"]["url"] == f"http://{DOMAIN}"
    assert await claims(world) == [DOMAIN]
    (rule,) = (await world.get(INGRESS, DOMAIN))["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["hosts"], rule["visibility"]) == ([DOMAIN], "ExternalIP")
    assert path["rewriteHost"] == "app.default.svc.cluster.local"
    (split,) = path["splits"]
    assert split["serviceName"] == "app"
    assert split["appendHeaders"] == {"K-Original-Host": DOMAIN}

    await world.client.delete(DOMAIN_MAPPING, DOMAIN, NAMESPACE)

    async def gone() -> bool:
        try:
            await world.get(DOMAIN_MAPPING, DOMAIN)
        except NotFound:
            return not await claims(world)
        return False

    await eventually(gone)


async def test_a_domain_of_another_namespace_is_refused_until_the_claim_changes(world: World) -> None:
    world.start_controller()
    await world.apply()
    await world.client.create(DOMAIN_CLAIM, new_object(DOMAIN_CLAIM, "", DOMAIN, spec={"namespace": "other"}))
    await map_domain(world)
    await world.condition(DOMAIN_MAPPING, DOMAIN, "Ready", "DomainAlreadyClaimed")

    await world.client.patch(DOMAIN_CLAIM, DOMAIN, "", {"spec": {"namespace": NAMESPACE}})
    await world.ready(DOMAIN, resource=DOMAIN_MAPPING)


async def test_a_domain_waits_for_its_certificate_where_plain_http_is_not_allowed(world: World) -> None:
    await set_network(
        world,
        autocreate_cluster_domain_claims="true",
        external_domain_tls="enabled",
        http_protocol="redirected",
        certificate_class="test.certificate.networking.knative.dev",
    )
    world.start_controller()
    await world.apply()
    await map_domain(world)
    await world.condition(DOMAIN_MAPPING, DOMAIN, "CertificateProvisioned", "CertificateNotReady")
    certificate = await world.get(CERTIFICATE, DOMAIN)
    assert certificate["spec"] == {"dnsNames": [DOMAIN], "domain": DOMAIN, "secretName": DOMAIN}

    await fulfil(world, certificate)
    mapping = await world.ready(DOMAIN, resource=DOMAIN_MAPPING)

    assert mapping["status"]["url"] == f"https://{DOMAIN}"
    ingress = await world.get(INGRESS, DOMAIN)
    assert ingress["spec"]["tls"] == [{"hosts": [DOMAIN], "secretName": DOMAIN, "secretNamespace": NAMESPACE}]
    assert ingress["spec"]["httpOption"] == "Redirected"
    assert find(mapping["status"], "CertificateProvisioned")["status"] == "True"


async def fulfil(world: World, certificate: Object) -> None:
    status = {
        "observedGeneration": certificate["metadata"]["generation"],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    await world.client.update_status(CERTIFICATE, {**certificate, "status": status})
