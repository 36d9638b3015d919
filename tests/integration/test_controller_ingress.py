"""Gateways that are not Upwell's: a real controller process writes for them, and asks them what they serve.

The test plays a controller of the Gateway API, which accepts HTTPRoutes, and the gateways themselves, which read the
HTTPRoutes or VirtualServices that are there and answer probes by them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.ingress.kinds import GATEWAY, GATEWAY_API, HTTP_ROUTE, ISTIO, ISTIO_GATEWAY, VIRTUAL_SERVICE
from tests.integration.autoscaler_world import Server
from tests.integration.controller_world import NAMESPACE, World, world_fixture  # noqa: F401
from tests.waiting import eventually
from upwell.api.conditions import find
from upwell.api.objects import Object, name_of, new_object
from upwell.api.resources import CERTIFICATE, CORE_SERVICE, ENDPOINT_SLICE, INGRESS, ROUTE, SECRET, SERVICE, Resource
from upwell.api.resources import NAMESPACE as NAMESPACES
from upwell.cluster.errors import Conflict, NotFound

GATEWAYS = {"public": "external", "inside": "local"}


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, "tests.integration.foreign_kinds")
    server.start()
    yield server
    server.stop()


class Gateways:
    """One process that is all gateways: it answers probes by what it has taken over from the objects."""

    def __init__(self, world: World, resource: Resource) -> None:
        self._world = world
        self._resource = resource
        self.taken: list[Object] = []
        """What is served."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gateways"]:
        app = web.Application()
        app.router.add_get("/healthz", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        await self._world.client.create(NAMESPACES, new_object(NAMESPACES, "", "gateways"))
        for name in GATEWAYS:
            await self._list(name, port)
        try:
            yield self
        finally:
            await runner.cleanup()

    async def take(self) -> None:
        """Serve what is there now."""
        self.taken, _ = await self._world.client.list(self._resource, NAMESPACE)

    async def _list(self, name: str, port: int) -> None:
        ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
        service = new_object(CORE_SERVICE, "gateways", name, spec={"ports": ports, "selector": {"gateway": name}})
        await self._world.client.create(CORE_SERVICE, service)
        slice_ = new_object(
            ENDPOINT_SLICE,
            "gateways",
            name,
            metadata={"labels": {"kubernetes.io/service-name": name}},
            addressType="IPv4",
            ports=[{"name": "http", "port": port, "protocol": "TCP"}],
            endpoints=[{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        )
        await self._world.client.create(ENDPOINT_SLICE, slice_)

    async def _answer(self, request: web.Request) -> web.Response:
        assert request.headers["K-Network-Hash"] == "override"
        assert request.headers["K-Network-Probe"] == "probe"
        served = self._route_hash(request.host) if self._resource is HTTP_ROUTE else self._mesh_hash(request.host)
        return web.Response(headers={"K-Network-Hash": served}) if served else web.Response(status=404)

    def _route_hash(self, host: str) -> str:
        for route in self.taken:
            if host in route["spec"]["hostnames"]:
                for rule in route["spec"]["rules"]:
                    if _names(rule["matches"][0].get("headers") or ()) == {"K-Network-Hash"}:
                        return str(rule["filters"][0]["requestHeaderModifier"]["set"][0]["value"])
        return ""

    def _mesh_hash(self, host: str) -> str:
        for service in self.taken:
            for route in service["spec"]["http"]:
                match = route["match"][0]
                if host.startswith(match["authority"]["prefix"]) and "K-Network-Hash" in (match.get("headers") or {}):
                    return str(route["headers"]["request"]["set"]["K-Network-Hash"])
        return ""


def _names(headers: Iterable[dict[str, Any]]) -> set[str]:
    return {header["name"] for header in headers}


async def accept(world: World) -> list[Object]:
    """What a controller of the Gateway API says of the HTTPRoutes that are there."""
    routes, _ = await world.client.list(HTTP_ROUTE, NAMESPACE)
    for route in routes:
        generation = route["metadata"]["generation"]
        conditions = [
            {"type": kind, "status": "True", "observedGeneration": generation} for kind in ("Accepted", "ResolvedRefs")
        ]
        parents = [{"parentRef": ref, "conditions": conditions} for ref in route["spec"]["parentRefs"]]
        with suppress(Conflict, NotFound):  # what changed meanwhile is looked at the next time
            await world.client.update_status(HTTP_ROUTE, {**route, "status": {"parents": parents}})
    return routes


@asynccontextmanager
async def on_and_on(*steps: Callable[[], Awaitable[Any]]) -> AsyncIterator[None]:
    """Whoever does these steps does them for every version of an object, however soon the next one follows."""

    async def go_on() -> None:
        while True:
            for step in steps:
                await step()
            await asyncio.sleep(0.05)

    going_on = asyncio.create_task(go_on())
    try:
        yield
    finally:
        going_on.cancel()
        await asyncio.gather(going_on, return_exceptions=True)


async def children(world: World, resource: Resource, count: int) -> dict[str, Object]:
    async def look() -> list[Object]:
        found, _ = await world.client.list(resource, NAMESPACE)
        return found if len(found) == count else []

    return {name_of(one): one for one in await eventually(look)}


async def waits_for(world: World, kind: str, text: str) -> Object:
    """The Ingress, once the condition's message has the text."""

    async def look() -> Object | None:
        ingress = await world.get(INGRESS, "app")
        condition = find(ingress.get("status"), kind)
        return ingress if text in f"{condition.get('reason')} {condition.get('message')}" else None

    found = await eventually(look)
    assert found is not None
    return found


async def begin(world: World, name: str, ingress_class: str) -> None:
    await world.configure("config-network", ingress_class=ingress_class)
    await world.configure("config-domain", **{"example.com": "", "localhost": "selector: {never: matched}"})
    world.start_controller(CONTROLLER_INGRESSES=name)
    await world.apply()


async def gateway_api(world: World) -> None:
    lists = {
        f"{field}-gateways": f"[{{gateway: gateways/{name}, service: gateways/{name}}}]"
        for name, field in GATEWAYS.items()
    }
    await world.configure("config-gateway", **lists)
    await begin(world, "gateway-api", GATEWAY_API)


async def test_a_service_is_ready_when_gateways_of_the_gateway_api_accept_its_routes_and_serve_them(
    world: World,
) -> None:
    async with Gateways(world, HTTP_ROUTE).running() as gateways:
        await gateway_api(world)
        routes = await children(world, HTTP_ROUTE, 2)
        assert set(routes) == {"app.default.example.com", "app.default.svc.cluster.local"}
        await waits_for(world, "NetworkConfigured", "HTTPRouteNotReady")

        async with on_and_on(lambda: accept(world)):
            await waits_for(world, "LoadBalancerReady", "does not serve this version yet (status 404)")
            async with on_and_on(gateways.take):
                service = await world.ready()
        assert service["status"]["url"] == "http://app.default.example.com:8080"
        ingress = await world.get(INGRESS, "app")
        assert ingress["status"]["publicLoadBalancer"] == {
            "ingress": [{"domainInternal": "public.gateways.svc.cluster.local"}]
        }
        placeholder = await world.get(CORE_SERVICE, "app")
        assert placeholder["spec"]["externalName"] == "inside.gateways.svc.cluster.local"


async def test_a_new_version_is_told_ready_only_when_no_gateway_serves_the_old_one_any_more(world: World) -> None:
    async with Gateways(world, HTTP_ROUTE).running() as gateways:
        await gateway_api(world)
        async with on_and_on(lambda: accept(world)):
            async with on_and_on(gateways.take):
                await world.ready()

            await world.apply(traffic=[{"latestRevision": True, "percent": 100, "tag": "next"}])
            await children(world, HTTP_ROUTE, 4)
            await waits_for(world, "LoadBalancerReady", "does not serve this version yet")
            assert find((await world.get(ROUTE, "app"))["status"], "IngressReady")["status"] == "Unknown"

            async with on_and_on(gateways.take):
                await world.ready(generation=2)


async def test_what_is_not_needed_any_more_is_deleted_and_what_somebody_edits_comes_back(world: World) -> None:
    async with Gateways(world, HTTP_ROUTE).running() as gateways:
        await gateway_api(world)
        await world.apply(traffic=[{"latestRevision": True, "percent": 100, "tag": "next"}])

        async with on_and_on(lambda: accept(world), gateways.take):
            await children(world, HTTP_ROUTE, 4)
            await world.ready(generation=2)
            await world.apply(traffic=[{"latestRevision": True, "percent": 100}])
            left = await children(world, HTTP_ROUTE, 2)
            name, edited = next(iter(left.items()))
            wrong = {"spec": {"rules": []}, "metadata": {"labels": {"mine": "kept"}}}
            await world.client.patch(HTTP_ROUTE, name, NAMESPACE, wrong)

            async def restored() -> Object | None:
                found = await world.get(HTTP_ROUTE, name)
                return found if found["spec"] == edited["spec"] else None

            again = await eventually(restored)
            assert again is not None
            assert again["metadata"]["labels"]["mine"] == "kept"
            await world.client.delete(SERVICE, "app", NAMESPACE)


async def test_a_service_is_ready_when_gateways_of_istio_serve_its_virtual_services(world: World) -> None:
    async with Gateways(world, VIRTUAL_SERVICE).running() as gateways:
        await istio(world)
        made = await children(world, VIRTUAL_SERVICE, 2)
        assert made["app-ingress"]["spec"]["gateways"] == ["gateways/inside", "gateways/public"]
        assert made["app-mesh"]["spec"]["gateways"] == ["mesh"]
        await waits_for(world, "LoadBalancerReady", "does not serve this version yet")

        async with on_and_on(gateways.take):
            assert (await world.ready())["status"]["url"] == "http://app.default.example.com:8080"


async def test_ingresses_of_other_classes_are_left_alone(world: World) -> None:
    world.start_controller(CONTROLLER_INGRESSES="gateway-api")
    await world.apply()

    await world.ready()

    assert (await world.client.list(HTTP_ROUTE, NAMESPACE))[0] == []


async def use_listeners(world: World) -> None:
    """What an implementation says of the Gateway's listeners once it uses them."""
    found = await world.client.get(GATEWAY, "public", "gateways")
    generation = found["metadata"]["generation"]
    conditions = [
        {"type": kind, "status": "True", "observedGeneration": generation}
        for kind in ("Accepted", "Programmed", "ResolvedRefs")
    ]
    listeners = [{"name": one["name"], "conditions": conditions} for one in found["spec"]["listeners"]]
    with suppress(Conflict):
        await world.client.update_status(GATEWAY, {**found, "status": {"listeners": listeners}})


async def listener_names(world: World, count: int) -> list[str]:
    async def look() -> list[str]:
        found = await world.client.get(GATEWAY, "public", "gateways")
        names = [str(one["name"]) for one in found["spec"]["listeners"]]
        return names if len(names) == count else []

    return await eventually(look)


async def test_a_host_with_a_certificate_has_a_listener_that_goes_with_its_service(world: World) -> None:
    async with Gateways(world, HTTP_ROUTE).running() as gateways:
        spec = {"listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}
        await world.client.create(GATEWAY, new_object(GATEWAY, "gateways", "public", spec=spec))
        await world.configure(
            "config-network",
            external_domain_tls="enabled",
            http_protocol="redirected",
            certificate_class="upwell.certificate.networking.knative.dev",
        )
        await gateway_api(world)
        _, ours = await listener_names(world, 2)
        ingress = await waits_for(world, "NetworkConfigured", "ListenerNotReady")
        (secured,) = ingress["spec"]["tls"]
        async with on_and_on(lambda: use_listeners(world), lambda: accept(world), gateways.take):
            service = await world.ready()
        routes = await children(world, HTTP_ROUTE, 3)
        assert set(routes) >= {f"{host}-redirect" for host in secured["hosts"]}

        assert service["status"]["url"].startswith("https://")
        assert routes["app.default.example.com"]["spec"]["parentRefs"][0]["sectionName"] == ours
        await world.client.delete(SERVICE, "app", NAMESPACE)
        assert await listener_names(world, 1) == ["http"]


async def istio(world: World) -> None:
    lists = {
        f"{field}-gateways": f"[{{name: {name}, namespace: gateways, service: {name}.gateways.svc.cluster.local}}]"
        for name, field in GATEWAYS.items()
    }
    await world.configure("config-istio", **lists)
    await begin(world, "istio", ISTIO)


async def copies(world: World, count: int) -> list[Object]:
    """The Secrets beside the gateways."""

    async def look() -> tuple[list[Object]] | None:
        found, _ = await world.client.list(SECRET, "gateways")
        return (found,) if len(found) == count else None

    found = await eventually(look)
    assert found is not None
    return found[0]


async def test_a_certificate_is_carried_over_to_gateways_of_istio_and_goes_with_its_service(world: World) -> None:
    async with Gateways(world, VIRTUAL_SERVICE).running() as gateways:
        await world.configure(
            "config-network",
            external_domain_tls="enabled",
            http_protocol="redirected",
            certificate_class="upwell.certificate.networking.knative.dev",
        )
        await istio(world)
        ((name, own),) = (await children(world, ISTIO_GATEWAY, 1)).items()

        async def refers() -> bool:
            made = await children(world, VIRTUAL_SERVICE, 2)
            return f"{NAMESPACE}/{name}" in made["app-ingress"]["spec"]["gateways"]

        await eventually(refers)
        async with on_and_on(gateways.take):
            service = await world.ready()

        assert service["status"]["url"].startswith("https://")
        (copy,) = await copies(world, 1)
        assert own["spec"]["selector"] == {"gateway": "public"}
        secured, redirect = own["spec"]["servers"]
        assert secured["tls"]["credentialName"] == name_of(copy)
        assert redirect["tls"] == {"httpsRedirect": True}
        (entry,) = (await world.get(INGRESS, "app"))["spec"]["tls"]
        original = await world.get(SECRET, entry["secretName"])
        assert original["data"] == copy["data"]

        await world.client.delete(SECRET, entry["secretName"], NAMESPACE)
        ((certificate, _),) = (await children(world, CERTIFICATE, 1)).items()
        await world.client.patch(CERTIFICATE, certificate, NAMESPACE, {"metadata": {"labels": {"look": "again"}}})

        async def renewed() -> bool:
            (found,) = await copies(world, 1)
            return bool(found["data"] != copy["data"])

        await eventually(renewed)
        await world.client.delete(ISTIO_GATEWAY, name, NAMESPACE)
        assert (await children(world, ISTIO_GATEWAY, 1))[name]["spec"] == own["spec"]
        await world.client.delete(SERVICE, "app", NAMESPACE)
        await copies(world, 0)
        await gone(world, VIRTUAL_SERVICE)
        await gone(world, ISTIO_GATEWAY)


async def gone(world: World, resource: Resource) -> None:
    async def look() -> bool:
        return (await world.client.list(resource, NAMESPACE))[0] == []

    await eventually(look)


async def test_splits_tags_and_visibility_reach_gateways_of_istio(world: World) -> None:
    async with Gateways(world, VIRTUAL_SERVICE).running() as gateways:
        await istio(world)
        async with on_and_on(gateways.take):
            await world.ready()

        traffic = [{"revisionName": "app-00001", "percent": 70, "tag": "old"}, {"latestRevision": True, "percent": 30}]
        await world.apply(traffic=traffic, command="two")

        async def split() -> Object | None:
            found = (await children(world, VIRTUAL_SERVICE, 2))["app-ingress"]
            weights = {tuple(one["weight"] for one in route["route"]) for route in found["spec"]["http"]}
            return found if (70, 30) in weights else None

        found = await eventually(split)
        assert found is not None
        async with on_and_on(gateways.take):
            await world.ready(generation=2)
        hosts = found["spec"]["hosts"]
        assert {"app.default.example.com", "old-app.default.example.com", "app.default", "old-app.default"} <= set(
            hosts
        )
        for route in found["spec"]["http"]:
            for match in route["match"]:
                public = match["authority"]["prefix"].endswith("example.com")
                assert match["gateways"] == ["gateways/public" if public else "gateways/inside"]
