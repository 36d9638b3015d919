"""What the gateway counts: requests by backend and class of status, their latency, retries, and who waits."""

from typing import Final

from gateway.ingress import Backend
from upwell.telemetry.metrics import Counter, Registry

__all__ = ["BackendMetrics", "GatewayMetrics"]

_LABELS: Final = ("namespace", "service")
_CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
"""By first digit of the status; `none` is a client that left before there was one."""
_HIGHEST: Final = len(_CLASSES) - 1


class BackendMetrics:
    """The metrics of the requests to one backend."""

    __slots__ = ("latency", "requests", "retries")

    def __init__(self, owner: "GatewayMetrics", namespace: str, service: str) -> None:
        self.requests = [owner.requests.labels(namespace, service, name) for name in _CLASSES]
        self.latency = owner.latency.labels(namespace, service)
        self.retries = owner.retries.labels(namespace, service)

    def ended(self, status: int, seconds: float) -> None:
        """One request is over."""
        self.requests[min(status // 100, _HIGHEST)].inc()
        self.latency.observe(seconds)


class GatewayMetrics:
    """The metrics of the process."""

    def __init__(self, registry: Registry) -> None:
        self.requests = registry.counter(
            "upwell_gateway_requests",
            "Requests that ended, by backend and class of the status (none: the client left first).",
            (*_LABELS, "code_class"),
        )
        self.latency = registry.histogram(
            "upwell_gateway_request_duration_seconds", "Time from a request's head to the end of its response.", _LABELS
        )
        self.retries = registry.counter(
            "upwell_gateway_retries", "Attempts that failed and were made again, unseen by the client.", _LABELS
        )
        self.unrouted: Counter = registry.counter(
            "upwell_gateway_unrouted_requests", "Requests whose host or path no Ingress routes; answered 404."
        )
        self.unanswered: Counter = registry.counter(
            "upwell_gateway_unanswered_requests", "Requests that no endpoint could take in time; answered 502 or 503."
        )

    def backend(self, backend: Backend) -> BackendMetrics:
        return BackendMetrics(self, backend.namespace, backend.service)

    def drop(self, backend: Backend) -> None:
        """Forget the metrics of a backend that is no more."""
        for name in _CLASSES:
            self.requests.remove(backend.namespace, backend.service, name)
        self.latency.remove(backend.namespace, backend.service)
        self.retries.remove(backend.namespace, backend.service)
