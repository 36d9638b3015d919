"""The Ingress of a DomainMapping: the domain, served by what the mapping refers to, under the name it knows itself by.

Source: contract, control-plane.md 8.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from controller.route.ingress import NOT_COPIED, http_option, ingress_class, with_challenges
from upwell.api.config_network import NetworkConfig
from upwell.api.names import ANNOTATION_INGRESS_CLASS, HEADER_ORIGINAL_HOST, child_name
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    labels_of,
    name_of,
    namespace_of,
    new_object,
    uid_of,
)
from upwell.api.resources import INGRESS

__all__ = ["LABEL_NAMESPACE", "LABEL_UID", "make_mapped_ingress"]

LABEL_UID: Final = "serving.knative.dev/domainMappingUID"
LABEL_NAMESPACE: Final = "serving.knative.dev/domainMappingNamespace"


def make_mapped_ingress(
    mapping: Object,
    host: str,
    tls: list[dict[str, Any]],
    network: NetworkConfig,
    challenges: Sequence[Mapping[str, Any]] = (),
) -> Object:
    """`host` is the target's inside the cluster; its first label names the Service to send to."""
    domain, namespace = name_of(mapping), namespace_of(mapping)
    split = {
        "serviceName": host.partition(".")[0],
        "serviceNamespace": namespace,
        "servicePort": 80,
        "percent": 100,
        "appendHeaders": {HEADER_ORIGINAL_HOST: domain},
    }
    rule = {
        "hosts": [domain],
        "visibility": "ExternalIP",
        "http": {"paths": [{"rewriteHost": host, "splits": [split]}]},
    }
    spec: dict[str, Any] = {
        "rules": with_challenges([rule], challenges),
        "tls": tls,
        "httpOption": http_option(mapping, network),
    }
    annotations = {key: value for key, value in annotations_of(mapping).items() if key not in NOT_COPIED}
    return new_object(
        INGRESS,
        namespace,
        child_name(domain, ""),
        metadata={
            "labels": {**labels_of(mapping), LABEL_UID: uid_of(mapping), LABEL_NAMESPACE: namespace},
            "annotations": {ANNOTATION_INGRESS_CLASS: ingress_class(mapping, network), **annotations},
            "ownerReferences": [controller_reference(mapping)],
        },
        spec={name: value for name, value in spec.items() if value},
    )
