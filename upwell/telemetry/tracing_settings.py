"""Where spans go and which requests are traced, from the cluster's settings and OpenTelemetry's variables.

The protocols are Knative's, and `zipkin`, which Knative had once and its users still run.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from upwell.ports import ConfigError
from upwell.telemetry.sampling import Sampler, read_sampler

__all__ = ["VARIABLES", "TracingSettings", "read_tracing"]

PROTOCOLS: Final = ("none", "grpc", "http/protobuf", "zipkin", "stdout")
VARIABLES: Final = (
    ("OTEL_TRACES_SAMPLER", "", "sampler by OpenTelemetry's names; wins over tracing.samplingRate"),
    ("OTEL_TRACES_SAMPLER_ARG", "1", "share of the requests that such a sampler takes"),
    (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "",
        "where traces go; wins over tracing.endpoint",
    ),
)


class TracingSettings(NamedTuple):
    """Where spans go, and which."""

    protocol: str
    endpoint: str
    """Empty: the exporter's default, or what the OTEL_EXPORTER_OTLP variables say."""
    sampler: Sampler


def read_tracing(env: Mapping[str, str], section: Mapping[str, Any], source: str) -> TracingSettings | None:
    """`section` has `protocol`, `endpoint` and `samplingRate`; raise ConfigError, which names `source`."""
    protocol = section.get("protocol") or "none"
    if protocol not in PROTOCOLS:
        raise ConfigError(f'{source}: tracing.protocol is "{protocol}"; use one of {", ".join(PROTOCOLS)}')
    if protocol == "none":
        return None
    rate = section.get("samplingRate") or 0
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise ConfigError(f'{source}: tracing.samplingRate is "{rate}"; use a number from 0 to 1')
    elsewhere = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    endpoint = "" if elsewhere and protocol in ("grpc", "http/protobuf") else str(section.get("endpoint") or "")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise ConfigError(f'{source}: tracing.endpoint is "{endpoint}"; use a URL such as http://collector:4318')
    sampler = read_sampler(env, 1.0 if protocol == "stdout" else float(rate))
    return TracingSettings(protocol=str(protocol), endpoint=endpoint, sampler=sampler)
