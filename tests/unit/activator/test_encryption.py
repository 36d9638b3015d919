"""Certificates and authorities as the cluster has them, and the port with TLS that comes and goes with a setting."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from activator.encryption import Encryption
from tests.unit.tls.certificates import Authority
from upwell.clock import FakeClock
from upwell.http import Listener
from upwell.ports import ConfigError
from upwell.tls.serving import ServingContext
from upwell.tls.settings import TlsOptions


@pytest.fixture(scope="module", name="authorities")
def authorities_fixture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    folder = tmp_path_factory.mktemp("encryption")
    return Authority(folder / "old", "old"), Authority(folder / "new", "new")


class NotedListener:
    port = 8112
    closed = False

    def close(self) -> None:
        self.closed = True


class Story:
    def __init__(self) -> None:
        self.listeners: list[NotedListener] = []
        self.taken = False
        """Whether somebody else has the port."""
        self.encryption = Encryption(cast("Any", Silent()), "knative-serving", TlsOptions(), FakeClock(), self.listen)

    async def listen(self, _: ServingContext) -> list[Listener]:
        if self.taken:
            raise ConfigError("cannot listen on 0.0.0.0 port 8112: Address already in use")
        self.listeners.append(NotedListener())
        return [cast("Listener", self.listeners[-1])]

    def has_secret(self, authority: Authority, **changes: bytes) -> None:
        certificate, key = authority.sign("activator", "data-plane.knative.dev")
        contents = {"tls.crt": certificate.read_bytes(), "tls.key": key.read_bytes(), "ca.crt": authority.pem.encode()}
        data = {name: base64.b64encode(content).decode() for name, content in {**contents, **changes}.items()}
        metadata = {"namespace": "knative-serving", "name": "routing-serving-certs"}
        self.encryption._secrets._apply("MODIFIED", {"metadata": metadata, "data": data})

    def has_bundle(self, **data: str) -> None:
        metadata = {"namespace": "knative-serving", "name": "bundle"}
        self.encryption._bundles._apply("MODIFIED", {"metadata": metadata, "data": data})

    @property
    def trusted(self) -> list[str]:
        """Who is trusted, by common name."""
        context = self.encryption._authorities.context
        found = [] if context is None else context.get_ca_certs()
        subjects = [{entry[0][0]: entry[0][1] for entry in cast("Any", one["subject"])} for one in found]
        return sorted(subject["commonName"] for subject in subjects)


class Silent:
    """A cluster that says nothing by itself."""

    async def list(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def story() -> AsyncIterator[Story]:
    told = Story()
    task = asyncio.create_task(told.encryption.run())
    await settle()
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def test_the_port_opens_once_it_is_wanted_and_there_is_a_certificate(
    authorities: tuple[Authority, Authority],
) -> None:
    async with story() as told:
        told.encryption.switch(True)
        await settle()
        assert told.listeners == []

        told.has_secret(authorities[0])
        await settle()
        assert len(told.listeners) == 1

        told.encryption.switch(False)
        await settle()
        assert told.listeners[0].closed
        told.encryption.switch(True)
        await settle()
        assert len(told.listeners) == 2


async def test_a_port_that_is_taken_is_tried_again_and_ends_nothing(
    authorities: tuple[Authority, Authority],
) -> None:
    async with story() as told:
        told.taken = True
        told.encryption.switch(True)
        told.has_secret(authorities[0])
        await settle()
        assert told.listeners == []

        told.taken = False
        told.encryption.switch(True)
        await settle()

        assert len(told.listeners) == 1


async def test_authorities_are_the_secrets_and_those_of_all_bundles(authorities: tuple[Authority, Authority]) -> None:
    async with story() as told:
        told.has_secret(authorities[0])
        assert told.trusted == ["old"]

        told.has_bundle(one=authorities[1].pem)
        assert told.trusted == ["new", "old"]

        told.has_secret(authorities[1])
        told.has_bundle()
        assert told.trusted == ["new"]


async def test_a_pair_that_cannot_be_used_changes_nothing(authorities: tuple[Authority, Authority]) -> None:
    async with story() as told:
        told.encryption.switch(True)
        told.has_secret(authorities[0])
        told.has_secret(authorities[0], **{"tls.key": b"rubbish", "ca.crt": b"-----BEGIN CERTIFICATE-----\nrubbish\n"})
        await settle()

        assert told.trusted == ["old"]
        assert len(told.listeners) == 1


async def test_each_namespace_has_one_dialer() -> None:
    async with story() as told:
        assert told.encryption.secure_for("a") is told.encryption.secure_for("a")
        assert told.encryption.secure_for("a") is not told.encryption.secure_for("b")
