"""What OpenTelemetry calls the metrics that Prometheus reads by other names (contract: queue-proxy.md 10).

Prometheus' names are made from these by replacing points and adding units; the way back needs a table.
"""

from typing import Final

__all__ = ["ATTRIBUTES", "METRICS"]

_OURS: Final = (
    "in_flight_requests",
    "waiting_requests",
    "queue_wait",
    "rejections",
    "upstream_requests",
    "upstream_connections_opened",
    "upstream_idle_connections",
    "client_connections",
)
METRICS: Final = {
    "kn_serving_invocation_duration": "kn.serving.invocation.duration",
    "kn_serving_queue_depth": "kn.serving.queue.depth",
    "http_server_request_duration": "http.server.request.duration",
    "http_server_request_body_size": "http.server.request.body.size",
    "http_server_response_body_size": "http.server.response.body.size",
    "http_client_request_duration": "http.client.request.duration",
    "http_client_request_body_size": "http.client.request.body.size",
    **{f"upwell_queueproxy_{name}": f"upwell.queueproxy.{name}" for name in _OURS},
}
"""Without units and `_total`."""
ATTRIBUTES: Final = {
    "http_request_method": "http.request.method",
    "http_response_status_code": "http.response.status_code",
    "kn_route_tag": "kn.route.tag",
    "network_protocol_version": "network.protocol.version",
}
