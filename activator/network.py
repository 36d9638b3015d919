"""How requests get from here to pods, as the cluster is set up: mesh, TLS, and which address and name follow from it.

`config-network` says it, and is followed while the process runs (contract: activator.md 3.1, 7.5, 8.1); in the
reference all of it needs a restart. `destination` is the one place where the way to an upstream is chosen.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from activator.backends import Reach
from activator.revisions import Revision
from upwell.api import names
from upwell.api.config_network import NetworkConfig, parse_network
from upwell.cluster.endpoints import Address, EndpointTracker
from upwell.cluster.informer import Informer
from upwell.http import Engine, Upstream
from upwell.http.dial import SecureDialer
from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["CONFIG_MAP", "Destination", "Network"]

LOG: Final = log.get("network")
CONFIG_MAP: Final = "config-network"
HTTPS: Final = "https"
HTTPS_PORT: Final = 443
_PROXY: Final = (names.HEADER_PROXY.encode(), b"activator")
_PASSTHROUGH: Final = (names.HEADER_PASSTHROUGH.encode(), b"true")

SecureFor = Callable[[str], SecureDialer]
"""The dialer that opens TLS connections to sidecars in a namespace; the same one each time."""


class Destination:
    """Where an address' requests go, and what they carry on the way."""

    __slots__ = ("add", "address", "host", "upstream")

    def __init__(self, address: Address, upstream: Upstream, host: bytes, add: tuple[tuple[bytes, bytes], ...]) -> None:
        self.address = address
        """As it is known to the revision's backends; the upstream's port may be another."""
        self.upstream = upstream
        self.host = host
        self.add = add
        """Fields that each request gets."""


class Network:
    """The cluster's settings, and what they mean for one revision."""

    def __init__(
        self,
        engine: Engine,
        endpoints: EndpointTracker,
        services: Informer,
        secure_for: SecureFor,
        *,
        cluster_ips: bool = True,
    ) -> None:
        """`services` has to know the private Services; `cluster_ips` says whether anything listens on theirs."""
        self._engine = engine
        self._endpoints = endpoints
        self._services = services
        self._secure_for = secure_for
        self._cluster_ips = cluster_ips
        self._config = NetworkConfig()
        self._changed: list[Callable[[], None]] = []

    @property
    def tls(self) -> bool:
        """Whether what passes between sidecars, activators and gateways is encrypted."""
        return self._config.system_internal_tls

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` when anything said here before may be different."""
        self._changed.append(callback)

    def configure(self, data: Mapping[str, str]) -> None:
        """Follow config-network; what cannot be read leaves everything as it is."""
        try:
            config = parse_network(data)
        except ConfigError as error:
            LOG.error("config map refused, the settings stay", config_map=CONFIG_MAP, error=str(error))
            return
        before, self._config = self._config, config
        if _way(before) != _way(config):
            LOG.info("network", mesh=config.mesh_mode, passthrough=config.mesh_pod_addressability, tls=self.tls)
            for callback in self._changed:
                callback()

    def reach(self, revision: Revision) -> Reach:
        """How the revision's pods may be reached."""
        config = self._config
        if config.mesh_pod_addressability:
            return Reach(probe_early=revision.probe_early, host=_name(revision))
        trusted = config.mesh_mode == "disabled"
        return Reach(
            probe_early=revision.probe_early,
            trusted=trusted,
            # Where there are no cluster IPs, pods are the only way, whatever a mesh is said to do.
            pods=config.mesh_mode != "enabled" or not self._cluster_ips,
            service=None if trusted else self._service(revision, revision.port_name),
        )

    def destination(self, revision: Revision, address: Address, *, is_service: bool) -> Destination:
        """The way to a pod, or to the revision's private Service."""
        secure = self._secure_for(revision.key.namespace) if self.tls else None
        port = address.port
        if secure is not None:
            port = self._service_tls_port(revision) if is_service else self._pod_tls_port(revision, address)
        upstream = self._engine.upstream(address.host, port, secure=secure)
        if self._config.mesh_pod_addressability:
            return Destination(address, upstream, _name(revision), (_PROXY, _PASSTHROUGH))
        return Destination(address, upstream, upstream.authority, (_PROXY,))

    # Ports and addresses.

    def _service(self, revision: Revision, port_name: str) -> Address | None:
        found = self._services.get(*revision.private_service) if self._cluster_ips else None
        if found is None:
            return None
        spec = found.get("spec") or {}
        host = spec.get("clusterIP") or "None"
        port = _port(spec, port_name)
        return Address(host, port) if host != "None" and port else None

    def _service_tls_port(self, revision: Revision) -> int:
        service = self._service(revision, HTTPS)
        return HTTPS_PORT if service is None else service.port

    def _pod_tls_port(self, revision: Revision, address: Address) -> int:
        """The contract's port, or what the endpoints say where they are of one mind about this host."""
        ready, not_ready = self._endpoints.addresses(*revision.private_service, HTTPS)
        listed = {one.port for one in (*ready, *not_ready) if one.host == address.host}
        return listed.pop() if len(listed) == 1 else names.PORT_TLS


def _way(config: NetworkConfig) -> tuple[str, bool, bool]:
    return config.mesh_mode, config.mesh_pod_addressability, config.system_internal_tls


def _name(revision: Revision) -> bytes:
    return f"{revision.private_service.name}.{revision.private_service.namespace}".encode()


def _port(spec: Mapping[str, Any], name: str) -> int:
    return next((int(port["port"]) for port in spec.get("ports") or () if port.get("name") == name), 0)
