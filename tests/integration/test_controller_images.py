"""Tags become digests: over real connections to a registry, and in a running controller."""

import asyncio
import base64
import json

import pytest

from controller.images.credentials import ANONYMOUS, Credentials
from controller.images.registry import Registry, RegistryError
from controller.images.resolver import DigestResolver
from tests.integration.autoscaler_world import server_fixture  # noqa: F401  # the API server
from tests.integration.controller_world import NAMESPACE, World, world_fixture  # noqa: F401
from tests.integration.fake_registry import DIGEST, PASSWORD, USER, FakeRegistry
from tests.unit.cluster.fake_api import FakeApi
from tests.waiting import eventually
from upwell.api.image_reference import ImageReference, parse_image_reference
from upwell.api.objects import Key, new_object
from upwell.api.resources import CONFIG_MAP, DEPLOYMENT, IMAGE, REVISION, SECRET, SERVICE
from upwell.clock import SystemClock
from upwell.cluster.runtime import running

ROBOT = Credentials(USER, PASSWORD)


async def resolve(registry: FakeRegistry, credentials: Credentials = ANONYMOUS, tag: str = "1", wait: float = 5) -> str:
    async with Registry() as asked:
        return await asked.digest(ImageReference(registry.host, "team/app", tag), credentials, "agent/1", wait)


@pytest.mark.parametrize(("auth", "credentials"), [("", ANONYMOUS), ("basic", ROBOT), ("bearer", ROBOT)])
async def test_a_tag_is_resolved_with_whatever_the_registry_asks_for(auth: str, credentials: Credentials) -> None:
    async with FakeRegistry(auth).serve() as registry:
        assert await resolve(registry, credentials) == DIGEST

    assert registry.agents == {"agent/1"}
    assert registry.scopes == (["repository:team/app:pull"] if auth == "bearer" else [])


@pytest.mark.parametrize(("tells_digest", "knows_head"), [(False, True), (True, False)])
async def test_a_registry_that_tells_no_digest_is_asked_for_the_manifest(tells_digest: bool, knows_head: bool) -> None:
    async with FakeRegistry().serve() as registry:
        registry.tells_digest, registry.knows_head = tells_digest, knows_head
        assert await resolve(registry) == DIGEST


@pytest.mark.parametrize(
    ("auth", "credentials", "tag", "error"),
    [
        ("", ANONYMOUS, "2", "manifests/2: unexpected status code 404 Not Found"),
        ("basic", ANONYMOUS, "1", "asks for a name and a password, and no pull secret has them"),
        ("basic", Credentials(USER, "wrong"), "1", "unexpected status code 401 Unauthorized"),
        ("bearer", ANONYMOUS, "1", "/token: unexpected status code 401 Unauthorized"),
    ],
)
async def test_a_refusal_says_what_was_asked_and_answered(
    auth: str, credentials: Credentials, tag: str, error: str
) -> None:
    async with FakeRegistry(auth).serve() as registry:
        with pytest.raises(RegistryError, match=error):
            await resolve(registry, credentials, tag)


async def test_a_registry_that_hangs_or_is_away_is_given_up() -> None:
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(0), "127.0.0.1", 0)
    registry = FakeRegistry()
    registry.host = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    async with silent:
        with pytest.raises(RegistryError, match=r"did not answer within 0\.1s"):
            await resolve(registry, wait=0.1)
    with pytest.raises(RegistryError, match="cannot reach 127"):
        await resolve(registry)


async def test_many_revisions_of_one_image_are_one_request_at_its_registry() -> None:
    api, woken = FakeApi(), set[Key]()
    async with FakeRegistry().serve() as registry:
        resolver = DigestResolver(Registry(), api.get, woken.add, SystemClock())
        image = f"{registry.host}/team/app:1"
        revisions = [
            new_object(REVISION, NAMESPACE, f"app-{number:05d}", spec={"containers": [{"image": image}]})
            for number in range(300)
        ]
        async with running({"resolver": resolver.run()}):
            for revision in revisions:
                resolver.ask(revision, (), 10.0)
            await eventually(lambda: len(woken) == len(revisions))

        assert registry.heads == 1
        pinned = {image: f"{registry.host}/team/app@{DIGEST}"}
        assert all(resolver.ask(revision, (), 10.0) == pinned for revision in revisions)


async def test_a_private_image_is_pinned_once_its_registry_answers(world: World) -> None:
    await world.client.patch(
        CONFIG_MAP,
        "config-deployment",
        "knative-serving",
        {"data": {"registries-skipping-tag-resolving": "kind.local"}},
    )
    async with FakeRegistry("bearer").serve() as registry:
        registry.broken_for = 2
        login = {"auths": {registry.host: {"username": USER, "password": PASSWORD}}}
        data = {".dockerconfigjson": base64.b64encode(json.dumps(login).encode()).decode()}
        kind = "kubernetes.io/dockerconfigjson"
        await world.client.create(SECRET, new_object(SECRET, NAMESPACE, "pull", type=kind, data=data))
        image = f"{registry.host}/team/app:1"
        pod = {"containers": [{"image": image}], "imagePullSecrets": [{"name": "pull"}]}
        world.start_controller()
        await world.client.create(SERVICE, new_object(SERVICE, NAMESPACE, "app", spec={"template": {"spec": pod}}))

        failed = await world.condition(REVISION, "app-00001", "ContainerHealthy", "ContainerMissing")
        ready = next(one for one in failed["status"]["conditions"] if one["type"] == "Ready")
        assert ready["message"].startswith(f'Unable to fetch image "{image}": failed to resolve image to digest: HEAD ')

        await world.ready()
        pinned = f"{registry.host}/team/app@{DIGEST}"
        revision = await world.get(REVISION, "app-00001")
        assert revision["status"]["containerStatuses"] == [{"name": "user-container", "imageDigest": pinned}]
        deployment = await world.get(DEPLOYMENT, "app-00001-deployment")
        containers = deployment["spec"]["template"]["spec"]["containers"]
        assert [one["image"] for one in containers if one["name"] == "user-container"] == [pinned]
        cached = await world.get(IMAGE, "app-00001-cache-user-container")
        assert cached["spec"] == {"image": pinned, "imagePullSecrets": [{"name": "pull"}]}
        assert registry.agents == {"knative/app-00001 (serving)"}


def test_names_of_images_are_spelled_out() -> None:
    assert parse_image_reference("hello") == ImageReference("index.docker.io", "library/hello", "latest")
    assert parse_image_reference("me/hello:2") == ImageReference("index.docker.io", "me/hello", "2")
    assert parse_image_reference("localhost:5000/a/b") == ImageReference("localhost:5000", "a/b", "latest")
