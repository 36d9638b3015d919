"""The spans of a request, and the headers that carry its trace to the app (contract: queue-proxy.md 10.5).

    GET                         server: from the head to the response's end
      kn.queueproxy.proxy       the same, as the reference has it
        kn.queueproxy.wait      until the slot; only with a concurrency limit
        HTTP GET                client: the app's part; its id is what the app sees as its parent

A request that is not sampled costs a look at its headers. When the caller has decided against it, nothing is changed
at all; when we have, the app is told with a traceparent of its own, so that it need not decide again.
"""

import time
from random import getrandbits
from typing import Final

from queueproxy.answers import final_status
from upwell.http import Exchange
from upwell.telemetry.sampling import Sampler
from upwell.telemetry.trace_context import (
    B3_FIELDS,
    TRACEPARENT,
    Fields,
    TraceContext,
    read_trace_context,
    trace_fields,
)
from upwell.telemetry.tracing import SpanKind, SpanSender

__all__ = ["RequestTracing", "Trace"]

NONE: Final[frozenset[bytes]] = frozenset()
REPLACED: Final = frozenset((TRACEPARENT,))
REPLACED_WITH_B3: Final = REPLACED | B3_FIELDS


class Trace:
    """What one request's headers become, and, when it is sampled, its identifiers."""

    __slots__ = ("add", "client", "parent", "proxy", "remove", "sampled", "server", "trace_id")

    def __init__(self, remove: frozenset[bytes], add: Fields) -> None:
        self.remove = remove
        """Lower-case names of fields that are replaced."""
        self.add = add
        self.sampled = False
        self.trace_id = self.parent = self.server = self.proxy = self.client = 0


class RequestTracing:
    """Decides, and reports finished requests."""

    def __init__(self, sampler: Sampler, sender: SpanSender) -> None:
        self._sampler = sampler
        self._sender = sender

    def begin(self, fields: dict[bytes, bytes]) -> Trace | None:
        """The trace of a request with these fields; None when its headers stay as they are."""
        caller = None
        if TRACEPARENT in fields or not B3_FIELDS.isdisjoint(fields):
            caller = read_trace_context(fields)
        trace_id = caller.trace_id if caller is not None else getrandbits(128) or 1
        if self._sampler.takes(trace_id, caller.sampled if caller is not None else None):
            return self._sampled(trace_id, caller.span_id if caller is not None else 0, fields)
        if caller is not None and caller.sampled is False:
            return None
        if caller is not None:
            return self._told(TraceContext(trace_id, caller.span_id, False), caller.span_id, fields)
        return Trace(NONE, ((TRACEPARENT, b"00-%032x-%016x-00" % (trace_id, getrandbits(64) or 1)),))

    def _told(self, context: TraceContext, parent: int, fields: dict[bytes, bytes]) -> Trace:
        remove = REPLACED if B3_FIELDS.isdisjoint(fields) else REPLACED_WITH_B3
        return Trace(remove, trace_fields(context, parent, fields))

    def _sampled(self, trace_id: int, parent: int, fields: dict[bytes, bytes]) -> Trace:
        client = getrandbits(64) or 1
        proxy = getrandbits(64) or 1
        trace = self._told(TraceContext(trace_id, client, True), proxy, fields)
        trace.sampled = True
        trace.trace_id, trace.parent = trace_id, parent
        trace.server, trace.proxy, trace.client = getrandbits(64) or 1, proxy, client
        return trace

    def ended(self, exchange: Exchange, trace: Trace, *, total: float, waited: float | None, in_app: float) -> None:
        """A sampled request is over: seconds in all, waiting (None without a limit), and in the app (0: not at all)."""
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
        if in_app:
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
            send("kn.queueproxy.wait", SpanKind.INTERNAL, ids, getrandbits(64) or 1, trace.proxy, start, wait_end, {})
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
