"""The gateway to activators and sidecars that speak TLS: whom it trusts, and what its clients see when it does not."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from tests.integration.gateway_world import World, world
from tests.unit.gateway.builders import ingress, path, rule, service, slices, split
from tests.waiting import eventually
from upwell.api.objects import new_object
from upwell.api.resources import CONFIG_MAP, CORE_SERVICE, ENDPOINT_SLICE
from upwell.cluster.errors import NotFound
from upwell.tls.bundles import DATA_PLANE, TRUST_BUNDLES
from upwell.tls.memory import as_files
from upwell.tls.signing import Authority, key_pem, new_authority, new_leaf, pem

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SYSTEM = "knative-serving"


@contextmanager
def serving_context(authority: Authority, *names: str) -> Iterator[ssl.SSLContext]:
    certificate, key = new_leaf(names, authority, NOW, DAY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with as_files(pem([certificate]), key_pem(key)) as files:
        context.load_cert_chain(*files)
    yield context


@asynccontextmanager
async def sidecar(here: World, name: str, authority: Authority, *names: str) -> AsyncIterator[None]:
    """An app behind a port that is named https, and a host of the same name that leads there."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"name": name, "host": request.host})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    with serving_context(authority, *(names or (DATA_PLANE, "kn-user-default"))) as context:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    await here.apply(CORE_SERVICE, service(name, http=80, https=443))
    for one in slices(name, f"127.0.0.1:{port}", port="https"):
        await here.apply(ENDPOINT_SLICE, one)
    await here.route(ingress(name, rule(f"{name}.example.com", paths=[path(split(name, port=443))])))
    try:
        yield
    finally:
        await runner.cleanup()


async def trust(here: World, *authorities: Authority) -> None:
    """Make this the only bundle."""
    content = {"ca.crt": "".join(pem([authority[0]]).decode() for authority in authorities)}
    metadata = {"labels": {TRUST_BUNDLES: "true"}}
    bundle = new_object(CONFIG_MAP, SYSTEM, "upwell-trust-bundle", metadata=metadata, data=content)
    try:
        await here.client.patch(CONFIG_MAP, "upwell-trust-bundle", SYSTEM, {"data": content})
    except NotFound:
        await here.client.create(CONFIG_MAP, bundle)


async def answers(here: World, name: str, status: int, text: str = "") -> None:
    """Wait until the host answers so."""

    async def look() -> bool:
        found, content, _ = await here.get(f"{name}.example.com")
        return found == status and text in str(content)

    await eventually(look)


async def test_a_backend_that_speaks_tls_is_reached_once_its_authority_is_trusted(tmp_path: Path) -> None:
    authority, renewed = new_authority("one", NOW, DAY), new_authority("two", NOW, DAY)
    async with world(tmp_path) as here, sidecar(here, "app", authority):
        await answers(here, "app", 502, "no authority is known that could have signed its certificate")

        await trust(here, authority)

        await answers(here, "app", 200, "app.example.com")
        async with sidecar(here, "later", renewed):
            await answers(here, "later", 502, "tls")
            await trust(here, authority, renewed)
            await answers(here, "later", 200)
            await answers(here, "app", 200)


async def test_somebody_with_another_name_is_not_taken_for_a_sidecar(tmp_path: Path) -> None:
    authority = new_authority("one", NOW, DAY)
    async with world(tmp_path) as here, sidecar(here, "app", authority, "elsewhere.example.com"):
        await trust(here, authority)

        await answers(here, "app", 502, "tls")
        assert here.gateway.process.poll() is None


async def test_a_sidecar_of_another_namespace_is_refused_and_an_activator_is_not(tmp_path: Path) -> None:
    authority = new_authority("one", NOW, DAY)
    async with world(tmp_path) as here:
        await trust(here, authority)
        async with (
            sidecar(here, "thief", authority, DATA_PLANE, "kn-user-other"),
            sidecar(here, "activator", authority, DATA_PLANE, "kn-routing"),
        ):
            await answers(here, "activator", 200)
            await answers(here, "thief", 502, "does not have a matching name")


async def test_a_bundle_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    authority = new_authority("one", NOW, DAY)
    async with world(tmp_path) as here, sidecar(here, "app", authority):
        await trust(here, authority)
        await answers(here, "app", 200)

        broken = {"data": {"ca.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}}
        await here.client.patch(CONFIG_MAP, "upwell-trust-bundle", SYSTEM, broken)

        await eventually(lambda: "authorities cannot be used" in here.gateway.errors.read_text())
        await answers(here, "app", 200)
