"""The ways from an activator to pods: past a mesh and back, and encrypted, with settings that change while it runs."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from tests.integration.activator_world import (
    NAMESPACE,
    FakePod,
    World,
    api_server_fixture,
    endpoint_slice,
    free_ports,
    world_fixture,
)
from tests.integration.sidecar import app, sidecar
from tests.integration.test_http2_grpc import Echo
from tests.unit.tls.certificates import Authority
from tests.waiting import eventually
from upwell.api import names
from upwell.api.objects import Object, mutable, new_object
from upwell.api.resources import CONFIG_MAP, CORE_SERVICE, ENDPOINT_SLICE, SECRET
from upwell.cluster.errors import NotFound

__all__ = ["api_server_fixture", "world_fixture"]

NETWORK = "config-network"
CERTIFICATES = "routing-serving-certs"
COMMON = "data-plane.knative.dev"


@pytest.fixture(scope="module", name="authority")
def authority_fixture(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("network") / "authority")


@contextlib.asynccontextmanager
async def system_object(world: World, obj: Object, resource: Any) -> AsyncIterator[None]:
    """An object in the system namespace, as long as the block lasts."""
    await world.client.create(resource, obj)
    try:
        yield
    finally:
        with contextlib.suppress(NotFound):
            await world.client.delete(resource, obj["metadata"]["name"], names.SYSTEM_NAMESPACE)


def network(**data: str) -> Object:
    settings = {key.replace("_", "-"): value for key, value in data.items()}
    return new_object(CONFIG_MAP, names.SYSTEM_NAMESPACE, NETWORK, data=settings)


def secret_of(authority: Authority, label: str, *dns_names: str) -> Object:
    certificate, key = authority.sign(label, *dns_names)
    contents = {"tls.crt": certificate.read_bytes(), "tls.key": key.read_bytes(), "ca.crt": authority.pem.encode()}
    data = {name: base64.b64encode(content).decode() for name, content in contents.items()}
    return new_object(SECRET, names.SYSTEM_NAMESPACE, CERTIFICATES, data=data)


async def add_service(world: World, revision: str, port: int, https: int = 443) -> None:
    """The revision's private Service, at whose address something listens here."""
    ports = [{"name": "http", "port": port}, {"name": "https", "port": https}]
    labels = {names.LABEL_SKS: revision, names.LABEL_SERVICE_TYPE: names.SERVICE_TYPE_PRIVATE}
    service = new_object(
        CORE_SERVICE,
        NAMESPACE,
        f"{revision}-private",
        metadata={"labels": labels},
        spec={"clusterIP": "127.0.0.1", "ports": ports, "selector": {"app": revision}},
    )
    await world.client.create(CORE_SERVICE, service)


async def test_requests_go_to_the_cluster_ip_while_pods_are_out_of_reach_and_back_when_they_are_not(
    world: World,
) -> None:
    (hidden,) = free_ports(1)
    behind = await FakePod(ours=False, ready=True).listen()
    world.closers.append(behind.close)
    await world.add_revision("mesh")
    await add_service(world, "mesh", behind.port)
    await world.add_endpoint(NAMESPACE, "mesh-private", "hidden", {"http": hidden}, ready=True)
    await world.start_activator(ACTIVATOR_RECHECK_SECONDS="0.3")

    first = await world.ask("mesh")
    pod = await FakePod(ready=True).listen(hidden)
    world.closers.append(pod.close)

    assert first.headers["Served-By"] == str(behind.port)
    async with asyncio.timeout(10):
        while (reply := await world.ask("mesh")).headers["Served-By"] == str(behind.port):
            assert reply.status == 200
            await asyncio.sleep(0.05)
    assert reply.status == 200


async def test_a_mesh_mode_that_is_switched_on_takes_effect_at_once(world: World) -> None:
    direct, behind = [await FakePod(ready=True).listen() for _ in range(2)]
    world.closers.append(behind.close)
    await world.add_revision("switched")
    await add_service(world, "switched", behind.port)
    await world.add_pod("switched", direct, ready=True)
    await world.start_activator()
    assert (await world.ask("switched")).headers["Served-By"] == str(direct.port)

    async with system_object(world, network(mesh_compatibility_mode="enabled"), CONFIG_MAP):
        await eventually(
            lambda: world.ask("switched"), lambda found: found.headers["Served-By"] != str(direct.port), seconds=10
        )
        await world.client.delete(CONFIG_MAP, NETWORK, names.SYSTEM_NAMESPACE)
        await eventually(
            lambda: world.ask("switched"), lambda found: found.headers["Served-By"] != str(behind.port), seconds=10
        )


async def test_through_a_mesh_that_passes_on_to_pods_requests_and_probes_carry_the_name(world: World) -> None:
    pod = await FakePod(ready=True).listen()
    await world.add_revision("passed")
    await world.add_pod("passed", pod, ready=True)
    async with system_object(world, network(enable_mesh_pod_addressability="true"), CONFIG_MAP):
        await world.start_activator()
        await world.ask("passed")

    assert pod.seen[0]["Host"] == f"passed-private.{NAMESPACE}"
    assert pod.seen[0]["K-Passthrough-Lb"] == "true"


async def test_sidecars_are_spoken_to_in_tls_and_only_if_they_are_who_they_should_be(
    world: World, authority: Authority, tmp_path: Path
) -> None:
    certs = tmp_path / "certs"
    certs.mkdir()

    def give(*dns_names: str) -> None:
        for source, name in zip(authority.sign("sidecar", *dns_names), ("tls.crt", "tls.key"), strict=True):
            (certs / name).write_bytes(source.read_bytes())

    give(COMMON, f"kn-user-{NAMESPACE}")
    await world.add_revision("secret")
    async with (
        app() as running,
        sidecar(running.port, UPWELL_CERTS_DIR=str(certs)) as proxy,
        system_object(world, secret_of(authority, "activator", COMMON), SECRET),
    ):
        ports = {"http": proxy.ports[8012], "https": proxy.ports[8112]}
        await world.client.create(ENDPOINT_SLICE, endpoint_slice(NAMESPACE, "secret-private", "tls", ports, ready=True))
        await world.start_activator(MAX_IDLE_PROXY_CONNS_PER_HOST="0")
        assert (await world.ask("secret", "/clear")).status == 200

        async with system_object(world, network(system_internal_tls="enabled"), CONFIG_MAP):
            await until_serving_tls(world, authority)
            assert (await world.ask("secret", "/encrypted")).text == "ok"
            assert await ask_with_tls(world, authority, "secret") == 200
            # What is in the clear gets to the sidecar's other port only; shut it, and TLS is what is left.
            give(COMMON, "kn-user-somebody-else")
            await eventually(lambda: any("were reloaded" in line for line in proxy.lines))
            refused = await world.ask("secret")

    assert refused.status == 502
    assert f'san "kn-user-{NAMESPACE}" does not have a matching name' in refused.text
    assert refused.headers[names.HEADER_ERROR] == "activator; reason=tls; unsent"


async def test_a_new_certificate_is_served_to_new_connections(world: World, authority: Authority) -> None:
    async with (
        system_object(world, secret_of(authority, "first", COMMON, "first.test"), SECRET),
        system_object(world, network(system_internal_tls="enabled"), CONFIG_MAP),
    ):
        await world.start_activator()
        await until_serving_tls(world, authority)
        assert "first.test" in await names_served(world, authority)

        stored = mutable(await world.client.get(SECRET, CERTIFICATES, names.SYSTEM_NAMESPACE))
        stored["data"] = secret_of(authority, "second", COMMON, "second.test")["data"]
        await world.client.update(SECRET, stored)

        await eventually(lambda: names_served(world, authority), lambda found: "second.test" in found, seconds=10)


@pytest.mark.parametrize("tls", [False, True], ids=["in the clear", "encrypted"])
async def test_grpc_passes_to_a_sidecar_as_grpc(world: World, authority: Authority, tmp_path: Path, tls: bool) -> None:
    for source, name in zip(
        authority.sign("grpc", COMMON, f"kn-user-{NAMESPACE}"), ("tls.crt", "tls.key"), strict=True
    ):
        (tmp_path / name).write_bytes(source.read_bytes())
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    container = {"image": "upwell.local/app", "ports": [{"containerPort": 8080, "name": "h2c"}]}
    await world.add_revision("grpc", containers=[container])
    settings = network(system_internal_tls="enabled" if tls else "disabled")
    async with (
        sidecar(port, UPWELL_CERTS_DIR=str(tmp_path)) as proxy,
        system_object(world, secret_of(authority, "activator", COMMON), SECRET),
        system_object(world, settings, CONFIG_MAP),
    ):
        ports = {"http2": proxy.ports[8012], "https": proxy.ports[8112]}
        await world.client.create(ENDPOINT_SLICE, endpoint_slice(NAMESPACE, "grpc-private", "a", ports, ready=True))
        await world.start_activator()
        target = f"127.0.0.1:{world.ports[8013]}"
        metadata = (("knative-serving-namespace", NAMESPACE), ("knative-serving-revision", "grpc"))
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            call = channel.unary_unary("/t.Echo/Unary")
            answers = await asyncio.gather(*(call(b"%d" % number, metadata=metadata) for number in range(20)))
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await channel.unary_unary("/t.Echo/Fail")(b"", metadata=metadata)
    await server.stop(None)

    assert answers == [b"%d" % number for number in range(20)]
    assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_the_log_level_is_that_of_its_config_map(world: World) -> None:
    quiet = new_object(CONFIG_MAP, names.SYSTEM_NAMESPACE, "config-logging", data={"loglevel.activator": "error"})
    async with system_object(world, quiet, CONFIG_MAP):
        await world.start_activator()
        await world.stop_activator()

    assert "INFO" not in world.log.read_text().partition("stopping")[0]
    assert '"drained"' not in world.log.read_text()


def tls_to(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    return context


async def until_serving_tls(world: World, authority: Authority) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                await names_served(world, authority)
                return
            await asyncio.sleep(0.02)


async def names_served(world: World, authority: Authority) -> list[str]:
    """The names in the certificate that a new connection to the activator gets."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", world.ports[8112], ssl=tls_to(authority), server_hostname=COMMON
    )
    certificate = writer.get_extra_info("peercert")
    writer.transport.abort()
    return [name for _, name in certificate["subjectAltName"]]


async def ask_with_tls(world: World, authority: Authority, revision: str) -> int:
    async with world.session.get(
        f"https://127.0.0.1:{world.ports[8112]}/",
        headers={names.HEADER_NAMESPACE: NAMESPACE, names.HEADER_REVISION: revision},
        ssl=tls_to(authority),
        server_hostname=COMMON,
    ) as response:
        return response.status
