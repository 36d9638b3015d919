"""What the gateway says of an Ingress: that this generation is served, and where."""

from typing import Any, Final

from upwell.api.conditions import ConditionSet
from upwell.api.objects import Object, ObjectError, mutable

__all__ = ["rejected_status", "served_status"]

NETWORK_CONFIGURED: Final = "NetworkConfigured"
LOAD_BALANCER_READY: Final = "LoadBalancerReady"
CONDITIONS: Final = ConditionSet(dependents=(LOAD_BALANCER_READY, NETWORK_CONFIGURED))


def served_status(obj: Object, domain: str, now: float) -> dict[str, Any]:
    """The status of an Ingress whose present generation is in the table; the cluster reaches us at `domain`."""
    status = _status(obj)
    conditions = CONDITIONS.manage(status, now)
    for kind in CONDITIONS.dependents:
        conditions.mark_true(kind)
    address = {"ingress": [{"domainInternal": domain}]}
    status["publicLoadBalancer"] = address
    status["privateLoadBalancer"] = address
    return status


def rejected_status(obj: Object, error: ObjectError, now: float) -> dict[str, Any]:
    """The status of an Ingress that cannot be served as it stands."""
    status = _status(obj)
    conditions = CONDITIONS.manage(status, now)
    conditions.init()
    conditions.mark_false(NETWORK_CONFIGURED, "ReconcileIngressFailed", str(error))
    return status


def _status(obj: Object) -> dict[str, Any]:
    status: dict[str, Any] = mutable(obj.get("status") or {})
    status["observedGeneration"] = int(obj["metadata"].get("generation") or 0)
    return status
