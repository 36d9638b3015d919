"""Requests through a real sidecar process: what is refused, queued, cut and given back."""

import asyncio
import random
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.sidecar import HEALTH, OK, USER_METRICS, Gate, Sidecar, app, sidecar
from tests.waiting import eventually

PROMETHEUS = '{"requestMetrics": {"protocol": "prometheus"}}'


async def test_a_request_reaches_the_app_and_its_answer_the_client() -> None:
    async with app() as running, sidecar(running.port) as proxy:
        answer = await proxy.get("/path?x=1", {"X_Mine": "1"})

    assert (answer.status, answer.body) == (200, b"ok")
    assert running.targets == ["/path?x=1"]
    assert b"X-Mine: 1\r\n" in running.heads[0]


async def test_an_app_that_does_not_listen_is_502_and_the_answer_says_that_it_saw_nothing() -> None:
    async with app() as running, sidecar(running.port) as proxy:
        running.stop()
        answer = await proxy.get()

    assert answer.status == 502
    assert answer.headers["upwell-error"] == "queueproxy; reason=connect-refused; unsent"
    assert answer.body == f"dial tcp 127.0.0.1:{running.port}: connect: connection refused\n".encode()


async def test_an_app_that_dies_over_a_request_is_502_and_nobody_may_send_it_again() -> None:
    async def die(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with app(die) as running, sidecar(running.port) as proxy:
        client = await proxy.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        answer = await client.answer()

    assert answer.status == 502
    assert answer.headers["upwell-error"] == "queueproxy; reason=reset"
    assert len(running.heads) == 1


async def test_a_full_queue_turns_away_with_the_time_to_come_back() -> None:
    gate = Gate()
    async with app(gate) as running, limited_to_one(running.port) as proxy:
        clients = [await proxy.connect() for _ in range(11)]
        for number, client in enumerate(clients):
            client.get(f"/{number}")
        await eventually(lambda: waiting(proxy, 10))
        answer = await proxy.get("/over")
        gate.open()

        assert answer.status == 503
        assert answer.body == b"pending request queue full\n"
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["upwell-error"] == "queueproxy; reason=queue-full; unsent"
        assert [(await client.answer()).status for client in clients] == [200] * 11
    assert "/over" not in running.targets
    assert running.peak == 1


async def test_a_request_in_the_queue_leaves_when_its_client_goes() -> None:
    gate = Gate()
    async with app(gate) as running, limited_to_one(running.port) as proxy:
        first, gone, last = [await proxy.connect() for _ in range(3)]
        first.get("/first")
        await eventually(lambda: running.heads)
        gone.get("/gone")
        last.get("/last")
        await eventually(lambda: waiting(proxy, 2))
        gone.close()
        await eventually(lambda: waiting(proxy, 1))
        gate.open()

        assert (await first.answer()).status == 200
        assert (await last.answer()).status == 200
    assert running.targets == ["/first", "/last"]


def limited_to_one(port: int) -> AbstractAsyncContextManager[Sidecar]:
    return sidecar(port, CONTAINER_CONCURRENCY="1", OBSERVABILITY_CONFIG=PROMETHEUS)


async def waiting(proxy: Sidecar, count: int) -> bool:
    text = (await proxy.get("/metrics", port=USER_METRICS)).body.decode()
    return f"upwell_queueproxy_waiting_requests {count}.0" in text


async def test_a_revision_timeout_below_one_ends_every_request_at_once() -> None:
    async with app() as running, sidecar(running.port, REVISION_TIMEOUT_SECONDS="0") as proxy:
        answer = await proxy.get()

    assert (answer.status, answer.body) == (504, b"request timeout")
    assert not running.heads


async def test_a_timeout_after_the_first_byte_does_not_look_like_a_whole_answer() -> None:
    async def stall(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        await reader.read()

    async with app(stall) as running, sidecar(running.port, REVISION_TIMEOUT_SECONDS="1") as proxy:
        client = await proxy.connect()
        client.get()
        data = await client.rest()

    assert data.endswith(b"4\r\npart\r\n")


async def test_a_killed_app_cuts_its_answers_and_is_served_again_when_it_is_back() -> None:
    async def begin(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/long" not in head:
            writer.write(OK)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
        await reader.read()

    async with app(begin) as running, sidecar(running.port, CONTAINER_CONCURRENCY="1") as proxy:
        client = await proxy.connect()
        client.get("/long")
        await client.reader.readuntil(b"begin")
        running.stop()
        assert await client.rest() == b""
        assert (await proxy.get()).status == 502

        await running.start()
        assert (await proxy.get()).status == 200


RUBBISH = (
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5z\r\nhello\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
)


@pytest.mark.parametrize("rubbish", RUBBISH, ids=range(len(RUBBISH)))
async def test_rubbish_is_refused_and_never_forwarded(rubbish: bytes) -> None:
    async with app() as running, sidecar(running.port) as proxy:
        client = await proxy.connect()
        client.send(rubbish)
        data = await client.rest()
        assert data[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 5")
        assert b"Upwell-Error: queueproxy; reason=" in data

        assert (await proxy.get("/fine")).status == 200
    assert running.targets == ["/fine"]


async def test_slots_and_counts_are_whole_after_every_way_to_leave() -> None:
    chance = random.Random(7)

    async def reply(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/die" in head:
            writer.transport.abort()
        elif b"/cut" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort")
            writer.close()
        elif b"/hang" in head:
            await asyncio.wait_for(reader.read(), 5)
        else:
            writer.write(OK)

    async with app(reply) as running, sidecar(running.port, CONTAINER_CONCURRENCY="2") as proxy:

        async def visit() -> None:
            client = await proxy.connect()
            client.get(chance.choice(("/ok", "/die", "/cut", "/hang")))
            await asyncio.sleep(chance.random() * 0.05)
            match chance.randrange(4):
                case 0:
                    client.send(chance.choice(RUBBISH))
                    client.reset()
                case 1:
                    client.writer.write_eof()
                    await client.rest()
                case 2:
                    client.reset()
                case _:
                    await asyncio.sleep(0.05)
            client.close()

        for _ in range(10):
            await asyncio.gather(*(visit() for _ in range(20)))

        async def quiet() -> bool:
            stat = await proxy.stat()
            return stat.process_uptime > 0 and stat.average_concurrent_requests == 0

        await eventually(quiet)
        gate = running.reply = Gate()
        clients = [await proxy.connect() for _ in range(3)]
        for client in clients:
            client.get("/after")
        await eventually(lambda: running.targets.count("/after") == 2)
        gate.open()
        assert [(await client.answer()).status for client in clients] == [200, 200, 200]
        assert "traceback" not in "".join(proxy.lines)


async def test_user_metrics_have_the_contracts_names_and_ours() -> None:
    async with app() as running:
        settings = {"OBSERVABILITY_CONFIG": PROMETHEUS, "CONTAINER_CONCURRENCY": "1"}
        async with sidecar(running.port, **settings) as proxy:
            await proxy.get("/", {"Knative-Serving-Tag": "blue"})
            await proxy.get("/", HEALTH)
            client = await proxy.connect()
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            assert (await client.answer()).status == 400
            running.stop()
            await proxy.get()
            answer = await proxy.get("/metrics", port=USER_METRICS)

    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = read_samples(answer.body)
    served = {
        "http_request_method": "GET",
        "http_response_status_code": "200",
        "kn_route_tag": "blue",
        "network_protocol_version": "1.1",
        "otel_scope_name": "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
    }
    for name in ("http_server_request_duration_seconds", "http_client_request_duration_seconds"):
        assert samples(f"{name}_count", **served) == 1
    for name in ("server_request", "server_response", "client_request"):
        assert samples(f"http_{name}_body_size_bytes_count", **served) == 1
    assert samples("http_server_response_body_size_bytes_sum", **served) == 2
    invocations = "kn_serving_invocation_duration_seconds_count"
    assert samples(invocations, http_response_status_code="200", otel_scope_name="knative.dev/serving/pkg/queue") == 1
    assert samples(invocations, http_response_status_code="502") == 1
    assert samples("kn_serving_queue_depth") == 0
    assert samples("target_info", kn_revision_name="hello-00001", container_name="queue-proxy") == 1
    assert samples("upwell_queueproxy_rejections_total", reason="connect-refused") == 1
    assert samples("upwell_queueproxy_rejections_total", reason="host") == 1
    assert samples("upwell_queueproxy_queue_wait_seconds_count") == 2
    assert samples("upwell_queueproxy_upstream_requests_total") == 2
    assert samples("upwell_queueproxy_upstream_connections_opened_total") == 1
    assert samples("upwell_queueproxy_in_flight_requests") == 0


def read_samples(text: bytes) -> Callable[..., float]:
    """Looks values up as Prometheus' own parser reads them: by name and some of the labels."""
    families = list(text_string_to_metric_families(text.decode()))

    def find(name: str, **labels: str) -> float:
        (value,) = [
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return value

    return find


async def test_route_tags_beyond_a_bound_share_one_series() -> None:
    async with app() as running, sidecar(running.port, OBSERVABILITY_CONFIG=PROMETHEUS) as proxy:
        client = await proxy.connect()
        for number in range(70):
            client.get("/", Knative_Serving_Tag=f"t{number}")
            await client.answer()
        text = (await proxy.get("/metrics", port=USER_METRICS)).body.decode()

    series = [line for line in text.splitlines() if line.startswith("http_server_request_duration_seconds_count")]
    assert len(series) == 65
    assert any('kn_route_tag="kn:other"' in line and line.endswith(" 6.0") for line in series)


async def test_a_request_log_line_is_json_whatever_the_client_sends() -> None:
    async with app() as running, sidecar(running.port, OBSERVABILITY_CONFIG='{"enableRequestLog": true}') as proxy:
        await proxy.get("/a'b%22", {"User-Agent": "q\"u'o\\te\t<\xe4>"})
        await proxy.get("/", HEALTH)
        lines = await eventually(lambda: [line for line in proxy.logged() if "httpRequest" in line])

    assert [line["httpRequest"]["requestUrl"] for line in lines] == ["/a'b%22"]
    assert re.fullmatch(r"127\.0\.0\.1:[1-9][0-9]*", lines[0]["httpRequest"]["remoteIp"])
    assert lines[0]["httpRequest"]["userAgent"] == "q\"u'o\\te\t<\xe4>"


async def test_a_client_that_left_is_logged_as_such() -> None:
    gate = Gate()
    async with app(gate) as running, sidecar(running.port, OBSERVABILITY_CONFIG='{"enableRequestLog": true}') as proxy:
        client = await proxy.connect()
        client.get("/left")
        await eventually(lambda: running.heads)
        client.reset()
        lines = await eventually(lambda: [line for line in proxy.logged() if "httpRequest" in line])

    assert (lines[0]["httpRequest"]["requestUrl"], lines[0]["httpRequest"]["status"]) == ("/left", 499)
