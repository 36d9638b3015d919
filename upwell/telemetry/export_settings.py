"""Where metrics are pushed to and how often, from the cluster's settings and OpenTelemetry's variables.

Source: contract queue-proxy.md 1.1, 10, 11.1. A variable of OpenTelemetry's wins over the cluster's setting, and where
it is an endpoint the exporter reads it itself.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from upwell.ports import ConfigError

__all__ = ["EXPORT_PROTOCOLS", "VARIABLES", "MetricsExport", "read_metrics_export", "with_path"]

EXPORT_PROTOCOLS: Final = ("grpc", "http/protobuf")
DEFAULT_INTERVAL: Final = 60.0
"""OpenTelemetry's."""
VARIABLES: Final = (
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "", "where metrics are pushed to; wins over the configured endpoint"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "60000", "milliseconds between two pushes; wins over the configured interval"),
)


class MetricsExport(NamedTuple):
    """A collector that metrics are pushed to."""

    protocol: str
    """One of EXPORT_PROTOCOLS."""
    endpoint: str
    """Empty: the exporter's default, or what the OTEL_EXPORTER_OTLP variables say."""
    interval: float
    """Seconds."""


def read_metrics_export(
    env: Mapping[str, str], section: Mapping[str, Any], protocol: str, source: str
) -> MetricsExport:
    """`section` has `endpoint` and `exportInterval` (nanoseconds); raise ConfigError, which names `source`."""
    elsewhere = env.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") or env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    endpoint = "" if elsewhere else str(section.get("endpoint") or "")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise ConfigError(f'{source}.endpoint is "{endpoint}"; use a URL such as http://collector:4318')
    return MetricsExport(protocol=protocol, endpoint=endpoint, interval=_interval(env, section, source))


def _interval(env: Mapping[str, str], section: Mapping[str, Any], source: str) -> float:
    text = env.get("OTEL_METRIC_EXPORT_INTERVAL", "")
    if text:
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
            raise ConfigError(f'OTEL_METRIC_EXPORT_INTERVAL="{text}": not a whole number of milliseconds above 0')
        return int(text) / 1000
    nanoseconds = section.get("exportInterval") or 0
    if isinstance(nanoseconds, bool) or not isinstance(nanoseconds, int) or nanoseconds < 0:
        raise ConfigError(
            f'{source}.exportInterval is "{nanoseconds}"; use a whole number of nanoseconds, such as 30000000000'
        )
    return nanoseconds / 1e9 or DEFAULT_INTERVAL


def with_path(url: str, path: str) -> str:
    """A URL that names only a host gets the protocol's usual path."""
    scheme, _, rest = url.partition("://")
    host, slash, tail = rest.partition("/")
    return f"{scheme}://{host}{path}" if not (slash and tail) else url
