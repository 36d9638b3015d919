"""The autoscaler's settings, read once from the environment.

The variables are Knative's (contract: autoscaler.md 12 and 14), so that its manifest starts this process too. What is
live, the config maps, is in `autoscaler.cluster_settings`. `VARIABLES` is what `--help` prints.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from upwell.api import names
from upwell.ports import ConfigError, PortMap

__all__ = ["VARIABLES", "ProcessConfig"]

VARIABLES: Final = (
    ("POD_NAME", "required: identity in leader election"),
    ("POD_IP", "required: where other replicas reach the leader"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessConfig:
    """See VARIABLES."""

    pod_name: str
    pod_ip: str
    ports: PortMap
    system_namespace: str = names.SYSTEM_NAMESPACE

    @property
    def identity(self) -> str:
        """The name to hold leases under; a container that is restarted in its pod keeps it, and so its leases."""
        return f"{self.pod_name}_{self.pod_ip}"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "ProcessConfig":
        """Raise ConfigError, which names every variable that is wrong."""
        problems = [
            f"{name} is not set; it has to be this pod's {what}"
            for name, what in (("POD_NAME", "name"), ("POD_IP", "address"))
            if not env.get(name)
        ]
        ports = PortMap()
        try:
            ports = PortMap.from_env(env)
        except ConfigError as error:
            problems.append(str(error))
        if problems:
            raise ConfigError("; ".join(problems))
        return cls(
            pod_name=env["POD_NAME"],
            pod_ip=env["POD_IP"],
            system_namespace=env.get("SYSTEM_NAMESPACE") or names.SYSTEM_NAMESPACE,
            ports=ports,
        )
