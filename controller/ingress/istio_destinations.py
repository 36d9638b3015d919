"""How Istio's gateways speak to activators and sidecars that take TLS: a DestinationRule for each Service on port 443.

Whom to trust is in a Secret `routing-serving-certs` (`ca.crt`) in the namespace of the gateways, where Istio looks.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from controller.ingress.kinds import DESTINATION_RULE
from controller.ingress.translation import child_metadata
from controller.issuing.namespaces import ACTIVATORS, ROUTING, USER_PREFIX
from upwell.api.names import PORT_NAME_H2C, child_name
from upwell.api.objects import Key, Object, name_of, namespace_of, new_object

__all__ = ["destination_rules"]

PORT: Final = 443


def destination_rules(ingress: Object, service: Callable[[Key], Object | None], suffix: str) -> Iterator[Object]:
    """`service` finds a Service as it was last seen; `suffix` makes a host of its qualified name."""
    encrypted = {
        Key(split["serviceNamespace"], split["serviceName"])
        for rule in ingress["spec"].get("rules") or ()
        for path in rule["http"]["paths"]
        for split in path["splits"]
        if split["servicePort"] == PORT
    }
    for key in sorted(encrypted):
        policy: dict[str, Any] = {
            "tls": {
                "mode": "SIMPLE",
                "credentialName": ACTIVATORS,
                "subjectAltNames": [ROUTING, f"{USER_PREFIX}{key.namespace}"],
            }
        }
        if _speaks_http2(service(key)):
            policy["connectionPool"] = {"http": {"h2UpgradePolicy": "UPGRADE"}}
        # Named after the Ingress too, as two may lead to one revision; Istio takes either of two that say the same.
        name = child_name(name_of(ingress), f"-{key.name}")
        spec = {"host": f"{key.name}.{key.namespace}{suffix}", "trafficPolicy": policy}
        metadata = child_metadata(ingress, {})
        yield new_object(DESTINATION_RULE, namespace_of(ingress), name, metadata=metadata, spec=spec)


def _speaks_http2(service: Object | None) -> bool:
    ports = service["spec"].get("ports") or () if service is not None else ()
    return any(port.get("name") == PORT_NAME_H2C for port in ports)
