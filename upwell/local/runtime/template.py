"""From a Deployment's pod template to the object of one pod. Pure."""

import copy
import secrets
from collections.abc import Mapping
from typing import Any, Final

from upwell.api.objects import Object, controller_reference, namespace_of, new_object
from upwell.api.resources import POD
from upwell.local.runtime.deployments import SAFE
from upwell.local.runtime.pod import LABEL_HASH
from upwell.local.runtime.ports import ANNOTATION_PORTS, format_ports

__all__ = ["NODE_NAME", "pod_name", "pod_object"]

NODE_NAME: Final = "local"
_LONGEST_PREFIX: Final = 57


def pod_name(deployment: str, template_hash: str) -> str:
    """`DEPLOYMENT-HASH-RANDOM`, at most 63 characters."""
    suffix = "".join(secrets.choice(SAFE) for _ in range(5))
    base = deployment[: _LONGEST_PREFIX - len(template_hash) - 1].rstrip("-.")
    return f"{base}-{template_hash}-{suffix}"


def pod_object(deployment: Object, template_hash: str, name: str, ports: Mapping[int, int]) -> Object:
    """The Pod to store: the template with the actual ports in place, owned by the Deployment."""
    template: Mapping[str, Any] = deployment["spec"]["template"]
    metadata = template.get("metadata") or {}
    spec: Object = copy.deepcopy(dict(template.get("spec") or {}))
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for port in container.get("ports") or ():
            port["containerPort"] = ports.get(int(port["containerPort"]), int(port["containerPort"]))
    spec.setdefault("restartPolicy", "Always")
    spec["nodeName"] = NODE_NAME
    return new_object(
        POD,
        namespace_of(deployment),
        name,
        metadata={
            "labels": {**(metadata.get("labels") or {}), LABEL_HASH: template_hash},
            "annotations": {**(metadata.get("annotations") or {}), ANNOTATION_PORTS: format_ports(ports)},
            "ownerReferences": [controller_reference(deployment)],
        },
        spec=spec,
    )
