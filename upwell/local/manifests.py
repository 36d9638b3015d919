"""What the platform applies to its own API server: the four components that run as pods, their Services, config maps.

On a cluster the Helm chart does the same. The differences are a laptop's: commands instead of images, windows short
enough to watch, the gateway on a port of the user's choice, no time lost on draining for load balancers that are not
there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from upwell.api import names
from upwell.api.objects import Object, new_object
from upwell.api.resources import CONFIG_MAP, CORE_SERVICE, DEPLOYMENT

__all__ = ["COMPONENTS", "Component", "GatewayPorts", "config_maps", "deployments", "forced_keys", "services"]

RUN_ANNOTATION: Final = "local.upwell.dev/run"


class GatewayPorts(NamedTuple):
    """Where this machine reaches the gateway."""

    http: int
    https: int = 0
    """0: not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One of the platform's own processes."""

    name: str
    ports: Mapping[str, int]
    """Port name → number."""
    probe_port: int
    probe_path: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    host_ports: frozenset[str] = frozenset()
    """The names of the ports that the whole machine reaches."""
    service: str = ""
    service_ports: tuple[tuple[str, int, int], ...] = ()
    """(name, port, target port)."""


COMPONENTS: Final = (
    Component(
        name="controller", ports={"metrics": names.PORT_METRICS}, probe_port=names.PORT_METRICS, probe_path="/healthz"
    ),
    Component(
        name="autoscaler",
        ports={"websocket": names.PORT_STAT_SERVER, "metrics": names.PORT_METRICS},
        probe_port=names.PORT_STAT_SERVER,
        service="autoscaler",
        service_ports=(("http", 8080, names.PORT_STAT_SERVER), ("http-metrics", 9090, names.PORT_METRICS)),
    ),
    Component(
        name="activator",
        ports={"http1": names.PORT_HTTP, "h2c": names.PORT_H2C, "metrics": names.PORT_METRICS},
        probe_port=names.PORT_HTTP,
        # Nobody has to learn here that it goes, and nothing listens on the addresses of Services.
        env={
            "ACTIVATOR_DRAIN_SECONDS": "1",
            "ACTIVATOR_DRAIN_QUIET_SECONDS": "0.2",
            "ACTIVATOR_CLUSTER_IPS": "false",
        },
        service="activator-service",
        service_ports=(
            ("http", 80, names.PORT_HTTP),
            ("http2", 81, names.PORT_H2C),
            ("http-metrics", 9090, names.PORT_METRICS),
        ),
    ),
    Component(
        name="gateway",
        ports={"http": names.PORT_GATEWAY, "metrics": names.PORT_METRICS},
        probe_port=names.PORT_METRICS,
        probe_path="/healthz",
        host_ports=frozenset(GatewayPorts._fields),
        service="gateway",
        service_ports=(("http-metrics", 9090, names.PORT_METRICS),),
    ),
)


def deployments(kubeconfig: Path, gateway: GatewayPorts, run: str) -> list[Object]:
    """A Deployment for each component; `run` is new for each start, so that what an earlier start reported is stale."""
    components = [_with_https(component) if gateway.https else component for component in COMPONENTS]
    return [_deployment(component, kubeconfig, gateway, run) for component in components]


def _with_https(component: Component) -> Component:
    if component.name != "gateway":
        return component
    ports = {**component.ports, "https": names.PORT_GATEWAY_TLS}
    return replace(component, ports=ports, env={**component.env, "UPWELL_GATEWAY_TLS": "true"})


def services() -> list[Object]:
    return [
        new_object(
            CORE_SERVICE,
            names.SYSTEM_NAMESPACE,
            component.service,
            metadata={"labels": {"app": component.name}},
            spec={
                "selector": {"app": component.name},
                "ports": [
                    {"name": name, "port": port, "targetPort": target} for name, port, target in component.service_ports
                ],
            },
        )
        for component in COMPONENTS
        if component.service
    ]


def config_maps(gateway: GatewayPorts) -> list[Object]:
    """The config maps as they are on a first start; what is edited later stays, except `forced_keys`."""
    contents: dict[str, dict[str, str]] = {
        "config-autoscaler": {"scale-to-zero-grace-period": "6s"},
        "config-domain": {"localhost": ""},
        "config-network": {
            "ingress-class": names.INGRESS_CLASS,
            "certificate-class": "upwell.certificate.networking.knative.dev",  # no cert-manager here
            "autocreate-cluster-domain-claims": "true",  # nobody else is here to dispute a domain
            **forced_keys(gateway)["config-network"],
        },
        "config-deployment": {
            "queue-sidecar-image": "upwell.local/queueproxy",
            # Containers run as processes here: an image is a name, and no registry is asked what it stands for.
            "registries-skipping-tag-resolving": "*",
        },
        "config-defaults": {},
        "config-features": {},
        "config-observability": {},
        "config-logging": {},
        "config-gc": {},
    }
    # By this label admission knows its own, and checks what is edited.
    metadata = {"labels": {names.LABEL_PART_OF: names.PART_OF}}
    return [
        new_object(CONFIG_MAP, names.SYSTEM_NAMESPACE, name, metadata=metadata, data=data)
        for name, data in contents.items()
    ]


def forced_keys(gateway: GatewayPorts) -> Mapping[str, Mapping[str, str]]:
    """Keys that follow from how the platform was started, by config map."""
    network = {"external-port": str(gateway.http), "external-domain-tls": "disabled"}
    if gateway.https:
        network |= {"external-domain-tls": "enabled", "external-https-port": str(gateway.https)}
    return {"config-network": network}


def _deployment(component: Component, kubeconfig: Path, gateway: GatewayPorts, run: str) -> Object:
    labels = {"app": component.name}
    return new_object(
        DEPLOYMENT,
        names.SYSTEM_NAMESPACE,
        component.name,
        metadata={"labels": labels},
        spec={
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": {**labels, "role": component.name}, "annotations": {RUN_ANNOTATION: run}},
                "spec": {
                    "terminationGracePeriodSeconds": 10,
                    "containers": [_container(component, kubeconfig, gateway)],
                },
            },
        },
    )


def _container(component: Component, kubeconfig: Path, gateway: GatewayPorts) -> Object:
    from_field = {"POD_NAME": "metadata.name", "POD_IP": "status.podIP"}
    values = {"SYSTEM_NAMESPACE": names.SYSTEM_NAMESPACE, "KUBECONFIG": str(kubeconfig), **component.env}
    reached = {name: port for name, port in gateway._asdict().items() if name in component.host_ports}
    return {
        "name": component.name,
        "image": f"upwell.local/{component.name}",
        "env": [
            *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in from_field.items()),
            *({"name": name, "value": value} for name, value in values.items()),
        ],
        "ports": [
            {"name": name, "containerPort": number, **({"hostPort": reached[name]} if name in reached else {})}
            for name, number in component.ports.items()
        ],
        "readinessProbe": {
            "httpGet": {"port": component.probe_port, "path": component.probe_path},
            "periodSeconds": 5,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
