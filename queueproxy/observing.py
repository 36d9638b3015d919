"""The parts that watch requests go by: metrics, request log, spans. Each is loaded and made only where it is asked for.

What is pushed to a collector (metrics, spans) is sent by threads, and what is left at the end is given ten seconds.
"""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from queueproxy.config import QueueProxyConfig
from queueproxy.resource import exported_resource, resource_attributes
from upwell.clock import Clock
from upwell.http import Engine, Exchange, Upstream
from upwell.policy.breaker import Breaker
from upwell.policy.request_stats import RequestStats
from upwell.telemetry import log

if TYPE_CHECKING:
    from queueproxy.request_metrics import RequestMetrics
    from queueproxy.request_tracing import RequestTracing
    from upwell.telemetry.metrics_export import MetricsSender
    from upwell.telemetry.tracing import SpanSender

__all__ = ["Observers", "flush", "make_observers"]

SCOPE: Final = "upwell.dev/queueproxy"
FLUSH_SECONDS: Final = 10.0

_log = log.get()


class Observers(NamedTuple):
    """What there is; None stands for what was not asked for."""

    metrics: "RequestMetrics | None"
    metrics_sender: "MetricsSender | None"
    tracing: "RequestTracing | None"
    span_sender: "SpanSender | None"
    request_log: Callable[[Exchange, float], None] | None


def make_observers(
    config: QueueProxyConfig,
    engine: Engine,
    upstream: Upstream,
    breaker: Breaker[Exchange] | None,
    stats: RequestStats,
    clock: Clock,
) -> Observers:
    """Make what the settings ask for; raise ConfigError where packages are missing."""
    settings = config.observability
    metrics = None
    if settings.prometheus or settings.metrics_export is not None:
        from queueproxy.request_metrics import RequestMetrics

        metrics = RequestMetrics(engine, upstream, breaker, stats, resource_attributes(config, os.environ))
    tracing, span_sender = _make_tracing(config)
    return Observers(
        metrics=metrics,
        metrics_sender=None if metrics is None else _make_metrics_sender(config, metrics, clock),
        tracing=tracing,
        span_sender=span_sender,
        request_log=_make_request_log(config),
    )


def _make_metrics_sender(config: QueueProxyConfig, metrics: "RequestMetrics", clock: Clock) -> "MetricsSender | None":
    settings = config.observability.metrics_export
    if settings is None:
        return None
    from queueproxy import otel_names
    from upwell.telemetry.metrics_export import MetricsSender, Naming

    naming = Naming(SCOPE, otel_names.METRICS, otel_names.ATTRIBUTES)
    return MetricsSender(settings, metrics.read, naming, exported_resource(config, os.environ), clock)


def _make_tracing(config: QueueProxyConfig) -> "tuple[RequestTracing | None, SpanSender | None]":
    settings = config.observability.tracing
    if settings is None:
        return None, None
    from queueproxy.request_tracing import RequestTracing
    from upwell.telemetry.tracing import SpanSender

    sender = SpanSender(settings.protocol, settings.endpoint, exported_resource(config, os.environ), SCOPE)
    return RequestTracing(settings.sampler, sender), sender


def _make_request_log(config: QueueProxyConfig) -> Callable[[Exchange, float], None] | None:
    if config.observability.log_template is None:
        return None
    from upwell.telemetry.request_log import RequestLog

    return partial(RequestLog(config.observability.log_template).write, revision=config.revision)


async def flush(observers: Observers) -> None:
    """Give the collectors what is left, for a while; threads that send must not keep the process from ending."""
    closing: list[Callable[[], None]] = []
    if observers.metrics_sender is not None:
        closing.append(partial(observers.metrics_sender.close, observers.metrics_sender.collect()))
    if observers.span_sender is not None:
        closing.append(observers.span_sender.close)
    if not closing:
        return
    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            await asyncio.gather(*(asyncio.to_thread(close) for close in closing))
    except TimeoutError:
        _log.warning("metrics or spans were lost: the collector did not take them in time")
        os._exit(0)
