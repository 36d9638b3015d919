"""config-observability: what components and sidecars log, count and trace.

Only what the controller passes on is read here: the URL of a revision's logs, and the settings that each sidecar gets
as JSON in OBSERVABILITY_CONFIG (contract: control-plane.md 5.6, 11.6).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from upwell.api.settings import Settings
from upwell.policy.durations import NANOSECONDS
from upwell.policy.quantities import parse_float

__all__ = ["ObservabilityConfig", "parse_observability"]

REQUEST_LOG_TEMPLATE: Final = (
    '{"httpRequest": {"requestMethod": "{{.Request.Method}}", "requestUrl": "{{js .Request.RequestURI}}", '
    '"requestSize": "{{.Request.ContentLength}}", "status": {{.Response.Code}}, "responseSize": "{{.Response.Size}}", '
    '"userAgent": "{{js .Request.UserAgent}}", "remoteIp": "{{js .Request.RemoteAddr}}", '
    '"serverIp": "{{.Revision.PodIP}}", "referer": "{{js .Request.Referer}}", "latency": "{{.Response.Latency}}s", '
    '"protocol": "{{.Request.Proto}}"}, "traceId": "{{.TraceID}}"}'
)
_METRICS: Final = {"none": "none", "prometheus": "prometheus", "grpc": "grpc", "http/protobuf": "http/protobuf"}
_TRACING: Final = {"none": "none", "stdout": "stdout", "grpc": "grpc", "http/protobuf": "http/protobuf"}
_PROFILING: Final = {"enabled": "enabled", "disabled": "disabled"}
_RUNTIME_INTERVAL: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservabilityConfig:
    """Times are in seconds."""

    revision_url_template: str = ""
    """The URL of a revision's logs, with `${REVISION_UID}` for its uid; empty for none."""
    var_log_collection: bool = False
    profiling: bool = False
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    """What the sidecar reads from OBSERVABILITY_CONFIG."""

    def sidecar_json(self) -> str:
        return json.dumps(self.sidecar, separators=(",", ":"), ensure_ascii=False)

    def log_url(self, uid: str) -> str:
        return self.revision_url_template.replace("${REVISION_UID}", uid)


def parse_observability(data: Mapping[str, str]) -> ObservabilityConfig:
    """Read config-observability; raise SettingError."""
    settings = Settings("config-observability", data)
    url = settings.text("logging.revision-url-template")
    collect = settings.flag("logging.enable-var-log-collection", False)
    profiling = settings.choice("runtime-profiling", "disabled", _PROFILING, any_case=False)
    sidecar: dict[str, Any] = {
        "tracing": _tracing(settings),
        "metrics": _metrics(settings, "metrics"),
        "runtime": {
            "profiling": profiling,
            "exportInterval": _interval(settings, "runtime-export-interval", _RUNTIME_INTERVAL),
        },
        "requestMetrics": _metrics(settings, "request-metrics"),
        **_optional(LoggingURLTemplate=url, EnableVarLogCollection=collect),
        **_request_log(settings),
    }
    return ObservabilityConfig(
        revision_url_template=url,
        var_log_collection=collect,
        profiling=profiling == "enabled",
        sidecar=sidecar,
    )


def _tracing(settings: Settings) -> Mapping[str, Any]:
    protocol = settings.choice("tracing-protocol", "none", _TRACING, any_case=False)
    try:
        rate = parse_float(settings.text("tracing-sampling-rate", "0"))
    except ValueError:
        raise settings.error("tracing-sampling-rate", "must be a number from 0 to 1") from None
    if not 0 <= rate <= 1:
        raise settings.error("tracing-sampling-rate", "must be a number from 0 to 1")
    endpoint = settings.text("tracing-endpoint")
    _check_endpoint(settings, "tracing-endpoint", protocol, endpoint)
    return {"protocol": protocol, **_optional(endpoint=endpoint, samplingRate=rate)}


def _metrics(settings: Settings, prefix: str) -> Mapping[str, Any]:
    protocol = settings.choice(f"{prefix}-protocol", "none", _METRICS, any_case=False)
    endpoint = settings.text(f"{prefix}-endpoint")
    _check_endpoint(settings, f"{prefix}-endpoint", protocol, endpoint)
    interval = _interval(settings, f"{prefix}-export-interval", 0.0)
    return {"protocol": protocol, **_optional(endpoint=endpoint, exportInterval=interval)}


def _check_endpoint(settings: Settings, key: str, protocol: str, endpoint: str) -> None:
    if protocol in ("grpc", "http/protobuf") and not endpoint:
        raise settings.error(key, f"must be set for the protocol {protocol}")
    if protocol in ("none", "stdout") and endpoint:
        raise settings.error(key, f"must not be set for the protocol {protocol}")


def _request_log(settings: Settings) -> Mapping[str, Any]:
    enabled = settings.flag("logging.enable-request-log", False)
    template = settings.text("logging.request-log-template", REQUEST_LOG_TEMPLATE)
    if enabled and not template:
        raise settings.error("logging.request-log-template", "must not be empty when the request log is enabled")
    if template.count("{{") != template.count("}}"):
        raise settings.error("logging.request-log-template", 'has "{{" without "}}"')
    return _optional(
        enableRequestLog=enabled,
        requestLogTemplate=template,
        enableProbeRequestLog=settings.flag("logging.enable-probe-request-log", False),
    )


def _optional(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _interval(settings: Settings, key: str, default: float) -> int:
    """Nanoseconds."""
    seconds = settings.duration(key, default)
    if seconds < 0:
        raise settings.error(key, "must be a duration of at least 0")
    return round(seconds * NANOSECONDS)
