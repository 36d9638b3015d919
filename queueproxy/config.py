"""The queue-proxy's settings, read once from the environment.

The variables are Knative's (contract: queue-proxy.md 1 and 11), so that a pod made for Knative's own sidecar starts
this one; those whose names begin with UPWELL_ are ours. Whatever is wrong is reported together, one line for each
variable with its value and what would be right. `VARIABLES` is what `--help` prints.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from queueproxy import limits, observability, tls_settings
from queueproxy.environment import Reader
from queueproxy.limits import read_limits
from queueproxy.observability import Observability, parse_observability
from queueproxy.probe_spec import ProbeSpec, parse_probes
from queueproxy.tls_settings import TlsSettings, find_tls
from upwell.http import Limits
from upwell.ports import ConfigError, PortMap

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
    ("ENABLE_HTTP_FULL_DUPLEX", "false", "not used: responses may always start before the request ends"),
    ("ENABLE_HTTP2_AUTO_DETECTION", "false", "HTTP readiness probes are sent over HTTP/2 first, then HTTP/1.1"),
    ("SERVING_LOGGING_CONFIG", "required", "configuration of Knative's logger; not used, may be empty"),
    ("SERVING_LOGGING_LEVEL", "required", "debug, info, warn or error; may be empty"),
    ("SERVING_NAMESPACE", "required", "namespace of the revision"),
    ("SERVING_SERVICE", "", "name of the Knative Service"),
    ("SERVING_CONFIGURATION", "required", "name of the Configuration; may be empty"),
    ("SERVING_REVISION", "required", "name of the revision"),
    ("SERVING_POD", "required", "name of the pod"),
    ("SERVING_POD_IP", "required", "address of the pod; may be empty"),
    *observability.VARIABLES,
    *tls_settings.VARIABLES,
    ("UPWELL_DRAIN_QUIET_SECONDS", "30", "after SIGTERM: seconds without a new request before listeners close"),
    ("UPWELL_PORT_MAP", "", "8012=20117,...: ports that stand for the contract's where pods share an address"),
    ("UPWELL_BIND_HOST", "0.0.0.0", "address to listen on; the default is every address, IPv6 too"),
    ("UPWELL_LISTEN_FDS", "", "8012=5,...: listening sockets handed over as file descriptors"),
    ("UPWELL_SERVER_TIMING", "false", "add Server-Timing with queue and app time to the app's answers"),
    *limits.VARIABLES,
)
IDLE_CONNECTIONS_UNLIMITED: Final = 1000


class RevisionInfo(NamedTuple):
    """Whose sidecar this is; what logs and statistics call it."""

    namespace: str
    service: str
    configuration: str
    name: str
    pod: str
    pod_ip: str


class QueueProxyConfig(NamedTuple):
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
    limits: Limits
    tls: TlsSettings | None = None
    """None: there is no certificate."""
    server_timing: bool = False
    ports: PortMap = PortMap()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "QueueProxyConfig":
        """Read and check everything; raise ConfigError with one line for each thing that is wrong."""
        read = Reader(env, _meaning)
        ports = read.with_errors(PortMap, lambda: PortMap.from_env(env))
        multiple = read.boolean("ENABLE_MULTI_CONTAINER_PROBES")
        read.boolean("ENABLE_HTTP_FULL_DUPLEX")
        detects_http2 = read.boolean("ENABLE_HTTP2_AUTO_DETECTION")
        read.text("SERVING_LOGGING_CONFIG", required=True)
        concurrency = read.integer("CONTAINER_CONCURRENCY", required=True)
        config = cls(
            container_concurrency=concurrency,
            serving_port=read.port("QUEUE_SERVING_PORT"),
            tls_port=read.port("QUEUE_SERVING_TLS_PORT"),
            user_port=read.port("USER_PORT"),
            revision_timeout=read.integer("REVISION_TIMEOUT_SECONDS", required=True),
            response_start_timeout=max(0, read.integer("REVISION_RESPONSE_START_TIMEOUT_SECONDS")),
            idle_timeout=max(0, read.integer("REVISION_IDLE_TIMEOUT_SECONDS")),
            probes=read.with_errors(
                tuple,
                lambda: parse_probes(
                    env.get("SERVING_READINESS_PROBE", ""), multiple, ports, detects_http2=detects_http2
                ),
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
            observability=read.with_errors(Observability, lambda: parse_observability(env)),
            drain_quiet=read.seconds("UPWELL_DRAIN_QUIET_SECONDS", 30.0),
            limits=read_limits(read, concurrency if concurrency > 0 else IDLE_CONNECTIONS_UNLIMITED),
            tls=read.with_errors(lambda: None, lambda: find_tls(env)),
            server_timing=read.boolean("UPWELL_SERVER_TIMING"),
            ports=ports,
        )
        if read.errors:
            raise ConfigError("\n".join(read.errors))
        return config


def _meaning(name: str) -> str:
    return next(meaning for variable, _, meaning in VARIABLES if variable == name)
