"""What the sidecar answers on its other ports: drain for the kubelet, load for the autoscaler, metrics for the user.

The engine serves these too, so that a sidecar need not load a web framework (contract: queue-proxy.md 2, 9.1, 13.1).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from queueproxy.answers import answer_error
from queueproxy.drain import Drainer
from queueproxy.stats import CONTENT_TYPE as STAT_TYPE
from queueproxy.stats import StatsReporter
from upwell.http import Exchange, UpstreamFailure

if TYPE_CHECKING:
    from queueproxy.request_metrics import RequestMetrics

__all__ = ["Endpoints", "admin_endpoints", "metrics_endpoints", "stats_endpoints"]

Answer = Callable[[Exchange], None]
METRICS_PATH: Final = b"/metrics"
READING: Final = (b"GET", b"HEAD")


class Endpoints:
    """An application that answers certain paths itself, and 404 elsewhere."""

    def __init__(self, routes: Mapping[bytes, Answer], *, read_only: bool = False) -> None:
        """`read_only`: methods other than GET and HEAD are 405, as in the reference; else all methods are one."""
        self._routes = routes
        self._read_only = read_only

    def request_received(self, exchange: Exchange) -> None:
        answer = self._routes.get(exchange.request.target.partition(b"?")[0])
        if answer is None:
            answer_error(exchange, 404, "not-found", b"404 page not found")
        elif self._read_only and exchange.request.method not in READING:
            answer_error(exchange, 405, "method", b"Method Not Allowed", (b"Allow", b"GET, HEAD"))
        else:
            answer(exchange)

    def exchange_ended(self, exchange: Exchange) -> None:
        """A waiter that leaves stops waiting."""
        if isinstance(exchange.context, asyncio.Task):
            exchange.context.cancel()

    def upstream_failed(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        raise AssertionError("nothing is forwarded here")


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
