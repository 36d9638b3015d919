"""Finished spans on their way to a collector, by OpenTelemetry's exporters (OTLP, Zipkin, stdout).

Loaded only when tracing is on; the packages come with the extra `upwell[tracing]`. Whoever traces keeps its own
times and identifiers and hands a span over when it is finished, so that a request never waits for the SDK; a thread
of the SDK's sends them in batches, and drops the newest when a collector does not keep up.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from upwell.ports import ConfigError
from upwell.telemetry.export_settings import with_path

try:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
except ImportError as missing:
    raise ConfigError(f"tracing needs more packages ({missing}); install upwell[tracing]") from missing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["SpanKind", "SpanSender"]

SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
FLUSH_SECONDS: Final = 10.0

Attributes = Mapping[str, str | int | float | bool]


class SpanSender:
    """Takes finished spans; `close` sends what is left."""

    def __init__(self, protocol: str, endpoint: str, resource: Mapping[str, str], scope: str) -> None:
        """`protocol` is grpc, http/protobuf, zipkin or stdout; an empty `endpoint` is the exporter's default."""
        self._resource = Resource(resource)
        self._scope = InstrumentationScope(scope)
        self._batches = BatchSpanProcessor(_make_exporter(protocol, endpoint))

    def send(
        self,
        name: str,
        kind: SpanKind,
        trace_id: int,
        span_id: int,
        parent_id: int,
        start: int,
        end: int,
        attributes: Attributes,
        *,
        remote_parent: bool = False,
        failed: bool = False,
    ) -> None:
        """A span is finished; times are nanoseconds since 1970, `parent_id` 0 without a parent."""
        parent = SpanContext(trace_id, parent_id, remote_parent, SAMPLED) if parent_id else None
        span = ReadableSpan(
            name,
            context=SpanContext(trace_id, span_id, False, SAMPLED),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            status=Status(StatusCode.ERROR) if failed else Status(StatusCode.UNSET),
            start_time=start,
            end_time=end,
            instrumentation_scope=self._scope,
        )
        self._batches.on_end(span)

    def close(self) -> None:
        """Send what is left and stop; blocks, for as long as a collector takes."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]


def _make_exporter(protocol: str, endpoint: str) -> "SpanExporter":
    where = endpoint or None
    if protocol == "stdout":
        return ConsoleSpanExporter()
    try:
        if protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc

            return grpc.OTLPSpanExporter(endpoint=where)
        if protocol == "http/protobuf":
            from opentelemetry.exporter.otlp.proto.http import trace_exporter as http

            return http.OTLPSpanExporter(endpoint=where and with_path(where, "/v1/traces"))
        from opentelemetry.exporter.zipkin.json import ZipkinExporter

        return ZipkinExporter(endpoint=where and with_path(where, "/api/v2/spans"))
    except ImportError as missing:
        raise ConfigError(
            f"tracing by {protocol} needs more packages ({missing}); install upwell[tracing]"
        ) from missing
