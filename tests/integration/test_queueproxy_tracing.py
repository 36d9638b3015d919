"""Tracing through a real sidecar: what the app is told, and what a collector receives."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.sidecar import HEALTH, app, sidecar
from tests.waiting import eventually

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


class Collector:
    """Receives spans by OTLP over HTTP, and by Zipkin's API."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resource: dict[str, str] = {}
        self.url = ""

    async def receive_otlp(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        for resource in message.resource_spans:
            self.resource = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return web.Response()

    async def receive_zipkin(self, request: web.Request) -> web.Response:
        self.spans += await request.json()
        return web.Response(status=202)

    def named(self, name: str) -> Any:
        (span,) = [span for span in self.spans if span.name == name]
        return span


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    running = Collector()
    server = web.Application()
    server.router.add_post("/v1/traces", running.receive_otlp)
    server.router.add_post("/api/v2/spans", running.receive_zipkin)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    running.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield running
    finally:
        await runner.cleanup()


def tracing(protocol: str, endpoint: str = "", rate: float = 1) -> dict[str, str]:
    settings = {"tracing": {"protocol": protocol, "endpoint": endpoint, "samplingRate": rate}}
    return {"OBSERVABILITY_CONFIG": json.dumps(settings), **AT_ONCE}


def fields(head: bytes) -> dict[str, str]:
    lines = (line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:] if line)
    return {name.lower(): value for name, _, value in lines}


async def test_a_request_becomes_four_spans_of_the_callers_trace() -> None:
    async with collector() as spans, app() as running:
        settings = {**tracing("http/protobuf", spans.url), "CONTAINER_CONCURRENCY": "1", "SERVING_SERVICE": "hello"}
        async with sidecar(running.port, **settings) as proxy:
            await proxy.get("/path?q=1", {"traceparent": SAMPLED, "tracestate": "a=b"})
            await proxy.get("/", HEALTH)
            await eventually(lambda: len(spans.spans) == 4)

    server, proxied = spans.named("GET"), spans.named("kn.queueproxy.proxy")
    waited, client = spans.named("kn.queueproxy.wait"), spans.named("HTTP GET")
    assert {span.trace_id.hex() for span in spans.spans} == {TRACE}
    assert server.parent_span_id.hex() == PARENT
    assert proxied.parent_span_id == server.span_id
    assert waited.parent_span_id == client.parent_span_id == proxied.span_id
    assert server.start_time_unix_nano <= client.start_time_unix_nano < client.end_time_unix_nano
    attributes = {pair.key: pair.value for pair in server.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["url.path"].string_value == "/path"
    assert spans.resource["service.name"] == "hello"
    told = fields(running.heads[0])
    assert told["traceparent"] == f"00-{TRACE}-{client.span_id.hex()}-01"
    assert told["tracestate"] == "a=b"


async def test_what_is_left_is_sent_before_the_process_ends() -> None:
    async with collector() as spans, app() as running:
        settings = {**tracing("http/protobuf", spans.url), "OTEL_BSP_SCHEDULE_DELAY": "60000"}
        async with sidecar(running.port, **settings) as proxy:
            await proxy.get()
            proxy.terminate()
            assert await proxy.exit_status() == 0

    assert len(spans.spans) == 3


async def test_a_collector_that_is_gone_costs_no_request() -> None:
    async with app() as running, sidecar(running.port, **tracing("http/protobuf", "http://127.0.0.1:9")) as proxy:
        assert [(await proxy.get()).status for _ in range(5)] == [200] * 5


async def test_zipkin_gets_its_own_format() -> None:
    async with (
        collector() as spans,
        app() as running,
        sidecar(running.port, **tracing("zipkin", spans.url)) as proxy,
    ):
        await proxy.get()
        await eventually(lambda: len(spans.spans) == 3)

    assert {span["name"] for span in spans.spans} == {"GET", "kn.queueproxy.proxy", "HTTP GET"}
    assert len({span["traceId"] for span in spans.spans}) == 1


async def test_b3_fields_are_renewed_and_joined_by_a_traceparent() -> None:
    b3 = {"X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT, "X-B3-Sampled": "1"}
    async with (
        collector() as spans,
        app() as running,
        sidecar(running.port, **tracing("http/protobuf", spans.url, 0.000001)) as proxy,
    ):
        await proxy.get("/", b3)
        await proxy.get("/", {"b3": f"{TRACE}-{PARENT}-1"})
        await eventually(lambda: len(spans.spans) == 6)

    multiple, single = (fields(head) for head in running.heads)
    assert multiple["x-b3-traceid"] == TRACE
    assert multiple["traceparent"] == f"00-{TRACE}-{multiple['x-b3-spanid']}-01"
    assert multiple["x-b3-spanid"] != PARENT
    assert single["b3"] == f"{TRACE}-{single['traceparent'].split('-')[2]}-1"


async def test_a_caller_that_decided_against_it_is_passed_on_untouched() -> None:
    async with app() as running, sidecar(running.port, **tracing("zipkin", "http://127.0.0.1:9", 0.5)) as proxy:
        await proxy.get("/", {"traceparent": UNSAMPLED, "X-B3-Sampled": "0"})

    assert fields(running.heads[0])["traceparent"] == UNSAMPLED


async def test_what_we_decided_against_is_told_to_the_app() -> None:
    async with app() as running, sidecar(running.port, **tracing("zipkin", "http://127.0.0.1:9", 0)) as proxy:
        await proxy.get()
        await proxy.get("/", {"traceparent": SAMPLED})

    mine, callers = (fields(head)["traceparent"] for head in running.heads)
    assert mine.endswith("-00")
    assert callers == UNSAMPLED


async def test_without_tracing_the_fields_reach_the_app_as_they_are() -> None:
    sent = {"traceparent": "rubbish", "b3": "0", "baggage": "a=b"}
    async with app() as running, sidecar(running.port) as proxy:
        await proxy.get("/", sent)
        await proxy.get()

    assert sent.items() <= fields(running.heads[0]).items()
    assert "traceparent" not in fields(running.heads[1])


@pytest.mark.parametrize("protocol", ["stdout", "grpc"])
async def test_other_exporters_start(protocol: str) -> None:
    async with app() as running, sidecar(running.port, **tracing(protocol, "http://127.0.0.1:9")) as proxy:
        assert (await proxy.get()).status == 200
