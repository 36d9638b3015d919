"""The spans of a request (contract: activator.md 12.4), and of the cold start that it waited for.

    GET                    server: from the head to the answer's end; says which revision
      throttler_try        until a pod had a slot for it
        decided            one for each phase of a cold start; only for a request that found no pod
        pod_created
        …
      activator_proxy      from then to the end
        GET /path          client: the pod's part; its id is what the sidecar sees as its parent

Whether a request is traced at all is for the `Tracer` to say.
"""

import time
from collections.abc import Mapping
from typing import Final

from activator.revisions import Revision
from upwell.http import Exchange
from upwell.telemetry.request_trace import SampledTrace, Trace, Tracer, new_span_id
from upwell.telemetry.sampling import Sampler
from upwell.telemetry.statuses import final_status
from upwell.telemetry.tracing import SpanKind, SpanSender

__all__ = ["SCOPE", "RequestTracing"]

SCOPE: Final = "knative.dev/serving/pkg/activator"
_AFTER_THE_WAIT: Final = "first_byte"

Attributes = dict[str, str | int | float | bool]


class RequestTracing(Tracer):
    """Decides which requests are traced, and reports those that are finished."""

    def __init__(self, sampler: Sampler, sender: SpanSender) -> None:
        super().__init__(sampler)
        self._sender = sender

    def ended(
        self,
        exchange: Exchange,
        trace: Trace,
        revision: Revision | None,
        *,
        total: float,
        waited: float,
        phases: Mapping[str, float],
    ) -> None:
        """A request is over after `total` seconds, of which it `waited` some for a pod, in these cold start `phases`.

        `revision` is None where there is none of that name.
        """
        if not isinstance(trace, SampledTrace):
            return
        end = time.time_ns()
        start = end - int(total * 1e9)
        forwarded = start + int(waited * 1e9)
        failed = final_status(exchange) >= 500
        if revision is not None:
            self._send_wait(trace, start, forwarded, phases, failed=not exchange.attempts)
        if exchange.attempts:
            self._send_proxying(exchange, trace, forwarded, end, failed=failed)
        self._sender.send(
            exchange.request.method.decode("latin-1"),
            SpanKind.SERVER,
            trace.trace_id,
            trace.server,
            trace.parent,
            start,
            end,
            _server_attributes(exchange, revision),
            remote_parent=True,
            failed=failed,
        )

    def _send_wait(
        self, trace: SampledTrace, start: int, end: int, phases: Mapping[str, float], *, failed: bool
    ) -> None:
        span, send = new_span_id(), self._sender.send
        began = start
        for phase, seconds in phases.items():
            ended = began + int(seconds * 1e9)
            if ended > began and phase != _AFTER_THE_WAIT:
                send(phase, SpanKind.INTERNAL, trace.trace_id, new_span_id(), span, began, ended, {})
            began = ended
        send("throttler_try", SpanKind.INTERNAL, trace.trace_id, span, trace.server, start, end, {}, failed=failed)

    def _send_proxying(self, exchange: Exchange, trace: SampledTrace, start: int, end: int, *, failed: bool) -> None:
        request, send = exchange.request, self._sender.send
        method, path = request.method.decode("latin-1"), request.target.partition(b"?")[0].decode("latin-1")
        sent: Attributes = {"http.request.method": method, "http.response.status_code": final_status(exchange)}
        if exchange.upstream is not None:
            sent.update({"server.address": exchange.upstream.host, "server.port": exchange.upstream.port})
        name = f"{method} {path}"
        ids = trace.trace_id
        send(name, SpanKind.CLIENT, ids, trace.client, trace.proxy, start, end, sent, failed=failed)
        send("activator_proxy", SpanKind.INTERNAL, ids, trace.proxy, trace.server, start, end, {})


def _server_attributes(exchange: Exchange, revision: Revision | None) -> Attributes:
    request = exchange.request
    attributes: Attributes = {
        "http.request.method": request.method.decode("latin-1"),
        "http.response.status_code": final_status(exchange),
        "url.path": request.target.partition(b"?")[0].decode("latin-1"),
        "url.scheme": "http",
        "server.address": request.host.decode("latin-1"),
        "client.address": request.peer,
        "network.protocol.version": f"{request.version[0]}.{request.version[1]}",
        "user_agent.original": (request.get(b"user-agent") or b"").decode("latin-1"),
        "http.response.body.size": exchange.response_bytes,
    }
    if revision is not None:
        service, configuration, name, namespace = revision.metric_labels
        attributes.update(
            {
                "kn.service.name": service,
                "kn.configuration.name": configuration,
                "kn.revision.name": name,
                "k8s.namespace.name": namespace,
            }
        )
    return attributes
