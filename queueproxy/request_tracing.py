"""The spans of a request, and the headers that carry its trace to the app (contract: queue-proxy.md 10.5).

    GET                         server: from the head to the response's end
      kn.queueproxy.proxy       the same, as the reference has it
        kn.queueproxy.wait      until the slot; only with a concurrency limit
        HTTP GET                client: the app's part; its id is what the app sees as its parent

Whether a request is traced at all is for the `Tracer` to say.
"""

import time

from upwell.http import Exchange
from upwell.telemetry.request_trace import SampledTrace, Trace, Tracer, new_span_id
from upwell.telemetry.sampling import Sampler
from upwell.telemetry.statuses import final_status
from upwell.telemetry.tracing import SpanKind, SpanSender

__all__ = ["RequestTracing"]


class RequestTracing(Tracer):
    """Decides which requests are traced, and reports those that are finished."""

    def __init__(self, sampler: Sampler, sender: SpanSender) -> None:
        super().__init__(sampler)
        self._sender = sender

    def ended(
        self, exchange: Exchange, trace: Trace, *, total: float, waited: float | None, in_app: float | None
    ) -> None:
        """A request is over: seconds in all, in line (None without a limit), in the app (None: never)."""
        if not isinstance(trace, SampledTrace):
            return
        end = time.time_ns()
        start = end - int(total * 1e9)
        request, status = exchange.request, final_status(exchange)
        method = request.method.decode("latin-1")
        failed = status >= 500
        sent: dict[str, str | int | float | bool] = {"http.request.method": method, "http.response.status_code": status}
        server = {
            **sent,
            "url.path": request.target.partition(b"?")[0].decode("latin-1"),
            "url.scheme": "http",
            "server.address": request.host.decode("latin-1"),
            "client.address": request.peer,
            "network.protocol.version": f"{request.version[0]}.{request.version[1]}",
            "user_agent.original": (request.get(b"user-agent") or b"").decode("latin-1"),
            "http.response.body.size": exchange.response_bytes,
        }
        ids, send = trace.trace_id, self._sender.send
        if in_app is not None:
            send(
                f"HTTP {method}",
                SpanKind.CLIENT,
                ids,
                trace.client,
                trace.proxy,
                end - int(in_app * 1e9),
                end,
                sent,
                failed=failed,
            )
        if waited is not None:
            wait_end = start + int(waited * 1e9)
            send("kn.queueproxy.wait", SpanKind.INTERNAL, ids, new_span_id(), trace.proxy, start, wait_end, {})
        send("kn.queueproxy.proxy", SpanKind.INTERNAL, ids, trace.proxy, trace.server, start, end, {})
        send(
            method,
            SpanKind.SERVER,
            ids,
            trace.server,
            trace.parent,
            start,
            end,
            server,
            remote_parent=True,
            failed=failed,
        )
