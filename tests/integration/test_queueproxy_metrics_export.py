"""Metrics pushed by a real sidecar, as a collector receives them over gRPC and over HTTP."""

import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)

from tests.integration.sidecar import HEALTH, app, sidecar
from tests.waiting import eventually

QUEUE = "knative.dev/serving/pkg/queue"


class Collector(MetricsServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.url = ""

    def Export(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802 - gRPC calls it so
        self.received.append(request)
        return ExportMetricsServiceResponse()

    async def receive(self, request: web.Request) -> web.Response:
        self.received.append(ExportMetricsServiceRequest.FromString(await request.read()))
        return web.Response()

    def metrics(self) -> dict[str, Any]:
        """The last push by name."""
        if not self.received:
            return {}
        (resource,) = self.received[-1].resource_metrics
        return {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}

    def resource(self) -> dict[str, str]:
        (resource,) = self.received[-1].resource_metrics
        return {pair.key: pair.value.string_value for pair in resource.resource.attributes}

    def requests(self) -> int:
        """How many requests the last push knows of."""
        found = self.metrics().get("http.server.request.duration")
        return sum(point.count for point in found.histogram.data_points) if found else 0


@asynccontextmanager
async def collector(protocol: str) -> AsyncIterator[Collector]:
    running = Collector()
    if protocol == "grpc":
        server = grpc.server(ThreadPoolExecutor(2))
        add_MetricsServiceServicer_to_server(running, server)  # type: ignore[no-untyped-call]
        running.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield running
        server.stop(None).wait()
        return
    application = web.Application()
    application.router.add_post("/v1/metrics", running.receive)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield running
    await runner.cleanup()


def pushing(protocol: str, endpoint: str, interval: float = 0.05) -> dict[str, str]:
    settings = {"protocol": protocol, "endpoint": endpoint, "exportInterval": int(interval * 1e9)}
    return {"OBSERVABILITY_CONFIG": json.dumps({"requestMetrics": settings})}


def attributes(point: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in point.attributes}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_what_was_counted_arrives_under_opentelemetrys_names(protocol: str) -> None:
    async with collector(protocol) as running, app() as served:
        settings = {**pushing(protocol, running.url), "CONTAINER_CONCURRENCY": "5", "SERVING_SERVICE": "hello"}
        async with sidecar(served.port, **settings, POD_NAME="pod-7") as proxy:
            await proxy.get("/a")
            await proxy.get("/b")
            await proxy.get("/", HEALTH)
            await eventually(lambda: running.requests() == 2)

    metrics = running.metrics()
    (point,) = metrics["http.server.request.duration"].histogram.data_points
    assert attributes(point) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "kn.route.tag": "kn:disabled",
        "network.protocol.version": "1.1",
    }
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1 == 15
    assert metrics["http.server.response.body.size"].unit == "By"
    assert metrics["kn.serving.queue.depth"].gauge.data_points[0].as_int == 0
    sent = metrics["upwell.queueproxy.upstream_requests"].sum
    assert (sent.is_monotonic, sent.aggregation_temporality, sent.data_points[0].as_int) == (True, 2, 2)
    assert "target_info" not in metrics


async def test_scopes_and_the_resource_say_who_measured() -> None:
    async with collector("http/protobuf") as running, app() as served:
        settings = {**pushing("http/protobuf", running.url), "SERVING_SERVICE": "hello", "POD_NAME": "pod-7"}
        async with sidecar(served.port, **settings):
            await eventually(lambda: running.received)

    (resource,) = running.received[-1].resource_metrics
    scopes = {scope.scope.name: {metric.name for metric in scope.metrics} for scope in resource.scope_metrics}
    assert "kn.serving.invocation.duration" in scopes[QUEUE]
    assert "upwell.queueproxy.client_connections" in scopes["upwell.dev/queueproxy"]
    found = running.resource()
    assert found.pop("service.version")
    assert found == {
        "container.name": "queue-proxy",
        "k8s.namespace.name": "default",
        "k8s.pod.name": "pod-7",
        "service.name": "hello",
        "service.instance.id": "pod-7",
        "kn.service.name": "hello",
        "kn.configuration.name": "hello",
        "kn.revision.name": "hello-00001",
    }


async def test_opentelemetrys_variables_win_over_the_clusters_settings() -> None:
    async with collector("http/protobuf") as running, app() as served:
        settings = {
            **pushing("http/protobuf", "http://127.0.0.1:1", interval=3600),
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{running.url}/v1/metrics",
            "OTEL_METRIC_EXPORT_INTERVAL": "50",
        }
        async with sidecar(served.port, **settings):
            await eventually(lambda: running.received)


async def test_what_came_after_the_last_push_is_pushed_at_the_end() -> None:
    async with collector("grpc") as running, app() as served:
        async with sidecar(served.port, **pushing("grpc", running.url, interval=3600)) as proxy:
            await proxy.get()
            proxy.terminate()
            assert await proxy.exit_status() == 0
        assert (running.requests(), len(running.received)) == (1, 1)


async def test_a_collector_that_is_away_costs_no_request() -> None:
    async with app() as served, sidecar(served.port, **pushing("http/protobuf", "http://127.0.0.1:1")) as proxy:
        for _ in range(20):
            assert (await proxy.get()).status == 200
        await eventually(lambda: any("127.0.0.1" in line and "rror" in line for line in proxy.lines))
        assert proxy.process.returncode is None
