"""What traces and `target_info` call this process (contract: queue-proxy.md 10.4)."""

from collections.abc import Mapping

from queueproxy.config import QueueProxyConfig

__all__ = ["exported_resource", "resource_attributes"]


def resource_attributes(config: QueueProxyConfig, env: Mapping[str, str]) -> dict[str, str]:
    """OpenTelemetry's resource. The pod's name is POD_NAME here, and not SERVING_POD, as in the reference."""
    revision = config.revision
    pod = env.get("POD_NAME") or env.get("HOSTNAME") or ""
    service = env.get("OTEL_SERVICE_NAME") or revision.service or revision.configuration or revision.name or pod
    attributes = {
        "container.name": "queue-proxy",
        "k8s.namespace.name": revision.namespace,
        "k8s.pod.name": pod,
        "service.name": service,
        "service.instance.id": pod,
        "kn.service.name": revision.service,
        "kn.configuration.name": revision.configuration,
        "kn.revision.name": revision.name,
    }
    return {name: value for name, value in attributes.items() if value}


def exported_resource(config: QueueProxyConfig, env: Mapping[str, str]) -> dict[str, str]:
    """The same for OpenTelemetry's exporters, with our version; to find that out costs 5 MiB, which they have spent."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {**resource_attributes(config, env), "service.version": version("upwell")}
    except PackageNotFoundError:
        return resource_attributes(config, env)
