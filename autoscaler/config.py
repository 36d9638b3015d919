"""The autoscaler's settings, read once from the environment.

The variables are Knative's (contract: autoscaler.md 12 and 14), so that its manifest starts this process too. What is
live, the config maps, is in `autoscaler.cluster_settings`. `VARIABLES` is what `--help` prints.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from autoscaler.buckets import StatefulSet
from upwell.api import names
from upwell.ports import ConfigError, PortMap

__all__ = ["VARIABLES", "ProcessConfig"]

VARIABLES: Final = (
    ("POD_NAME", "required: identity in leader election"),
    ("POD_IP", "required: where other replicas reach this one"),
    ("STATEFUL_CONTROLLER_ORDINAL", "this pod of a StatefulSet, such as autoscaler-0: its ordinal is its bucket"),
    ("STATEFUL_SERVICE_NAME", "the StatefulSet's Service; both or neither"),
    ("STATEFUL_SERVICE_PORT", "where its pods take statistics (80)"),
    ("STATEFUL_SERVICE_PROTOCOL", "http or https (http)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessConfig:
    """See VARIABLES."""

    pod_name: str
    pod_ip: str
    ports: PortMap
    system_namespace: str = names.SYSTEM_NAMESPACE
    stateful_set: StatefulSet | None = None
    """None: leases say which replica acts for which bucket."""

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
        ports, stateful_set = PortMap(), None
        try:
            ports = PortMap.from_env(env)
        except ConfigError as error:
            problems.append(str(error))
        try:
            stateful_set = StatefulSet.from_env(env)
        except ConfigError as error:
            problems.append(str(error))
        if problems:
            raise ConfigError("; ".join(problems))
        return cls(
            pod_name=env["POD_NAME"],
            pod_ip=env["POD_IP"],
            system_namespace=env.get("SYSTEM_NAMESPACE") or names.SYSTEM_NAMESPACE,
            ports=ports,
            stateful_set=stateful_set,
        )
