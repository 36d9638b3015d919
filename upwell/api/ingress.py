"""Ingress: its conditions, whose it is, and the hash by which a probe knows the version that serves it."""

import hashlib
import json
from typing import Any, Final

from upwell.api.conditions import ConditionSet
from upwell.api.names import ANNOTATION_INGRESS_CLASS
from upwell.api.objects import Object, annotations_of

__all__ = ["CONDITIONS", "LOAD_BALANCER_READY", "NETWORK_CONFIGURED", "class_of", "spec_hash"]

NETWORK_CONFIGURED: Final = "NetworkConfigured"
LOAD_BALANCER_READY: Final = "LoadBalancerReady"
CONDITIONS: Final = ConditionSet(dependents=(LOAD_BALANCER_READY, NETWORK_CONFIGURED))
# fmt: off
_FIELD_ORDER: Final = (
    "tls", "rules", "httpOption",
    "hosts", "visibility", "http", "secretName", "secretNamespace",
    "path", "rewriteHost", "headers", "splits",
    "serviceNamespace", "serviceName", "servicePort", "percent",
    "appendHeaders",
)
# fmt: on
_ORDER: Final = {name: position for position, name in enumerate(_FIELD_ORDER)}
_MAPS: Final = frozenset({"headers", "appendHeaders"})


def class_of(ingress: Object) -> str:
    """The class whose controller serves it; empty when it says none."""
    return annotations_of(ingress).get(ANNOTATION_INGRESS_CLASS, "")


def spec_hash(ingress: Object) -> str:
    """SHA-256 over the spec as Go's encoder writes it, namespace and name, in hex (contract: control-plane.md 9.1)."""
    text = json.dumps(_in_order(ingress.get("spec") or {}), separators=(",", ":"), ensure_ascii=False)
    for character, escape in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
        text = text.replace(character, escape)
    metadata = ingress["metadata"]
    identity = f"{text}{metadata.get('namespace') or ''}{metadata['name']}"
    return hashlib.sha256(identity.encode()).hexdigest()


def _in_order(value: Any, is_map: bool = False) -> Any:
    # Go writes a struct's fields in the order of their declaration and a map's keys in alphabetical order.
    if isinstance(value, dict):
        names = sorted(value) if is_map else sorted(value, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))
        return {name: _in_order(value[name], name in _MAPS) for name in names}
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    return value
