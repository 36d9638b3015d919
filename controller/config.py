"""The controller's own settings, read once from the environment.

What is live, the config maps, is in `controller.settings`. `VARIABLES` is what `--help` prints besides the variables
that every component reads.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.ingress.kinds import CLASSES
from upwell.api.names import CLUSTER_DOMAIN, PORT_METRICS, SYSTEM_NAMESPACE
from upwell.ports import ConfigError, PortMap

__all__ = ["PORT_HEALTH", "VARIABLES", "ProcessConfig"]

PORT_HEALTH: Final = 8080
PORT_WEBHOOK: Final = 8443
VARIABLES: Final = (
    ("CONTROLLER_WORKERS", "objects of a kind that are worked on at once (8)"),
    ("CONTROLLER_WEBHOOK", "whether the admission webhook is served, on port 8443 (true)"),
    (
        "CONTROLLER_INGRESSES",
        f"for whose gateways Ingresses are translated, of {', '.join(CLASSES)}; those of other classes are left alone",
    ),
    ("CONTROLLER_CONVERSION", "whether it is made known to CRDs that serve versions of 2019 by conversion (false)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessConfig:
    """See VARIABLES and COMMON_VARIABLES."""

    identity: str = "controller"
    """The name to hold the lease under; a container that is restarted in its pod keeps it, and so its lease."""
    system_namespace: str = SYSTEM_NAMESPACE
    cluster_domain: str = CLUSTER_DOMAIN
    workers: int = 8
    webhook: bool = True
    """Whether the admission webhook is wanted."""
    conversion: bool = False
    """Whether CRDs may lead to it."""
    ingresses: tuple[str, ...] = ()
    """Keys of `CLASSES`: for whose gateways Ingresses are translated."""
    ports: PortMap = field(default_factory=PortMap)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "ProcessConfig":
        """Raise ConfigError."""
        workers = env.get("CONTROLLER_WORKERS") or "8"
        if not (workers.isascii() and workers.isdecimal() and 1 <= int(workers) <= 1000):
            raise ConfigError(f'CONTROLLER_WORKERS="{workers}" must be a whole number from 1 to 1000')
        return cls(
            identity=_identity(env),
            system_namespace=env.get("SYSTEM_NAMESPACE") or SYSTEM_NAMESPACE,
            cluster_domain=env.get("CLUSTER_DOMAIN") or CLUSTER_DOMAIN,
            workers=int(workers),
            webhook=_boolean(env, "CONTROLLER_WEBHOOK", "true"),
            conversion=_boolean(env, "CONTROLLER_CONVERSION", "false"),
            ingresses=_ingresses(env),
            ports=PortMap.from_env(env),
        )

    def health_ports(self) -> tuple[int, ...]:
        """Where health and metrics are served: the metrics port, and the contract's health port where it is ours.

        Among pods that share an address, one that was given no port for health does not take somebody else's.
        """
        given = (PORT_METRICS, *((PORT_HEALTH,) if self._has(PORT_HEALTH) else ()))
        return tuple(self.ports.actual(port) for port in given)

    def webhook_port(self) -> int | None:
        """Where the webhook listens, by the same rule; None when it is not wanted or has no port."""
        return self.ports.actual(PORT_WEBHOOK) if self.webhook and self._has(PORT_WEBHOOK) else None

    def _has(self, port: int) -> bool:
        return not self.ports.ports or port in self.ports.ports


def _boolean(env: Mapping[str, str], variable: str, default: str) -> bool:
    text = (env.get(variable) or default).lower()
    if text not in ("true", "false"):
        raise ConfigError(f'{variable}="{text}" must be true or false')
    return text == "true"


def _ingresses(env: Mapping[str, str]) -> tuple[str, ...]:
    text = env.get("CONTROLLER_INGRESSES") or ""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not set(names) <= CLASSES.keys():
        raise ConfigError(f'CONTROLLER_INGRESSES="{text}" must be empty or a list of: {", ".join(CLASSES)}')
    return names


def _identity(env: Mapping[str, str]) -> str:
    """Of a pod its name and address; anything else has no underscore, and is not taken for a pod that is gone."""
    if env.get("POD_NAME") and env.get("POD_IP"):
        return f"{env['POD_NAME']}_{env['POD_IP']}"
    return f"controller-{os.getpid()}"
