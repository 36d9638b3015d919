"""The gateway with TLS: certificates by host and renewed, redirects, both protocols to clients and to apps."""

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import websockets

from tests.integration.gateway_world import World, free_ports, world
from tests.integration.http2_peers import Http2App
from tests.integration.test_http2_grpc import Echo
from tests.unit.gateway.builders import ingress, path, rule, service, simple, slices, split
from tests.waiting import eventually
from upwell.api.objects import Object, new_object
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, SECRET
from upwell.tls.signing import Authority, key_pem, new_authority, new_leaf, pem

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Secure:
    """A world whose gateway serves HTTPS, and an authority that its clients trust."""

    def __init__(self, here: World, port: int, local_port: int) -> None:
        self.here = here
        self.port = port
        self.local_port = local_port
        self.authority: Authority = new_authority("test", NOW, DAY)

    def trusting(self, alpn: list[str] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=pem([self.authority[0]]).decode())
        context.set_alpn_protocols(alpn or ["http/1.1"])
        return context

    def pair(self, *hosts: str, life: timedelta = DAY) -> dict[str, str]:
        certificate, key = new_leaf(hosts, self.authority, NOW, life)
        files = {"tls.crt": pem([certificate]), "tls.key": key_pem(key)}
        return {name: base64.b64encode(content).decode() for name, content in files.items()}

    async def secret(self, name: str, data: dict[str, str]) -> None:
        await self.here.apply(SECRET, new_object(SECRET, "default", name, type="kubernetes.io/tls", data=data))

    async def route(self, host: str, target: str, secret: str, option: str = "Enabled", port: int = 80) -> Object:
        obj = ingress(target, rule(host, paths=[path(split(target, port=port))]))
        obj["spec"]["tls"] = [{"hosts": [host], "secretNamespace": "default", "secretName": secret}]
        obj["spec"]["httpOption"] = option
        return await self.here.route(obj)

    async def shown(self, host: str) -> bytes | str:
        """The certificate that a client sees, or why it sees none."""

        def look() -> bytes | str:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            try:
                with (
                    socket.create_connection(("127.0.0.1", self.port), 10) as plain,
                    context.wrap_socket(plain, server_hostname=host) as secured,
                ):
                    return secured.getpeercert(True) or b""
            except ssl.SSLError as error:
                return error.reason or ""

        return await asyncio.to_thread(look)

    def client(self, http2: bool = False, port: int = 0) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self.trusting(["h2", "http/1.1"] if http2 else None),
            http2=http2,
            base_url=f"https://127.0.0.1:{port or self.port}",
            timeout=30,
        )

    async def get(self, host: str, where: str = "/", *, http2: bool = False, port: int = 0, **kwargs: Any) -> Any:
        async with self.client(http2, port) as client:
            return await client.get(
                where, headers={"Host": host, **kwargs}, extensions={"sni_hostname": host}, follow_redirects=False
            )


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Secure]:
    port, local_port = free_ports(2)
    async with world(tmp_path, gateway=False) as here:
        ports = {8080: here.port, 8081: here.local_port, 9090: here.admin_port, 8443: port, 8444: local_port}
        await here.start_gateway(
            UPWELL_GATEWAY_TLS="true",
            UPWELL_GATEWAY_LOCAL_PORT="8081",
            UPWELL_GATEWAY_WAIT_SECONDS="1",
            UPWELL_PORT_MAP=",".join(f"{one}={other}" for one, other in ports.items()),
        )
        await here.ready()
        yield Secure(here, port, local_port)


async def test_each_host_has_its_own_certificate_and_a_renewed_one_is_shown_at_once(secure: Secure) -> None:
    for name in ("a", "b"):
        await secure.here.serve(name, await secure.here.backend(name))
        await secure.secret(f"cert-{name}", secure.pair(f"{name}.example"))
        await secure.route(f"{name}.example", name, f"cert-{name}")

    for name in ("a", "b"):
        answer = await secure.get(f"{name}.example")
        assert (answer.status_code, answer.json()["name"]) == (200, name)
        assert ["x-forwarded-proto", "https"] in answer.json()["headers"]

    before = await secure.shown("a.example")
    async with secure.client() as client:
        kept = {"headers": {"Host": "a.example"}, "extensions": {"sni_hostname": "a.example"}}
        assert (await client.get("/", **kept)).status_code == 200  # type: ignore[arg-type]
        await secure.secret("cert-a", secure.pair("a.example"))
        assert await eventually(lambda: secure.shown("a.example"), lambda now: now != before)
        assert (await client.get("/", **kept)).status_code == 200  # type: ignore[arg-type]
    assert (await secure.get("a.example")).status_code == 200


async def test_a_host_without_a_certificate_is_refused_at_the_greeting_and_hurts_no_other(secure: Secure) -> None:
    await secure.here.serve("a", await secure.here.backend("a"))
    await secure.secret("cert-a", secure.pair("a.example"))
    await secure.route("a.example", "a", "cert-a")
    await secure.here.route(simple("plain", "plain.example", "a"))
    await secure.secret("broken", {"tls.crt": base64.b64encode(b"rubbish").decode(), "tls.key": "////"})
    await secure.here.serve("c", await secure.here.backend("c"))
    await secure.route("c.example", "c", "broken")

    for host in ("plain.example", "nobody.example", "c.example"):
        assert isinstance(await secure.shown(host), str)
    assert (await secure.get("a.example")).status_code == 200
    metrics = await secure.here.metrics()
    for reason, count in (("no-certificate", 2), ("secret-unusable", 1), ("secret-missing", 0)):
        assert f'upwell_gateway_tls_refused_total{{reason="{reason}"}} {count}' in metrics
    assert "upwell_gateway_certificates_unusable 1" in metrics
    told = [line for line in secure.here.gateway.said() if line["message"] == "a certificate cannot be used"]
    assert [line["secret"] for line in told] == ["default/broken"]

    await secure.secret("broken", secure.pair("c.example"))
    assert await eventually(lambda: secure.shown("c.example"), lambda seen: isinstance(seen, bytes))

    await secure.secret("cert-a", {"tls.crt": "AAAA", "tls.key": "AAAA"})
    await eventually(lambda: any(line.get("secret") == "default/cert-a" for line in secure.here.gateway.said()[-3:]))
    assert (await secure.get("a.example")).status_code == 200


async def test_clients_without_tls_are_sent_to_https_and_local_ones_are_not(secure: Secure) -> None:
    await secure.here.serve("a", await secure.here.backend("a"))
    await secure.secret("cert-a", secure.pair("a.example"))
    await secure.route("a.example", "a", "cert-a", option="Redirected")

    async with httpx.AsyncClient(timeout=30) as client:
        url, host = f"http://127.0.0.1:{secure.here.port}/x?q=1", {"Host": "a.example"}
        got, posted = await client.get(url, headers=host), await client.post(url, headers=host, content=b"x")
        for answer, status in ((got, 301), (posted, 308)):
            assert (answer.status_code, answer.headers["location"]) == (
                status,
                f"https://a.example:{secure.port}/x?q=1",
            )
        probe = await client.get(url, headers={**host, "K-Network-Hash": "override", "K-Network-Probe": "probe"})
        assert probe.status_code == 200
    status, _, _ = await secure.here.get("a.example", port=secure.here.local_port)
    assert status == 200
    assert (await secure.get("a.example")).status_code == 200
    assert (await secure.get("a.example", port=secure.local_port)).status_code == 200


async def test_a_browser_over_http2_reaches_an_app_that_speaks_http1(secure: Secure) -> None:
    await secure.here.serve("a", await secure.here.backend("a"))
    await secure.secret("cert-a", secure.pair("a.example"))
    await secure.route("a.example", "a", "cert-a")

    async with secure.client(http2=True) as client:

        async def ask(method: str, body: bytes | None) -> httpx.Response:
            return await client.request(
                method,
                "/form",
                headers=[("Host", "a.example"), ("Cookie", "a=1"), ("Cookie", "b=2")],
                content=body,
                extensions={"sni_hostname": "a.example"},
            )

        # One after the other: httpx may wait for ever when another request of its connection reads its WINDOW_UPDATE.
        plain, posted = await ask("GET", None), await ask("POST", b"x" * 200_000)
        assert {plain.http_version, posted.http_version} == {"HTTP/2"}
        assert posted.json()["body"] == 200_000
        fields = [field for field in plain.json()["headers"] if field[0] == "cookie"]
        assert fields == [["cookie", "a=1; b=2"]]
        assert (await client.request("HEAD", "/", headers={"Host": "nobody.example"})).status_code == 404


async def test_grpc_calls_of_all_kinds_pass_through_tls(secure: Secure) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await secure.here.apply(CORE_SERVICE, service("calls", http2=81))
        for obj in slices("calls", f"127.0.0.1:{port}", port="http2"):
            await secure.here.apply(ENDPOINT_SLICE, obj)
        await secure.secret("cert-g", secure.pair("g.example"))
        await secure.route("g.example", "calls", "cert-g", port=81)

        credentials = grpc.ssl_channel_credentials(pem([secure.authority[0]]))
        options = [("grpc.ssl_target_name_override", "g.example"), ("grpc.default_authority", "g.example")]
        async with grpc.aio.secure_channel(f"127.0.0.1:{secure.port}", credentials, options) as channel:
            call = channel.unary_unary("/t.Echo/Unary")(b"hello")
            assert await call == b"hello"
            assert ("x-trailer", "yes") in tuple(await call.trailing_metadata())
            down = [message async for message in channel.unary_stream("/t.Echo/Down")(b"50")]
            assert len(down) == 50
            assert await channel.stream_unary("/t.Echo/Up")(iter([b"12345"] * 20)) == b"100"
            both = channel.stream_stream("/t.Echo/Both")()
            for word in (b"one", b"two"):  # the answer to each before the next is sent
                await both.write(word)
                assert await both.read() == word.upper()
            await both.done_writing()
            with pytest.raises(grpc.aio.AioRpcError, match="not today"):
                await channel.unary_unary("/t.Echo/Fail")(b"")
    finally:
        await server.stop(None)


@pytest.mark.parametrize("name", ["http2", "h2c"])
async def test_a_client_over_http1_reaches_an_app_that_speaks_http2_alone(secure: Secure, name: str) -> None:
    app = Http2App(lambda connection, number, path: connection.h2.reset_stream(number))
    await app.start()
    try:
        await secure.here.apply(CORE_SERVICE, service("app", **{name: 81}))
        for obj in slices("app", f"127.0.0.1:{app.port}", port=name):
            await secure.here.apply(ENDPOINT_SLICE, obj)
        await secure.secret("cert", secure.pair("app.example"))
        await secure.route("app.example", "app", "cert", port=81)

        async with secure.client() as client:
            for method, body in (("GET", None), ("POST", b"x" * 100_000)):
                answer = await client.request(
                    method,
                    "/",
                    headers={"Host": "app.example"},
                    content=body,
                    extensions={"sni_hostname": "app.example"},
                )
                assert (answer.http_version, answer.status_code, answer.text) == ("HTTP/1.1", 200, "ok")
        assert (await secure.get("app.example", "/fault")).status_code == 502
    finally:
        await app.stop()


async def test_a_websocket_passes_through_tls(secure: Secure) -> None:
    async def echo(connection: websockets.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, "127.0.0.1", 0) as app:
        port = next(iter(app.sockets)).getsockname()[1]
        await secure.here.apply(CORE_SERVICE, service("sockets"))
        for obj in slices("sockets", f"127.0.0.1:{port}"):
            await secure.here.apply(ENDPOINT_SLICE, obj)
        await secure.secret("cert-w", secure.pair("w.example"))
        await secure.route("w.example", "sockets", "cert-w")

        where: dict[str, Any] = {"host": "127.0.0.1", "port": secure.port}
        async with websockets.connect("wss://w.example/", ssl=secure.trusting(), proxy=None, **where) as client:
            await client.send("over tls")
            assert await client.recv() == "over tls"
