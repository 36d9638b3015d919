"""The gateway's settings, read once from the environment."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.status import LoadBalancers
from upwell.api.names import (
    CLUSTER_DOMAIN,
    INGRESS_CLASS,
    PORT_GATEWAY,
    PORT_GATEWAY_TLS,
    PORT_METRICS,
    SYSTEM_NAMESPACE,
)
from upwell.api.objects import Key
from upwell.ports import ConfigError, PortMap
from upwell.tls.settings import TlsOptions, tls_options, tls_variables

__all__ = ["VARIABLES", "GatewayConfig"]

TLS_PREFIX: Final = "UPWELL_GATEWAY"
LEAST_VERSION: Final = "1.2"
"""Of TLS: some clients on the Internet have no later one."""
VARIABLES: Final[Sequence[tuple[str, str]]] = (
    ("UPWELL_INGRESS_CLASS", f"serve the Ingress objects of this class ({INGRESS_CLASS})"),
    ("UPWELL_GATEWAY_LOCAL_PORT", "port for hosts of every visibility; 8080 then serves public hosts only (none)"),
    ("UPWELL_GATEWAY_WAIT_SECONDS", "how long a request waits for a ready endpoint (10)"),
    ("UPWELL_GATEWAY_WAITING_MAX", "how many requests may wait at once (10000)"),
    ("UPWELL_GATEWAY_DRAIN_DELAY", "seconds to go on accepting after SIGTERM (5; 0 where the socket was handed over)"),
    ("UPWELL_GATEWAY_DRAIN_TIMEOUT", "seconds that requests in flight have to finish after that (30)"),
    ("UPWELL_ACCESS_LOG", "true: one log line per request (false)"),
    ("UPWELL_GATEWAY_TLS", "true: serve HTTPS too, on 8443 and for the local port on 8444 (false)"),
    (
        "UPWELL_GATEWAY_DEFAULT_CERTIFICATE",
        "NAMESPACE/SECRET for clients whose host has none of its own (none)",
    ),
    *(
        (name, f"{about} ({LEAST_VERSION if default == '1.3' else default})" if default else about)
        for name, default, about in tls_variables(TLS_PREFIX)
    ),
)
"""What it reads besides the variables of every component."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Times are in seconds."""

    ports: PortMap
    namespace: str = SYSTEM_NAMESPACE
    cluster_domain: str = CLUSTER_DOMAIN
    ingress_class: str = INGRESS_CLASS
    port: int = PORT_GATEWAY
    local_port: int = 0
    """0: there is one port, and it serves hosts of every visibility, which suits a laptop."""
    admin_port: int = PORT_METRICS
    wait_seconds: float = 10.0
    waiting_max: int = 10_000
    drain_delay: float = 5.0
    drain_timeout: float = 30.0
    access_log: bool = False
    tls: TlsOptions | None = None
    """None: there is no HTTPS."""
    default_certificate: Key | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "GatewayConfig":
        """Raise ConfigError naming the variable, its value and what would be right."""
        ports = PortMap.from_env(env)
        # A listening socket that outlives us needs no time for others to notice that we go.
        delay = "0" if PORT_GATEWAY in ports.listen_fds else "5"
        return cls(
            ports=ports,
            namespace=env.get("SYSTEM_NAMESPACE") or SYSTEM_NAMESPACE,
            cluster_domain=env.get("CLUSTER_DOMAIN") or CLUSTER_DOMAIN,
            ingress_class=env.get("UPWELL_INGRESS_CLASS") or INGRESS_CLASS,
            local_port=int(_number(env, "UPWELL_GATEWAY_LOCAL_PORT", "0", 65535)),
            wait_seconds=_number(env, "UPWELL_GATEWAY_WAIT_SECONDS", "10", 3600),
            waiting_max=int(_number(env, "UPWELL_GATEWAY_WAITING_MAX", "10000", 10**6)),
            drain_delay=_number(env, "UPWELL_GATEWAY_DRAIN_DELAY", delay, 3600),
            drain_timeout=_number(env, "UPWELL_GATEWAY_DRAIN_TIMEOUT", "30", 86400),
            access_log=_boolean(env, "UPWELL_ACCESS_LOG"),
            tls=_tls(env) if _boolean(env, "UPWELL_GATEWAY_TLS") else None,
            default_certificate=_secret(env, "UPWELL_GATEWAY_DEFAULT_CERTIFICATE"),
        )

    @property
    def https_port(self) -> int:
        """Where clients find HTTPS: 443, which the Service in front has, or the port that took its place here."""
        descriptor = self.ports.listen_fds.get(PORT_GATEWAY_TLS)
        if descriptor is not None:
            with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as handed_over:
                return int(handed_over.getsockname()[1])
        actual = self.ports.actual(PORT_GATEWAY_TLS)
        return 443 if actual == PORT_GATEWAY_TLS else actual

    @property
    def load_balancers(self) -> LoadBalancers:
        """The names of the Services in front, as the chart has them; with one port there is one Service."""
        domain = f"{self.namespace}.svc.{self.cluster_domain}"
        private = f"gateway.{domain}"
        return LoadBalancers(f"gateway-external.{domain}" if self.local_port else private, private)


def _tls(env: Mapping[str, str]) -> TlsOptions:
    given = {name: value for name, value in env.items() if value}
    return tls_options({f"{TLS_PREFIX}_TLS_MIN_VERSION": LEAST_VERSION, **given}, TLS_PREFIX)


def _secret(env: Mapping[str, str], variable: str) -> Key | None:
    text = env.get(variable, "")
    if not text:
        return None
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise ConfigError(f'{variable}="{text}": it has to be NAMESPACE/SECRET')
    return Key(namespace, name)


def _number(env: Mapping[str, str], variable: str, default: str, highest: float) -> float:
    text = env.get(variable) or default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= highest:
        raise ConfigError(f'{variable}="{text}": it has to be a number from 0 to {highest:g}')
    return value


def _boolean(env: Mapping[str, str], variable: str) -> bool:
    text = (env.get(variable) or "false").lower()
    if text not in ("true", "false"):
        raise ConfigError(f'{variable}="{text}": it has to be true or false')
    return text == "true"
