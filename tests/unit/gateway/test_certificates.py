"""Certificates in Secrets: what is amiss is told once, shows in the metrics, and is forgotten with its host."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from gateway.certificates import Certificates
from gateway.routes import Routes
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.gateway.builders import simple
from upwell.api.names import INGRESS_CLASS
from upwell.api.objects import Key, Object, new_object
from upwell.api.resources import INGRESS, SECRET
from upwell.clock import FakeClock
from upwell.cluster.informer import Informer
from upwell.cluster.runtime import running
from upwell.telemetry.metrics import Registry
from upwell.tls.settings import TlsOptions
from upwell.tls.signing import key_pem, new_authority, new_leaf, pem

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
AUTHORITY = new_authority("test", NOW, DAY)


class Greeting:
    """A client's, up to the certificate."""

    context: Any = None


class Story:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeClock()
        self.registry = Registry()
        self.ingresses = Informer(self.api, INGRESS, clock=self.clock)
        self.routes = Routes(self.ingresses, INGRESS_CLASS, self.clock)
        self.certificates = Certificates(self.api, self.routes, TlsOptions(), None, self.registry)

    async def secret(self, name: str, *hosts: str) -> None:
        """With a certificate for `hosts`, or with rubbish."""
        contents = {"tls.crt": b"rubbish", "tls.key": b"rubbish"}
        if hosts:
            certificate, key = new_leaf(hosts, AUTHORITY, NOW, DAY)
            contents = {"tls.crt": pem([certificate]), "tls.key": key_pem(key)}
        data = {entry: base64.b64encode(content).decode() for entry, content in contents.items()}
        self.api.put(SECRET, new_object(SECRET, "default", name, type="kubernetes.io/tls", data=data))
        await self.clock.advance(1)

    async def route(self, host: str, secret: str, generation: int = 1) -> None:
        obj: Object = simple("route", host, "app", generation=generation)
        obj["spec"]["tls"] = [{"hosts": [host], "secretNamespace": "default", "secretName": secret}]
        self.api.put(INGRESS, obj)
        await self.clock.advance(1)

    def greeted(self, host: str | None) -> bool:
        """Whether a client of `host` is shown a certificate."""
        greeting = Greeting()
        answer = self.certificates._greeted(cast("Any", greeting), host, self.certificates.context)
        return answer is None and greeting.context is not None

    def metric(self, name: str) -> str | None:
        lines = self.registry.render().decode().splitlines()
        return next((line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")), None)


class Notes:
    """What was logged as amiss, in short."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._told: list[str] = []

    @property
    def told(self) -> list[str]:
        lines = [json.loads(line) for line in self._capsys.readouterr().err.splitlines()]
        self._told += [line["message"] for line in lines if line["severity"] == "WARNING"]
        return self._told


@pytest.fixture
def notes(capsys: pytest.CaptureFixture[str]) -> Notes:
    return Notes(capsys)


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    story = Story()
    async with running({"ingresses": story.ingresses.run(), "secrets": story.certificates.secrets.run()}):
        await story.clock.advance(0)
        story.certificates.follow()
        yield story


EXPIRY = 'upwell_gateway_certificate_expiry_seconds{namespace="default",secret="cert"}'


async def test_a_secret_that_is_missing_is_told_once_and_counted_until_it_is_there(story: Story, notes: Notes) -> None:
    await story.route("a.example", "cert")
    assert not story.greeted("a.example")
    assert not story.greeted("a.example")

    assert len([note for note in notes.told if "is missing" in note]) == 1
    assert story.metric("upwell_gateway_certificates_unusable") in ("1", "1.0")
    assert story.metric('upwell_gateway_tls_refused_total{reason="secret-missing"}') in ("2", "2.0")

    await story.secret("cert", "a.example")
    assert story.greeted("a.example")
    assert story.metric("upwell_gateway_certificates_unusable") in ("0", "0.0")


async def test_a_secret_that_is_broken_is_told_before_any_client_comes_and_again_when_it_changes(
    story: Story, notes: Notes
) -> None:
    await story.secret("cert")
    assert notes.told == []

    await story.route("a.example", "cert")
    assert len(notes.told) == 1
    assert not story.greeted("a.example")
    assert len(notes.told) == 1
    assert story.metric('upwell_gateway_tls_refused_total{reason="secret-unusable"}') in ("1", "1.0")

    await story.secret("cert")
    assert len(notes.told) == 2


async def test_a_secret_that_is_deleted_is_told_and_its_certificate_stays(story: Story, notes: Notes) -> None:
    await story.secret("cert", "a.example")
    await story.route("a.example", "cert")

    story.api.remove(SECRET, "default", "cert")
    await story.clock.advance(1)

    assert len(notes.told) == 1
    assert story.greeted("a.example")
    assert story.metric("upwell_gateway_certificates_unusable") in ("1", "1.0")


async def test_a_certificate_is_forgotten_with_the_last_host_that_asks_for_it(story: Story) -> None:
    await story.secret("cert", "a.example")
    await story.secret("other", "a.example")
    await story.route("a.example", "cert")
    assert story.greeted("a.example")
    assert story.metric(EXPIRY) is not None

    await story.route("a.example", "other", generation=2)
    assert story.metric(EXPIRY) is None
    assert story.greeted("a.example")

    story.api.remove(INGRESS, "default", "route")
    await story.clock.advance(1)
    assert EXPIRY.partition("{")[0] + "{" not in story.registry.render().decode()
    assert (story.certificates._shown, +story.certificates._wanted) == ({}, {})


async def test_clients_that_name_no_host_or_one_without_a_certificate_are_counted_apart(story: Story) -> None:
    assert not story.greeted(None)
    assert not story.greeted("nobody.example")

    for reason in ("no-name", "no-certificate"):
        assert story.metric(f'upwell_gateway_tls_refused_total{{reason="{reason}"}}') in ("1", "1.0")


async def test_the_table_says_when_it_last_changed(story: Story) -> None:
    before = story.routes.changed
    await story.route("a.example", "cert")
    assert story.routes.changed > before
    assert story.routes.table.ingresses[Key("default", "route")].generation == 1
