"""The webhook over real TLS: replicas without a leader share a certificate, renew it while serving, and are trusted."""

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from controller.webhook.keeper import CONFIGURATIONS, DEFINITION, SECRET_NAME
from controller.webhook.reviews import Reviews
from controller.webhook.server import Webhook
from controller.webhook.trials import PodTrials
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.controller.ingress.ingresses import settings
from tests.unit.controller.objects import SIDECAR
from upwell.api.admission import admit
from upwell.api.crds import definition
from upwell.api.objects import Object, new_object
from upwell.api.resources import ROUTE, SECRET, SERVICE
from upwell.clock import FakeClock
from upwell.cluster.errors import Unavailable

NAMESPACE = "knative-serving"
NAME = "webhook.knative-serving.svc"
CLIENT_CONFIG = {"service": {"name": "webhook", "namespace": NAMESPACE}}


class World:
    """An API server, two replicas of the webhook, and what the API server does with them."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeClock(time.time())
        self.replicas = [self._replica(), self._replica()]
        for resource, name in CONFIGURATIONS:
            webhooks = [{"name": name, "clientConfig": dict(CLIENT_CONFIG)}]
            self.api.put(resource, new_object(resource, "", name, webhooks=webhooks))

    def _replica(self) -> Webhook:
        reviews = Reviews(lambda _: {}, "cluster.local")
        return Webhook(
            self.api,
            reviews,
            PodTrials(self.api, settings(deployment={"queue-sidecar-image": SIDECAR}), NAMESPACE),
            self.clock,
            namespace=NAMESPACE,
            cluster_domain="cluster.local",
            conversion=True,
            address=("127.0.0.1", 0),
        )

    async def listen(self) -> None:
        deadline = time.monotonic() + 10
        while not all(replica.listening for replica in self.replicas):
            assert time.monotonic() < deadline
            await self.clock.advance(1)
            await asyncio.sleep(0.01)

    def bundles(self) -> set[str]:
        """What the API server trusts, of all configurations."""
        kinds = {resource for resource, _ in CONFIGURATIONS}
        objects = [obj for (resource, _), obj in self.api.objects.items() if resource in kinds]
        return {webhook["clientConfig"].get("caBundle", "") for obj in objects for webhook in obj["webhooks"]}

    def secret(self) -> Object:
        return next(obj for (resource, _), obj in self.api.objects.items() if resource is SECRET)

    async def ask(self, replica: Webhook, path: str, body: Any) -> tuple[int, Any]:
        """As the API server does: by the Service's name, trusting the caBundle alone; status and answer."""
        url = f"https://127.0.0.1:{replica.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json=body, ssl=self._trust(), server_hostname=NAME) as response,
        ):
            return response.status, await (response.json() if response.status == 200 else response.text())

    async def shown(self, replica: Webhook) -> bytes:
        """The certificate that a new connection gets."""
        _, writer = await asyncio.open_connection("127.0.0.1", replica.port, ssl=self._trust(), server_hostname=NAME)
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return certificate

    def _trust(self) -> ssl.SSLContext:
        (bundle,) = self.bundles()
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    tasks = [
        asyncio.create_task(work)
        for replica in world.replicas
        for work in (replica.serve(), replica.keep_certificates())
    ]
    try:
        await world.listen()
        yield world
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def review(**fields: Any) -> Object:
    obj = new_object(SERVICE, "default", "app", spec={"template": {"spec": {"containers": [{"image": "a:1"}]}}})
    kind = {"group": SERVICE.group, "version": SERVICE.version, "resource": SERVICE.plural}
    request = {"uid": "u", "operation": "CREATE", "resource": kind, "object": obj, **fields}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


async def test_every_replica_serves_the_same_certificate_and_the_api_server_trusts_it() -> None:
    async with running() as world:
        answers = [await world.ask(replica, "/defaulting", review()) for replica in world.replicas]

        assert [(status, answer["response"]["allowed"]) for status, answer in answers] == [(200, True)] * 2
        assert len({await world.shown(replica) for replica in world.replicas}) == 1
        assert set(world.secret()["data"]) == {"ca-cert.pem", "ca-key.pem", "server-cert.pem", "server-key.pem"}


async def test_a_certificate_that_was_renewed_is_served_without_a_new_start_and_trusted_as_before() -> None:
    async with running() as world:
        before = await world.shown(world.replicas[0])
        bundles = world.bundles()
        spoiled = world.secret()
        world.api.put(SECRET, {**spoiled, "data": {**spoiled["data"], "server-cert.pem": ""}})

        await world.clock.advance(150)

        after = {await world.shown(replica) for replica in world.replicas}
        assert len(after) == 1
        assert before not in after
        assert world.bundles() == bundles


async def test_a_configuration_that_lost_its_bundle_gets_it_again() -> None:
    async with running() as world:
        resource, name = CONFIGURATIONS[0]
        webhooks = [{"name": name, "clientConfig": dict(CLIENT_CONFIG)}]
        world.api.put(resource, new_object(resource, "", name, webhooks=webhooks))
        assert len(world.bundles()) == 2

        await world.clock.advance(150)

        assert len(world.bundles()) == 1


async def test_a_definition_with_old_versions_is_converted_and_trusts_the_same_authority() -> None:
    async with running() as world:
        served = definition(SERVICE, old_versions_in=NAMESPACE)
        foreign = definition(ROUTE, old_versions_in="elsewhere")
        for one in (served, foreign):
            world.api.put(DEFINITION, one)
        await world.clock.advance(150)
        bundles = [
            obj["spec"]["conversion"]["webhook"]["clientConfig"].get("caBundle")
            for (resource, _), obj in world.api.objects.items()
            if resource == DEFINITION
        ]
        old = {"apiVersion": "serving.knative.dev/v1alpha1", "kind": "Service", "metadata": {"name": "a"}}
        request = {
            "uid": "c",
            "desiredAPIVersion": "serving.knative.dev/v1",
            "objects": [{**old, "spec": {"runLatest": {}}}],
        }

        _, answer = await world.ask(world.replicas[1], "/resource-conversion", {"request": request})

        assert bundles == [*world.bundles(), None]
        assert answer["response"]["convertedObjects"][0]["spec"]["traffic"] == [
            {"latestRevision": True, "percent": 100}
        ]


async def test_while_the_api_server_is_away_the_webhook_goes_on() -> None:
    async with running() as world:
        world.api.fail = Unavailable(0, "NoConnection", "away")
        await world.clock.advance(600)
        assert (await world.ask(world.replicas[0], "/defaulting", review()))[0] == 200

        world.api.fail = None
        secret = world.secret()
        world.api.remove(SECRET, NAMESPACE, SECRET_NAME)
        await world.clock.advance(150)

        assert world.secret()["data"] != secret["data"]
        assert (await world.ask(world.replicas[1], "/defaulting", review()))[0] == 200


async def test_rubbish_and_other_paths_are_refused() -> None:
    async with running() as world:
        (first, _) = world.replicas

        assert (await world.ask(first, "/defaulting", ["no review"]))[0] == 400
        assert (await world.ask(first, "/nothing", {}))[0] == 404


async def test_whom_the_api_server_does_not_trust_it_does_not_talk_to() -> None:
    async with running() as world:
        stranger = ssl.create_default_context()
        async with aiohttp.ClientSession() as session:
            url = f"https://127.0.0.1:{world.replicas[0].port}/defaulting"
            try:
                await session.post(url, json=review(), ssl=stranger, server_hostname=NAME)
            except aiohttp.ClientConnectorCertificateError as error:
                refused = str(error)

        assert "certificate verify failed" in refused


async def test_a_dry_run_tries_a_pod() -> None:
    async with running() as world:
        for replica in world.replicas:
            asked = review(dryRun=True, namespace="default")
            asked["request"]["object"] = admit(SERVICE, asked["request"]["object"], None, lambda _: {})
            status, answer = await world.ask(replica, "/resource-validation", asked)
            assert (status, answer["response"]["allowed"]) == (200, True)

        assert [pod["spec"]["containers"][0]["image"] for pod in world.api.tried] == ["a:1", "a:1"]
