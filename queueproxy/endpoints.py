"""What the sidecar answers on its other ports: drain for the kubelet, load for the autoscaler, metrics for the user.

The engine serves these too, so that a sidecar need not load a web framework (contract: queue-proxy.md 2, 9.1, 13.1).
"""

import asyncio
from typing import TYPE_CHECKING, Final

from queueproxy.drain import Drainer
from queueproxy.stats import CONTENT_TYPE as STAT_TYPE
from queueproxy.stats import StatsReporter
from upwell.http import Exchange
from upwell.telemetry.endpoints import Endpoints

if TYPE_CHECKING:
    from queueproxy.request_metrics import RequestMetrics

__all__ = ["admin_endpoints", "metrics_endpoints", "stats_endpoints"]

METRICS_PATH: Final = b"/metrics"


def admin_endpoints(drainer: Drainer, tasks: asyncio.TaskGroup) -> Endpoints:
    """`/wait-for-drain`, the preStop hook of the app's container: 200 once drained."""

    async def wait(exchange: Exchange) -> None:
        await drainer.drain_for_hook()
        if not exchange.ended:
            exchange.respond(200)

    def answer(exchange: Exchange) -> None:
        exchange.context = tasks.create_task(wait(exchange), name="wait for drain")

    return Endpoints({b"/wait-for-drain": answer})


def stats_endpoints(reporter: StatsReporter) -> Endpoints:
    """`/metrics` for the autoscaler, in protobuf only."""
    return Endpoints(
        {METRICS_PATH: lambda exchange: exchange.respond(200, ((b"Content-Type", STAT_TYPE),), reporter.message)}
    )


def metrics_endpoints(metrics: "RequestMetrics") -> Endpoints:
    """`/metrics` for Prometheus."""
    from upwell.telemetry.metrics import CONTENT_TYPE as METRICS_TYPE  # loaded with the metrics, if there are any

    return Endpoints(
        {METRICS_PATH: lambda exchange: exchange.respond(200, ((b"Content-Type", METRICS_TYPE),), metrics.render())},
        read_only=True,
    )
