"""The queue-proxy's settings, read once from the environment.

The variables are Knative's (contract: queue-proxy.md 1 and 11), so that a pod made for Knative's own sidecar starts
this one; those whose names begin with UPWELL_ are ours. Whatever is wrong is reported together, one line for each
variable with its value and what would be right. `VARIABLES` is what `--help` prints.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from queueproxy.probe_spec import ProbeSpec, parse_probes
from upwell.api import names
from upwell.ports import ConfigError, PortMap

if TYPE_CHECKING:
    from queueproxy.log_template import Template

__all__ = ["VARIABLES", "QueueProxyConfig"]

VARIABLES: Final = (
    ("CONTAINER_CONCURRENCY", "required", "requests the app may serve at once; 0: no limit"),
    ("QUEUE_SERVING_PORT", "required", "port for requests: 8012, or 8013 for h2c"),
    ("QUEUE_SERVING_TLS_PORT", "required", "port for requests over TLS"),
    ("USER_PORT", "required", "port of the app on 127.0.0.1"),
    ("REVISION_TIMEOUT_SECONDS", "required", "longest time for a whole request"),
    ("REVISION_RESPONSE_START_TIMEOUT_SECONDS", "0", "longest time to the first byte of the response; 0: off"),
    ("REVISION_IDLE_TIMEOUT_SECONDS", "0", "longest time without a byte of the response; 0: off"),
    ("SERVING_READINESS_PROBE", "", "JSON of a Kubernetes probe; empty: always ready"),
    ("ENABLE_MULTI_CONTAINER_PROBES", "false", "SERVING_READINESS_PROBE is a list"),
    ("ENABLE_HTTP_FULL_DUPLEX", "false", "accepted; responses may always start before the request ends"),
    ("ENABLE_HTTP2_AUTO_DETECTION", "false", "accepted"),
    ("SERVING_LOGGING_CONFIG", "required", "accepted; may be empty"),
    ("SERVING_LOGGING_LEVEL", "required", "debug, info, warn or error; may be empty"),
    ("SERVING_NAMESPACE", "required", "namespace of the revision"),
    ("SERVING_SERVICE", "", "name of the Knative Service"),
    ("SERVING_CONFIGURATION", "required", "name of the Configuration; may be empty"),
    ("SERVING_REVISION", "required", "name of the revision"),
    ("SERVING_POD", "required", "name of the pod"),
    ("SERVING_POD_IP", "required", "address of the pod; may be empty"),
    ("OBSERVABILITY_CONFIG", "", "JSON: requestMetrics, enableRequestLog, requestLogTemplate, enableProbeRequestLog"),
    ("METRICS_PROMETHEUS_HOST", "", "address of the user metrics; wins over OBSERVABILITY_CONFIG"),
    ("METRICS_PROMETHEUS_PORT", "9091", "port of the user metrics"),
    ("UPWELL_DRAIN_QUIET_SECONDS", "30", "after SIGTERM: seconds without a new request before listeners close"),
    ("UPWELL_PORT_MAP", "", "8012=20117,...: ports that stand for the contract's where pods share an address"),
    ("UPWELL_BIND_HOST", "0.0.0.0", "address to listen on; the default is every address, IPv6 too"),
    ("UPWELL_LISTEN_FDS", "", "8012=5,...: listening sockets handed over as file descriptors"),
)

_TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_PROTOCOLS: Final = ("none", "prometheus", "grpc", "http/protobuf")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionInfo:
    """Whose sidecar this is; what logs and statistics call it."""

    namespace: str
    service: str
    configuration: str
    name: str
    pod: str
    pod_ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observability:
    """What of OBSERVABILITY_CONFIG concerns this process."""

    prometheus: bool = False
    """Serve the user metrics."""
    metrics_host: str = ""
    """Empty: the same addresses as the other ports."""
    metrics_port: int = names.PORT_USER_METRICS
    unsupported_export: str = ""
    """A metrics protocol that is valid, and that this version does not speak."""
    log_template: "Template | None" = None
    """None: no request log."""
    log_probes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueProxyConfig:
    """All that main needs to know. Ports are those of the contract, before the port map; times are seconds."""

    container_concurrency: int
    """Exchanges the app may serve at once; below 1: no limit."""
    serving_port: int
    tls_port: int
    user_port: int
    revision_timeout: int
    """Below 1 every request times out at once, as the reference does; the API never lets such a value through."""
    response_start_timeout: int
    idle_timeout: int
    probes: tuple[ProbeSpec, ...]
    """All must pass; none: always ready."""
    log_level: str
    revision: RevisionInfo
    observability: Observability
    drain_quiet: float
    """The contract's 30 s give a cluster's load balancers time to notice; on one machine less will do."""
    ports: PortMap = field(default_factory=PortMap)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "QueueProxyConfig":
        """Read and check everything; raise ConfigError with one line for each thing that is wrong."""
        read = _Reader(env)
        ports = read.with_errors(PortMap, lambda: PortMap.from_env(env))
        multiple = read.boolean("ENABLE_MULTI_CONTAINER_PROBES")
        for switch in ("ENABLE_HTTP_FULL_DUPLEX", "ENABLE_HTTP2_AUTO_DETECTION"):
            read.boolean(switch)
        read.text("SERVING_LOGGING_CONFIG", required=True)
        config = cls(
            container_concurrency=read.integer("CONTAINER_CONCURRENCY", required=True),
            serving_port=read.port("QUEUE_SERVING_PORT"),
            tls_port=read.port("QUEUE_SERVING_TLS_PORT"),
            user_port=read.port("USER_PORT"),
            revision_timeout=read.integer("REVISION_TIMEOUT_SECONDS", required=True),
            response_start_timeout=max(0, read.integer("REVISION_RESPONSE_START_TIMEOUT_SECONDS")),
            idle_timeout=max(0, read.integer("REVISION_IDLE_TIMEOUT_SECONDS")),
            probes=read.with_errors(
                tuple, lambda: parse_probes(env.get("SERVING_READINESS_PROBE", ""), multiple, ports)
            ),
            log_level=read.text("SERVING_LOGGING_LEVEL", required=True) or "info",
            revision=RevisionInfo(
                namespace=read.text("SERVING_NAMESPACE", required=True),
                service=read.text("SERVING_SERVICE"),
                configuration=read.text("SERVING_CONFIGURATION", required=True),
                name=read.text("SERVING_REVISION", required=True),
                pod=read.text("SERVING_POD", required=True),
                pod_ip=read.text("SERVING_POD_IP", required=True),
            ),
            observability=read.with_errors(Observability, lambda: _parse_observability(env)),
            drain_quiet=read.seconds("UPWELL_DRAIN_QUIET_SECONDS", 30.0),
            ports=ports,
        )
        if read.errors:
            raise ConfigError("\n".join(read.errors))
        return config


class _Reader:
    """Reads variables and gathers what is wrong with them; a wrong value reads as a harmless one meanwhile."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.errors: list[str] = []

    def text(self, name: str, *, required: bool = False) -> str:
        if required and name not in self._env:
            self.errors.append(f"{name} is not set: give the {_meaning(name)}")
        return self._env.get(name, "")

    def integer(self, name: str, *, required: bool = False) -> int:
        text = self.text(name, required=required)
        if name not in self._env:
            return 0
        try:
            return _parse_integer(text)
        except ValueError:
            self.errors.append(f'{name}="{text}": not a whole number; give the {_meaning(name)}')
            return 0

    def port(self, name: str) -> int:
        text = self.text(name, required=True)
        if text.isascii() and text.isdigit() and 0 < int(text) <= 65535:
            return int(text)
        if name in self._env:
            self.errors.append(f'{name}="{text}": not a port; give a number from 1 to 65535')
        return 1

    def boolean(self, name: str) -> bool:
        text = self._env.get(name, "false")
        if text not in _TRUE | _FALSE:
            self.errors.append(f'{name}="{text}": not a switch; give true or false')
        return text in _TRUE

    def seconds(self, name: str, default: float) -> float:
        text = self._env.get(name) or str(default)
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if 0 <= value < 86_400:
            return value
        self.errors.append(f'{name}="{text}": not a number of seconds from 0 to 86400')
        return default

    def with_errors(self, default: Callable[[], Value], read: Callable[[], Value]) -> Value:
        try:
            return read()
        except ConfigError as error:
            self.errors.append(str(error))
            return default()


def _meaning(name: str) -> str:
    return next(meaning for variable, _, meaning in VARIABLES if variable == name)


def _parse_integer(text: str) -> int:
    """An integer as Go writes it: 12, -3, 0x1f, 0b11, 0o17, and 017 for fifteen; raise ValueError."""
    if not text.isascii() or text != text.strip():
        raise ValueError("Python reads digits of other scripts and blanks; Go does not")
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567":
        return int(text, 8)
    return int(text, 0)


def _parse_observability(env: Mapping[str, str]) -> Observability:
    text = env.get("OBSERVABILITY_CONFIG", "")
    settings = _json_object("OBSERVABILITY_CONFIG", text)
    metrics = settings.get("requestMetrics", {})
    if not isinstance(metrics, dict):
        raise ConfigError(f'OBSERVABILITY_CONFIG: requestMetrics is "{metrics}", not an object')
    protocol = metrics.get("protocol") or "none"
    if protocol not in _PROTOCOLS:
        raise ConfigError(
            f'OBSERVABILITY_CONFIG: requestMetrics.protocol is "{protocol}"; use one of {", ".join(_PROTOCOLS)}'
        )
    host, port = _metrics_address(env, metrics if protocol == "prometheus" else {})
    return Observability(
        prometheus=protocol == "prometheus",
        metrics_host=host,
        metrics_port=port,
        unsupported_export=protocol if protocol not in ("none", "prometheus") else "",
        log_template=_log_template(settings) if _switch(settings, "enableRequestLog") else None,
        log_probes=_switch(settings, "enableProbeRequestLog"),
    )


def _json_object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigError(f'{name}="{text[:200]}": not JSON ({error})') from error
    if not isinstance(value, dict):
        raise ConfigError(f'{name}="{text[:200]}": not a JSON object, for example {{"enableRequestLog": true}}')
    return value


def _switch(settings: Mapping[str, Any], key: str) -> bool:
    value = settings.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f'OBSERVABILITY_CONFIG: {key} is "{value}"; use true or false')
    return value


def _log_template(settings: Mapping[str, Any]) -> "Template | None":
    from queueproxy.log_template import DEFAULT_TEMPLATE, Template, TemplateError  # only where there is a log

    text = settings.get("requestLogTemplate", DEFAULT_TEMPLATE)
    if not isinstance(text, str):
        raise ConfigError(f'OBSERVABILITY_CONFIG: requestLogTemplate is "{text}", not a text')
    try:
        return Template(text) if text else None
    except TemplateError as error:
        raise ConfigError(f"OBSERVABILITY_CONFIG: requestLogTemplate: {error}") from error


def _metrics_address(env: Mapping[str, str], metrics: Mapping[str, Any]) -> tuple[str, int]:
    endpoint = str(metrics.get("endpoint") or "")
    host, _, port = endpoint.rpartition(":")
    if endpoint and not port.isdigit():
        raise ConfigError(f'OBSERVABILITY_CONFIG: requestMetrics.endpoint is "{endpoint}"; use host:port')
    host = env.get("METRICS_PROMETHEUS_HOST") or host.strip("[]")
    text = env.get("METRICS_PROMETHEUS_PORT") or port or str(names.PORT_USER_METRICS)
    if not (text.isascii() and text.isdigit() and 1024 <= int(text) <= 65535):
        raise ConfigError(f'METRICS_PROMETHEUS_PORT="{text}": not a port; give a number from 1024 to 65535')
    return host, int(text)
