"""Who is let in at the other end of a TLS connection, on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.unit.tls.certificates import Authority
from upwell.http.dial import DialError
from upwell.http.errors import FailureKind
from upwell.tls.dialing import Authorities, NamedDialer
from upwell.tls.memory import as_files
from upwell.tls.serving import ServingContext
from upwell.tls.settings import TlsOptions

COMMON = "data-plane.knative.dev"
OWN = "kn-user-default"


@pytest.fixture(scope="module", name="authority")
def authority_fixture(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "one")


@asynccontextmanager
async def server(serving: ServingContext) -> AsyncIterator[int]:
    listener = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=serving.context)
    async with listener:
        yield int(listener.sockets[0].getsockname()[1])


def serving_with(authority: Authority, label: str, *names: str) -> ServingContext:
    serving = ServingContext(TlsOptions())
    certificate, key = authority.sign(label, *names)
    serving.use(str(certificate), str(key))
    return serving


def trusting(*pems: str) -> Authorities:
    authorities = Authorities()
    authorities.trust("".join(pems))
    return authorities


class Noted(asyncio.Protocol):
    transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


async def dial(authorities: Authorities, port: int) -> Noted:
    protocol = Noted()
    await NamedDialer(authorities, COMMON, OWN).connect(protocol, "127.0.0.1", port)
    assert protocol.transport is not None
    protocol.transport.close()
    return protocol


async def refusal(authorities: Authorities, port: int) -> str:
    with pytest.raises(DialError) as caught:
        await dial(authorities, port)
    assert caught.value.kind is FailureKind.TLS
    return caught.value.message


async def test_whoever_has_both_names_from_a_trusted_authority_is_let_in(authority: Authority) -> None:
    async with server(serving_with(authority, "good", COMMON, OWN)) as port:
        connection = (await dial(trusting(authority.pem), port)).transport

        assert connection is not None
        assert connection.get_extra_info("ssl_object").version() == "TLSv1.3"


async def test_a_sidecar_of_another_namespace_is_refused(authority: Authority) -> None:
    async with server(serving_with(authority, "other", COMMON, "kn-user-other")) as port:
        assert (
            await refusal(trusting(authority.pem), port)
            == f'tls: san "{OWN}" does not have a matching name in [{COMMON} kn-user-other]'
        )


async def test_a_certificate_without_the_common_name_is_refused(authority: Authority) -> None:
    async with server(serving_with(authority, "nameless", OWN)) as port:
        assert COMMON in await refusal(trusting(authority.pem), port)


async def test_another_authority_is_refused_until_it_is_trusted_too(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", "stranger")
    authorities = trusting(authority.pem)
    async with server(serving_with(stranger, "good", COMMON, OWN)) as port:
        assert "unable to get local issuer certificate" in await refusal(authorities, port)

        authorities.trust(authority.pem + stranger.pem)

        await dial(authorities, port)


async def test_without_an_authority_nobody_is_let_in(authority: Authority) -> None:
    async with server(serving_with(authority, "good", COMMON, OWN)) as port:
        assert "no authority is known" in await refusal(Authorities(), port)


async def test_a_port_without_tls_is_refused(authority: Authority) -> None:
    async def answer_in_the_clear(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer_in_the_clear, "127.0.0.1", 0) as listener:
        await refusal(trusting(authority.pem), int(listener.sockets[0].getsockname()[1]))


def test_what_is_no_certificate_is_not_trusted_and_the_old_ones_stay(authority: Authority) -> None:
    authorities = trusting(authority.pem)
    before = authorities.context

    with pytest.raises(ValueError, match="not certificates"):
        authorities.trust("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")

    assert authorities.context is before


async def test_a_new_pair_from_memory_is_served_to_new_connections(authority: Authority) -> None:
    serving = serving_with(authority, "old", COMMON, "kn-user-other")
    async with server(serving) as port:
        await refusal(trusting(authority.pem), port)
        certificate, key = authority.sign("new", COMMON, OWN)

        with as_files(certificate.read_bytes(), key.read_bytes()) as files:
            serving.use(*files)

        await dial(trusting(authority.pem), port)


async def test_a_pair_that_does_not_fit_is_refused_and_the_old_one_stays(authority: Authority) -> None:
    serving = serving_with(authority, "kept", COMMON, OWN)
    certificate, _ = authority.sign("first", COMMON, OWN)
    _, key = authority.sign("second", COMMON, OWN)

    with pytest.raises((ValueError, OSError)):
        serving.use(str(certificate), str(key))

    async with server(serving) as port:
        await dial(trusting(authority.pem), port)
