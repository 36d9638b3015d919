"""The user metrics: what Prometheus scrapes on port 9091 (contract: queue-proxy.md 10).

Names and boundaries are the reference's; what it does not have is called `upwell_queueproxy_...`. Values that a
client chooses freely become labels only up to a bound: a method outside the known ones counts as `_OTHER`, and of
route tags the first 64 have series of their own. The reference's label `server_address` (the Host header) is left
out for the same reason: anybody could make the sidecar's memory grow with it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from upwell.http import Engine, Exchange, Outcome, Upstream
from upwell.policy.breaker import Breaker
from upwell.policy.request_stats import RequestStats
from upwell.telemetry.metrics import Counter, Histogram, Metric, Registry
from upwell.telemetry.statuses import final_status

__all__ = ["RequestMetrics"]

SIZE_BOUNDS: Final = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
METHODS: Final = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"QUERY")
)
TAGS_MAX: Final = 64
TAG: Final = b"knative-serving-tag"
DEFAULT_ROUTE: Final = b"knative-serving-default-route"

SCOPE_QUEUE: Final = "knative.dev/serving/pkg/queue"
SCOPE_HTTP: Final = "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
"""The reference's names of the parts that measure."""

Key = tuple[bytes, int, bytes, tuple[int, int]]
"""Method, status, route tag, version of HTTP."""
Series = tuple[Histogram, Histogram, Histogram]


def _labels(key: Key) -> tuple[str, ...]:
    method, status, tag, version = key
    return method.decode(), str(status), tag.decode("latin-1"), f"{version[0]}.{version[1]}"


def _scope(name: str) -> tuple[tuple[str, str], ...]:
    return ("otel_scope_name", name), ("otel_scope_schema_url", ""), ("otel_scope_version", "")


class RequestMetrics:
    """Counts exchanges; `registry` is what is exposed."""

    def __init__(
        self,
        engine: Engine,
        upstream: Upstream,
        breaker: Breaker[Exchange] | None,
        stats: RequestStats,
        resource: Mapping[str, str],
    ) -> None:
        """Present figures are read from `stats`, and from `breaker` where there is a limit; `resource` is us."""
        registry = self.registry = Registry()
        self._engine = engine
        self._attempts = 0
        self._add_contracts(breaker)
        labels = tuple((name.replace(".", "_"), value) for name, value in resource.items())
        registry.gauge_from("target_info", "Target metadata", lambda: 1, labels)
        self._wait = registry.histogram("upwell_queueproxy_queue_wait_seconds", "Time spent waiting for a slot.")
        self._rejections = registry.counter(
            "upwell_queueproxy_rejections", "Requests answered without the app, by reason.", ("reason",)
        )
        in_flight = "upwell_queueproxy_in_flight_requests"
        registry.gauge_from(in_flight, "Requests received and not yet ended.", lambda: stats.in_flight)
        if breaker is not None:
            waiting = "upwell_queueproxy_waiting_requests"
            registry.gauge_from(waiting, "Requests waiting for a slot.", lambda: breaker.waiting)
        prefix = "upwell_queueproxy_upstream_"
        registry.counter_from(f"{prefix}requests", "Requests sent to the app, again or not.", lambda: self._attempts)
        registry.counter_from(
            f"{prefix}connections_opened", "Connections opened to the app.", lambda: upstream.connections_opened
        )
        registry.gauge_from(f"{prefix}idle_connections", "Kept connections to the app.", lambda: upstream.idle_count)
        registry.gauge_from(
            "upwell_queueproxy_client_connections", "Open client connections.", lambda: len(engine.connections)
        )
        self._series: dict[Key, Series] = {}
        self._app_series: dict[Key, Series] = {}
        """Of requests that the app had; those that it never had leave no series there."""
        self._tags: set[bytes] = set()

    def _add_contracts(self, breaker: Breaker[Exchange] | None) -> None:
        """The metrics that the reference has too."""
        registry = self.registry
        labels = ("http_request_method", "http_response_status_code", "kn_route_tag", "network_protocol_version")
        status = ("http_response_status_code",)
        queue, http = _scope(SCOPE_QUEUE), _scope(SCOPE_HTTP)
        self._invocation = registry.histogram(
            "kn_serving_invocation_duration_seconds", "Time in the app, without the wait.", status, fixed=queue
        )
        if breaker is not None:
            registry.gauge_from(
                "kn_serving_queue_depth",
                "Requests in the app or waiting for it.",
                lambda: breaker.running + breaker.waiting,
                queue,
            )
        self._duration = registry.histogram(
            "http_server_request_duration_seconds", "Time from head to response's end.", labels, fixed=http
        )
        self._request_size = registry.histogram(
            "http_server_request_body_size_bytes", "Size of request bodies.", labels, bounds=SIZE_BOUNDS, fixed=http
        )
        self._response_size = registry.histogram(
            "http_server_response_body_size_bytes", "Size of response bodies.", labels, bounds=SIZE_BOUNDS, fixed=http
        )
        self._client_duration = registry.histogram(
            "http_client_request_duration_seconds", "Time of requests to the app.", labels, fixed=http
        )
        self._client_size = registry.histogram(
            "http_client_request_body_size_bytes", "Size of bodies for the app.", labels, bounds=SIZE_BOUNDS, fixed=http
        )

    def render(self) -> bytes:
        """The text for Prometheus."""
        self._take_over_refused()
        return self.registry.render()

    def read(self) -> Sequence[Metric]:
        """The metrics of this moment."""
        self._take_over_refused()
        return self.registry.metrics

    def rejected(self, reason: str) -> None:
        """A request was answered by the sidecar itself."""
        self._rejection(reason).inc()

    def waited(self, seconds: float) -> None:
        """A request got its slot after so long."""
        self._wait.observe(seconds)

    def ended(self, exchange: Exchange, total: float, in_app: float | None) -> None:
        """An exchange ended; times are seconds, `in_app` None where the app never had it."""
        key = self._key_of(exchange)
        duration, request_size, response_size = self._series.get(key) or self._new_series(key)
        duration.observe(total)
        request_size.observe(exchange.request_bytes)
        response_size.observe(exchange.response_bytes)
        if in_app is not None:
            invocation, client, client_size = self._app_series.get(key) or self._new_app_series(key)
            self._attempts += exchange.attempts
            invocation.observe(in_app)
            client.observe(in_app)
            client_size.observe(exchange.request_bytes)
        if exchange.outcome is Outcome.TIMED_OUT:
            self.rejected("timeout")

    def _take_over_refused(self) -> None:
        for reason, count in self._engine.refused.items():
            self._rejection(reason).value = count

    def _rejection(self, reason: str) -> Counter:
        return self._rejections.labels(reason)

    def _key_of(self, exchange: Exchange) -> Key:
        request = exchange.request
        tag = self._route_tag(request.get(TAG), request.get(DEFAULT_ROUTE))
        method = request.method if request.method in METHODS else b"_OTHER"
        return method, final_status(exchange), tag, request.version

    def _new_series(self, key: Key) -> Series:
        values = _labels(key)
        series = self._series[key] = (
            self._duration.labels(*values),
            self._request_size.labels(*values),
            self._response_size.labels(*values),
        )
        return series

    def _new_app_series(self, key: Key) -> Series:
        values = _labels(key)
        series = self._app_series[key] = (
            self._invocation.labels(str(key[1])),
            self._client_duration.labels(*values),
            self._client_size.labels(*values),
        )
        return series

    def _route_tag(self, tag: bytes | None, default_route: bytes | None) -> bytes:
        if not tag:
            return b"kn:default" if default_route else b"kn:disabled"
        if default_route == b"true":
            return b"kn:undefined"
        if tag not in self._tags:
            if len(self._tags) >= TAGS_MAX:
                return b"kn:other"
            self._tags.add(tag)
        return tag
