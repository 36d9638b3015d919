"""The activator's settings, read once from the environment.

The variables are Knative's (contract: activator.md 2), so that its manifest starts this process too; those that
begin with ACTIVATOR_ and UPWELL_ are ours. `VARIABLES` is what `--help` prints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from upwell.api import names
from upwell.policy.durations import parse_duration, seconds
from upwell.ports import ConfigError, PortMap
from upwell.telemetry.tracing_settings import VARIABLES as TRACING_VARIABLES
from upwell.tls.settings import TlsOptions, tls_options, tls_variables

__all__ = ["VARIABLES", "WORKER", "ActivatorConfig", "domain_of_resolver"]

TLS_PREFIX: Final = "ACTIVATOR"
WORKER: Final = "ACTIVATOR_WORKER"
"""Set for each of several processes by the one that starts them: `NUMBER/COUNT`, for example 0/4."""
VARIABLES: Final = (
    ("POD_NAME", "required: name in statistics, identity in leader election"),
    ("POD_IP", "required: tells this activator's place among all of them"),
    ("MAX_IDLE_PROXY_CONNS", "idle connections to pods in all (1000)"),
    ("MAX_IDLE_PROXY_CONNS_PER_HOST", "idle connections to one pod (100)"),
    ("PROBE_TIMEOUT", "longest time for a pod's first answer to a probe (300ms)"),
    ("PROBE_FREQUENCY", "longest pause between two probes of a pod that is not ready (200ms)"),
    ("CONFIG_OBSERVABILITY_NAME", "config map with request log and tracing (config-observability)"),
    ("CONFIG_LOGGING_NAME", "config map whose loglevel.activator is followed (config-logging)"),
    ("METRICS_PROMETHEUS_HOST", "address of /metrics (that of the other ports)"),
    ("METRICS_PROMETHEUS_PORT", "port of /metrics (9090)"),
    ("PROFILING_PORT", "port for profiles, while config-observability says runtime-profiling: enabled (8008)"),
    ("ACTIVATOR_RECHECK_SECONDS", "how often pods are tried again while their requests go to the cluster IP (5)"),
    ("ACTIVATOR_QUEUE_LIMIT", "requests that may wait for one revision (10000)"),
    ("ACTIVATOR_QUEUE_TOTAL", "places for waiting requests of all revisions; one alone gets half of them (20000)"),
    ("ACTIVATOR_QUEUE_BYTES", "bytes of bodies kept by waiting requests; one revision alone gets half (268435456)"),
    ("ACTIVATOR_START_WAIT_SECONDS", "how long requests wait for the revisions to be known; then 503 (30)"),
    ("ACTIVATOR_DRAIN_SECONDS", "time between SIGTERM and the closing of the listeners (45)"),
    ("ACTIVATOR_DRAIN_QUIET_SECONDS", "end that time after so long without a request; 0 does not (0)"),
    (
        "ACTIVATOR_CLUSTER_IPS",
        "use a Service's cluster IP where pods cannot be reached; false where there is none (true)",
    ),
    ("ACTIVATOR_FLIPS", "take part in pointing public addresses at activators or pods; false beside Knative's (true)"),
    ("UPWELL_SERVER_TIMING", "add Server-Timing with a cold start's phases to its answer (false)"),
    ("ACTIVATOR_WORKERS", "processes that share the ports, as --workers (1)"),
    *(
        (name, f"{about} ({default})" if default else about)
        for name, default, about in (*tls_variables(TLS_PREFIX), *TRACING_VARIABLES)
    ),
)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivatorConfig:
    """See VARIABLES; times are in seconds."""

    pod_name: str
    pod_ip: str
    system_namespace: str = names.SYSTEM_NAMESPACE
    cluster_domain: str = names.CLUSTER_DOMAIN
    ports: PortMap = field(default_factory=PortMap)
    idle_connections: int = 1000
    idle_connections_per_pod: int = 100
    probe_timeout: float = 0.3
    probe_frequency: float = 0.2
    observability_name: str = "config-observability"
    logging_name: str = "config-logging"
    log_level: str = "info"
    """Where that config map says nothing."""
    metrics_host: str = ""
    """Empty: where the other ports are."""
    metrics_port: int = names.PORT_METRICS
    profiling_port: int = names.PORT_PROFILING
    recheck_seconds: float = 5.0
    queue_limit: int = 10_000
    """Past it a request is answered 503: one that would wait for minutes costs memory and helps nobody."""
    queue_total: int = 20_000
    queue_bytes: int = 256 * 1024 * 1024
    start_wait_seconds: float = 30.0
    """About as long as an API server takes to restart."""
    drain_seconds: float = 45.0
    """Long enough for every proxy in a cluster to learn that this activator is going."""
    drain_quiet_seconds: float = 0.0
    """Where nothing has to learn that it goes, nobody need wait for it; 0: the time is not shortened."""
    flips: bool = True
    """Whether this activator may become the one that writes public addresses."""
    tls: TlsOptions = field(default_factory=TlsOptions)
    worker: int = 0
    """The number of this process among those that share the pod's ports."""
    workers: int = 1
    cluster_ips: bool = True
    """Whether something listens on the addresses of Services; on a laptop nothing does."""
    server_timing: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "ActivatorConfig":
        """Raise ConfigError, which names every variable that is wrong."""
        read = _Reader(env)
        config = cls(
            pod_name=read.required("POD_NAME"),
            pod_ip=read.required("POD_IP"),
            system_namespace=env.get("SYSTEM_NAMESPACE") or names.SYSTEM_NAMESPACE,
            cluster_domain=env.get("CLUSTER_DOMAIN") or domain_of_resolver() or names.CLUSTER_DOMAIN,
            ports=read.ports(),
            idle_connections=read.value("MAX_IDLE_PROXY_CONNS", 1000, _whole),
            idle_connections_per_pod=read.value("MAX_IDLE_PROXY_CONNS_PER_HOST", 100, _whole),
            probe_timeout=read.value("PROBE_TIMEOUT", 0.3, _duration),
            probe_frequency=read.value("PROBE_FREQUENCY", 0.2, _duration),
            observability_name=env.get("CONFIG_OBSERVABILITY_NAME") or "config-observability",
            logging_name=env.get("CONFIG_LOGGING_NAME") or "config-logging",
            log_level=env.get("UPWELL_LOG_LEVEL") or "info",
            metrics_host=(env.get("METRICS_PROMETHEUS_HOST") or "").strip("[]"),
            metrics_port=read.value("METRICS_PROMETHEUS_PORT", names.PORT_METRICS, _port),
            profiling_port=read.value("PROFILING_PORT", names.PORT_PROFILING, _port),
            recheck_seconds=read.value("ACTIVATOR_RECHECK_SECONDS", 5.0, _seconds),
            queue_limit=read.value("ACTIVATOR_QUEUE_LIMIT", 10_000, _whole),
            queue_total=read.value("ACTIVATOR_QUEUE_TOTAL", 20_000, _whole),
            queue_bytes=read.value("ACTIVATOR_QUEUE_BYTES", 256 * 1024 * 1024, _whole),
            start_wait_seconds=read.value("ACTIVATOR_START_WAIT_SECONDS", 30.0, _seconds),
            drain_seconds=read.value("ACTIVATOR_DRAIN_SECONDS", 45.0, _seconds),
            drain_quiet_seconds=read.value("ACTIVATOR_DRAIN_QUIET_SECONDS", 0.0, _seconds),
            flips=read.value("ACTIVATOR_FLIPS", True, _boolean),
            tls=read.tls(),
            worker=read.value(WORKER, (0, 1), _worker)[0],
            workers=read.value(WORKER, (0, 1), _worker)[1],
            cluster_ips=read.value("ACTIVATOR_CLUSTER_IPS", True, _boolean),
            server_timing=read.value("UPWELL_SERVER_TIMING", False, _boolean),
        )
        read.raise_errors()
        return config


class _Reader:
    """Reads variables and remembers what was wrong with them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._errors: list[str] = []

    def required(self, name: str) -> str:
        text = self._env.get(name, "")
        if not text:
            self._errors.append(f"{name} is not set; it has to be this pod's {name.removeprefix('POD_').lower()}")
        return text

    def value(self, name: str, default: Value, parse: Callable[[str], Value]) -> Value:
        text = self._env.get(name, "")
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self._errors.append(f'{name}="{text}": {error}')
            return default

    def ports(self) -> PortMap:
        try:
            return PortMap.from_env(self._env)
        except ConfigError as error:
            self._errors.append(str(error))
            return PortMap()

    def tls(self) -> TlsOptions:
        try:
            return tls_options(self._env, TLS_PREFIX)
        except ConfigError as error:
            self._errors.append(str(error))
            return TlsOptions()

    def raise_errors(self) -> None:
        if self._errors:
            raise ConfigError("; ".join(self._errors))


def domain_of_resolver(path: Path = Path("/etc/resolv.conf")) -> str:
    """The cluster's DNS domain, as the kubelet writes it into a pod's list of search domains; empty elsewhere."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    searched = [entry for line in lines if line.startswith("search ") for entry in line.split()[1:]]
    return next((entry.removeprefix("svc.").rstrip(".") for entry in searched if entry.startswith("svc.")), "")


def _worker(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and int(number) < int(count)):
        raise ValueError("it has to be NUMBER/COUNT, for example 0/4")
    return int(number), int(count)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("it has to be a whole number, for example 100")
    return int(text)


def _port(text: str) -> int:
    number = _whole(text)
    if not 0 < number <= 65535:
        raise ValueError("it has to be a port from 1 to 65535, for example 9090")
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("it has to be true or false")
    return text.lower() == "true"


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 86_400:
        raise ValueError("it has to be seconds from 0 to 86400, for example 45")
    return number


def _duration(text: str) -> float:
    try:
        nanoseconds = parse_duration(text)
    except ValueError:
        nanoseconds = 0
    if nanoseconds <= 0:
        raise ValueError("it has to be a positive duration, for example 300ms")
    return seconds(nanoseconds)
