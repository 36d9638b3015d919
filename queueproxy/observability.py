"""What of OBSERVABILITY_CONFIG concerns this process: user metrics, request log, tracing, profiles (contract: 11).

The JSON is Knative's. `tracing.protocol` may be `zipkin` besides, which Knative had once and its users still run.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from queueproxy.tls_settings import METRICS_VARIABLES, TlsSettings, find_metrics_tls
from upwell.api import names
from upwell.ports import ConfigError
from upwell.telemetry.export_settings import EXPORT_PROTOCOLS, MetricsExport, read_metrics_export
from upwell.telemetry.export_settings import VARIABLES as EXPORT_VARIABLES
from upwell.telemetry.tracing_settings import VARIABLES as TRACING_VARIABLES
from upwell.telemetry.tracing_settings import TracingSettings, read_tracing

if TYPE_CHECKING:
    from upwell.telemetry.log_template import Template

__all__ = ["VARIABLES", "Observability", "parse_observability"]

VARIABLE: Final = "OBSERVABILITY_CONFIG"
VARIABLES: Final = (
    (
        VARIABLE,
        "",
        "JSON: requestMetrics, tracing, runtime, enableRequestLog, requestLogTemplate, enableProbeRequestLog",
    ),
    ("METRICS_PROMETHEUS_HOST", "", "address of the user metrics; wins over OBSERVABILITY_CONFIG"),
    ("METRICS_PROMETHEUS_PORT", "9091", "port of the user metrics"),
    *METRICS_VARIABLES,
    ("PROFILING_PORT", "8008", "port for profiles, with runtime.profiling"),
    ("OTEL_SERVICE_NAME", "", "name of the service in traces and target_info; empty: the Knative Service's"),
    *EXPORT_VARIABLES,
    *TRACING_VARIABLES,
)
METRICS_PROTOCOLS: Final = ("none", "prometheus", *EXPORT_PROTOCOLS)


class Observability(NamedTuple):
    """The settings, checked."""

    prometheus: bool = False
    """Serve the user metrics."""
    metrics_host: str = ""
    """Empty: the same addresses as the other ports."""
    metrics_port: int = names.PORT_USER_METRICS
    metrics_tls: TlsSettings | None = None
    """None: they are served in the clear."""
    metrics_export: MetricsExport | None = None
    """None: the user metrics are not pushed anywhere."""
    profiling_port: int = 0
    """0: no profiles."""
    log_template: "Template | None" = None
    """None: no request log."""
    log_probes: bool = False
    tracing: TracingSettings | None = None
    """None: trace headers pass as they are."""


def parse_observability(env: Mapping[str, str]) -> Observability:
    """Read the variable and those that override it; raise ConfigError."""
    settings = _json_object(env.get(VARIABLE, ""))
    metrics = _section(settings, "requestMetrics")
    protocol = _protocol(metrics, "requestMetrics", METRICS_PROTOCOLS)
    host, port = _metrics_address(env, metrics if protocol == "prometheus" else {})
    return Observability(
        prometheus=protocol == "prometheus",
        metrics_host=host,
        metrics_port=port,
        metrics_tls=find_metrics_tls(env) if protocol == "prometheus" else None,
        metrics_export=(
            read_metrics_export(env, metrics, protocol, f"{VARIABLE}: requestMetrics")
            if protocol in EXPORT_PROTOCOLS
            else None
        ),
        profiling_port=_profiling_port(env, _section(settings, "runtime")),
        log_template=_log_template(settings) if _switch(settings, "enableRequestLog") else None,
        log_probes=_switch(settings, "enableProbeRequestLog"),
        tracing=read_tracing(env, _section(settings, "tracing"), VARIABLE),
    )


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "null")
    except ValueError as error:
        raise ConfigError(f'{VARIABLE}="{text[:200]}": not JSON ({error})') from error
    if value is None:  # as in Go, also for the settings in it
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f'{VARIABLE}="{text[:200]}": not a JSON object, for example {{"enableRequestLog": true}}')
    return value


def _section(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = settings.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f'{VARIABLE}: {key} is "{value}", not an object')
    return value


def _protocol(section: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    protocol = section.get("protocol") or "none"
    if protocol not in known:
        raise ConfigError(f'{VARIABLE}: {name}.protocol is "{protocol}"; use one of {", ".join(known)}')
    return str(protocol)


def _switch(settings: Mapping[str, Any], key: str) -> bool:
    value = settings.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ConfigError(f'{VARIABLE}: {key} is "{value}"; use true or false')
    return value


def _log_template(settings: Mapping[str, Any]) -> "Template | None":
    from upwell.telemetry.log_template import DEFAULT_TEMPLATE, Template, TemplateError  # only where there is a log

    text = settings.get("requestLogTemplate")
    if text is None:
        text = DEFAULT_TEMPLATE
    if not isinstance(text, str):
        raise ConfigError(f'{VARIABLE}: requestLogTemplate is "{text}", not a text')
    try:
        return Template(text) if text else None
    except TemplateError as error:
        raise ConfigError(f"{VARIABLE}: requestLogTemplate: {error}") from error


def _profiling_port(env: Mapping[str, str], runtime: Mapping[str, Any]) -> int:
    profiling = runtime.get("profiling") or "disabled"
    if profiling not in ("enabled", "disabled"):
        raise ConfigError(f'{VARIABLE}: runtime.profiling is "{profiling}"; use enabled or disabled')
    text = env.get("PROFILING_PORT") or str(names.PORT_PROFILING)
    if profiling == "disabled":
        return 0
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 65535):
        raise ConfigError(f'PROFILING_PORT="{text}": not a port; give a number from 1 to 65535')
    return int(text)


def _metrics_address(env: Mapping[str, str], metrics: Mapping[str, Any]) -> tuple[str, int]:
    endpoint = str(metrics.get("endpoint") or "")
    host, _, port = endpoint.rpartition(":")
    if endpoint and not port.isdigit():
        raise ConfigError(f'{VARIABLE}: requestMetrics.endpoint is "{endpoint}"; use host:port')
    host = env.get("METRICS_PROMETHEUS_HOST") or host.strip("[]")
    text = env.get("METRICS_PROMETHEUS_PORT") or port or str(names.PORT_USER_METRICS)
    if not (text.isascii() and text.isdigit() and 1024 <= int(text) <= 65535):
        raise ConfigError(f'METRICS_PROMETHEUS_PORT="{text}": not a port; give a number from 1024 to 65535')
    return host, int(text)
