"""TLS on the port of its own: when there is a certificate, with the one that lies there now."""

import asyncio
import json
import shutil
import ssl
import subprocess
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from tests.integration.sidecar import ENVIRONMENT, OK, TLS, USER_METRICS, Client, Gate, Sidecar, app, sidecar, start
from tests.waiting import eventually


def make_certificate(folder: Path, name: str) -> Path:
    """A folder with a self-signed certificate of this name and its key."""
    folder.mkdir()
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt"), "-subj", f"/CN={name}"]
    subprocess.run([*command.split(), *files, "-addext", f"subjectAltName=DNS:{name}"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates: `old` and `new`."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("old", "new"):
        make_certificate(folder / name, f"{name}.test")
    return folder


@pytest.fixture
def certs(made: Path, tmp_path: Path) -> Path:
    """The folder that the sidecar reads."""
    folder = tmp_path / "certs"
    shutil.copytree(made / "old", folder)
    return folder


def context(**settings: object) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    for name, value in settings.items():
        setattr(made, name, value)
    return made


async def connect(proxy: Sidecar, tls: ssl.SSLContext | None = None) -> Client:
    port = proxy.ports[TLS]
    name = "data-plane.knative.dev"
    return Client(*await asyncio.open_connection("127.0.0.1", port, ssl=tls or context(), server_hostname=name))


async def served(proxy: Sidecar) -> bytes:
    """The certificate that a new connection gets."""
    client = await connect(proxy)
    certificate: bytes = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    client.close()
    return certificate


def certificate_in(folder: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert((folder / "tls.crt").read_text())


def put(source: Path, target: Path, name: str) -> None:
    """Replace a file at once, as Kubernetes does."""
    copy = target / f"{name}.next"
    shutil.copy(source / name, copy)
    copy.rename(target / name)


async def test_requests_are_served_over_tls_and_in_the_clear(certs: Path) -> None:
    async with app() as running, sidecar(running.port, UPWELL_CERTS_DIR=str(certs)) as proxy:
        client = await connect(proxy)
        for _ in range(3):
            client.get("/secret")
            assert (await client.answer()).body == b"ok"
        assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert (await proxy.get("/clear")).status == 200


async def test_without_a_certificate_there_is_no_tls(tmp_path: Path) -> None:
    async with app() as running, sidecar(running.port, UPWELL_CERTS_DIR=str(tmp_path)) as proxy:
        (serving,) = [line for line in proxy.logged() if line["message"] == "serving"]
        assert serving["tls"] is False


async def test_bodies_of_any_size_pass_both_ways(certs: Path) -> None:
    size = 3_000_000

    async def echo(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body)

    async with app(echo) as running, sidecar(running.port, UPWELL_CERTS_DIR=str(certs)) as proxy:
        client = await connect(proxy)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        assert (await client.answer()).body == b"x" * size


async def test_a_last_answer_arrives_whole_and_the_connection_ends(certs: Path) -> None:
    async with app() as running, sidecar(running.port, UPWELL_CERTS_DIR=str(certs)) as proxy:
        for request in (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"rubbish\r\n\r\n"):
            client = await connect(proxy)
            client.send(request)
            assert (await client.answer()).status in (200, 400)
            client.close()
        await eventually(lambda: not [line for line in proxy.lines if "warn" in line.lower()])


async def test_an_upgraded_connection_passes_bytes(certs: Path) -> None:
    async def upgrade(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        writer.write(await reader.readexactly(5))
        writer.close()

    async with app(upgrade) as running, sidecar(running.port, UPWELL_CERTS_DIR=str(certs)) as proxy:
        client = await connect(proxy)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello")
        assert (await client.rest()).endswith(b"\r\n\r\nhello")
        assert "half" not in "".join(proxy.lines)


async def test_a_new_certificate_is_served_and_no_connection_is_lost(made: Path, certs: Path) -> None:
    gate = Gate()
    async with app(gate) as running, sidecar(running.port, UPWELL_CERTS_DIR=str(certs)) as proxy:
        waiting = await connect(proxy)
        waiting.get("/under-way")
        await eventually(lambda: running.targets == ["/under-way"])
        assert await served(proxy) == certificate_in(made / "old")

        for name in ("tls.crt", "tls.key"):
            put(made / "new", certs, name)
        await eventually(lambda: any("were reloaded" in line for line in proxy.lines))

        assert await served(proxy) == certificate_in(made / "new")
        gate.open()
        assert (await waiting.answer()).body == b"ok"
        waiting.get("/again")
        assert (await waiting.answer()).body == b"ok"


async def test_a_bad_certificate_is_logged_once_and_the_old_one_stays(made: Path, certs: Path) -> None:
    async with app() as running, sidecar(running.port, UPWELL_CERTS_DIR=str(certs)) as proxy:
        put(made / "new", certs, "tls.crt")
        await eventually(lambda: any("the old one stays" in line for line in proxy.lines))

        assert await served(proxy) == certificate_in(made / "old")
        put(made / "new", certs, "tls.key")
        await eventually(lambda: any("were reloaded" in line for line in proxy.lines))
        assert await served(proxy) == certificate_in(made / "new")
        assert len([line for line in proxy.lines if "the old one stays" in line]) == 1


async def test_a_certificate_that_cannot_be_loaded_at_the_start_is_one_line(certs: Path) -> None:
    (certs / "tls.key").write_text("nonsense")
    process = await start({**ENVIRONMENT, "UPWELL_CERTS_DIR": str(certs), "UPWELL_PORT_MAP": "8012=0,8022=0,9090=0"})
    output, _ = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 1
    (line,) = output.decode().splitlines()
    assert line.startswith(f"queueproxy: cannot serve TLS with {certs}/tls.crt and {certs}/tls.key: ")


async def test_an_older_version_is_refused_unless_it_is_allowed(certs: Path) -> None:
    old = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    async with app() as running:
        async with sidecar(running.port, UPWELL_CERTS_DIR=str(certs)) as proxy:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await connect(proxy, context(**old))
        settings = {
            "QUEUE_PROXY_TLS_MIN_VERSION": "1.2",
            "QUEUE_PROXY_TLS_CIPHER_SUITES": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "QUEUE_PROXY_TLS_CURVE_PREFERENCES": "X25519MLKEM768,P-256",
        }
        async with sidecar(running.port, UPWELL_CERTS_DIR=str(certs), **settings) as proxy:
            client = await connect(proxy, context(**old))
            assert client.writer.get_extra_info("cipher")[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"
            client.get()
            assert (await client.answer()).body == OK[-2:]


async def speak_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An app that answers each stream with `ok`."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    while data := await reader.read(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                connection.send_headers(event.stream_id, [(":status", "200"), ("content-length", "2")])
                connection.send_data(event.stream_id, b"ok", end_stream=True)
        writer.write(connection.data_to_send())
    writer.close()


async def ask_over_http2(client: Client) -> bytes:
    """The body of the answer to one GET."""
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    head = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "a.test")]
    connection.send_headers(1, head, end_stream=True)
    client.send(connection.data_to_send())
    body = b""
    async with asyncio.timeout(10):
        while data := await client.reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
                if isinstance(event, h2.events.StreamEnded):
                    return body
    raise EOFError(body)


@pytest.mark.parametrize("negotiated", [True, False], ids=["by ALPN", "by its preface"])
async def test_http_2_is_spoken_over_tls(certs: Path, negotiated: bool) -> None:
    server = await asyncio.start_server(speak_http2, "127.0.0.1", 0)
    async with sidecar(server.sockets[0].getsockname()[1], UPWELL_CERTS_DIR=str(certs)) as proxy:
        wanting = context()
        if negotiated:
            wanting.set_alpn_protocols(["h2", "http/1.1"])
        client = await connect(proxy, wanting)
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == ("h2" if negotiated else None)
        assert await ask_over_http2(client) == b"ok"
        client.close()
    server.close()


async def test_http_1_is_offered(certs: Path) -> None:
    async with app() as running, sidecar(running.port, UPWELL_CERTS_DIR=str(certs)) as proxy:
        wanting = context()
        wanting.set_alpn_protocols(["http/1.1"])
        client = await connect(proxy, wanting)
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


# The user metrics


def metrics_over_tls(folder: Path, **settings: str) -> dict[str, str]:
    prefix = "METRICS_PROMETHEUS_TLS_"
    return {
        "OBSERVABILITY_CONFIG": json.dumps({"requestMetrics": {"protocol": "prometheus"}}),
        f"{prefix}CERT": str(folder / "tls.crt"),
        f"{prefix}KEY": str(folder / "tls.key"),
        **{prefix + name: value for name, value in settings.items()},
    }


async def scrape(proxy: Sidecar, tls: ssl.SSLContext) -> bytes:
    client = Client(*await asyncio.open_connection("127.0.0.1", proxy.ports[USER_METRICS], ssl=tls))
    try:
        client.get("/metrics")
        return (await client.answer()).body
    finally:
        client.close()


async def test_metrics_are_served_over_tls_with_the_certificate_that_lies_there_now(made: Path, certs: Path) -> None:
    async with app() as running, sidecar(running.port, **metrics_over_tls(certs)) as proxy:
        assert b"target_info" in await scrape(proxy, context())
        for name in ("tls.crt", "tls.key"):
            put(made / "new", certs, name)
        await eventually(lambda: any("were reloaded" in line for line in proxy.lines))
        trusting = context(verify_mode=ssl.CERT_REQUIRED)
        trusting.load_verify_locations(made / "new" / "tls.crt")
        assert b"target_info" in await scrape(proxy, trusting)


@pytest.mark.parametrize(("wanted", "nobody", "stranger"), [("optional", True, False), ("require", False, False)])
async def test_who_scrapes_may_be_asked_for_a_certificate(
    made: Path, certs: Path, wanted: str, nobody: bool, stranger: bool
) -> None:
    settings = metrics_over_tls(certs, CLIENT_AUTH=wanted, CLIENT_CA_FILE=str(made / "new" / "tls.crt"))

    def showing(name: str) -> ssl.SSLContext:
        shown = context()
        shown.load_cert_chain(made / name / "tls.crt", made / name / "tls.key")
        return shown

    async def served_to(tls: ssl.SSLContext) -> bool:
        try:
            return b"target_info" in await scrape(proxy, tls)
        except (ssl.SSLError, ConnectionError, EOFError):
            return False

    async with app() as running, sidecar(running.port, **settings) as proxy:
        assert await served_to(showing("new"))
        assert await served_to(context()) is nobody
        assert await served_to(showing("old")) is stranger
        assert (await proxy.get()).status == 200


async def test_metrics_have_a_least_version_of_tls_too(certs: Path) -> None:
    old = context(maximum_version=ssl.TLSVersion.TLSv1_2)
    async with app() as running:
        async with sidecar(running.port, **metrics_over_tls(certs)) as proxy:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await scrape(proxy, old)
        async with sidecar(running.port, **metrics_over_tls(certs, MIN_VERSION="1.2")) as proxy:
            assert b"target_info" in await scrape(proxy, old)


# HTTP/2 while certificates and pods change


GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00"


class Http2Client:
    """A connection that asks one thing after another."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.connection = h2.connection.H2Connection()
        self.connection.initiate_connection()
        self.ended: list[int] = []
        self.body = b""

    def ask(self) -> int:
        stream = self.connection.get_next_available_stream_id()
        head = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "a.test")]
        self.connection.send_headers(stream, head, end_stream=True)
        self.client.send(self.connection.data_to_send())
        return stream

    async def until(self, stream: int) -> bytes:
        """The bodies so far, when this stream has ended."""
        async with asyncio.timeout(10):
            while stream not in self.ended:
                for event in self.connection.receive_data(await self.client.reader.read(65536)):
                    if isinstance(event, h2.events.DataReceived):
                        self.body += event.data
                    elif isinstance(event, h2.events.StreamEnded):
                        self.ended.append(event.stream_id)
                self.client.send(self.connection.data_to_send())
        return self.body


async def test_an_open_http_2_connection_outlives_its_certificate(made: Path, certs: Path) -> None:
    server = await asyncio.start_server(speak_http2, "127.0.0.1", 0)
    async with sidecar(server.sockets[0].getsockname()[1], UPWELL_CERTS_DIR=str(certs)) as proxy:
        wanting = context()
        wanting.set_alpn_protocols(["h2"])
        client = Http2Client(await connect(proxy, wanting))
        assert await client.until(client.ask()) == b"ok"
        for name in ("tls.crt", "tls.key"):
            put(made / "new", certs, name)
        await eventually(lambda: any("were reloaded" in line for line in proxy.lines))

        assert await served(proxy) == certificate_in(made / "new")
        assert await client.until(client.ask()) == b"okok"
        client.client.close()
    server.close()


async def test_a_drain_ends_an_http_2_connection_over_tls_after_its_streams(certs: Path) -> None:
    server = await asyncio.start_server(speak_http2, "127.0.0.1", 0)
    async with sidecar(server.sockets[0].getsockname()[1], UPWELL_CERTS_DIR=str(certs)) as proxy:
        wanting = context()
        wanting.set_alpn_protocols(["h2"])
        client = Http2Client(await connect(proxy, wanting))
        await client.until(client.ask())
        proxy.terminate()
        await eventually(lambda: any("draining" in line for line in proxy.lines))
        assert await client.until(client.ask()) == b"okok"
        assert GOAWAY in await client.client.rest()
        assert await proxy.exit_status() == 0
    server.close()
