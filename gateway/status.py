"""What the gateway says of an Ingress: that this generation is served, and where."""

from typing import Any, NamedTuple

from upwell.api.conditions import READY, find
from upwell.api.ingress import CONDITIONS, NETWORK_CONFIGURED
from upwell.api.objects import Object, ObjectError, mutable

__all__ = ["LoadBalancers", "is_whole", "rejected_status", "served_status"]


class LoadBalancers(NamedTuple):
    """The names, inside the cluster, of the Services that lead to us."""

    public: str
    """Serves public hosts only, as clients outside see us."""
    private: str
    """Serves hosts of every visibility."""


def served_status(obj: Object, load_balancers: LoadBalancers, now: float) -> dict[str, Any]:
    """The status of an Ingress whose present generation is in the table."""
    status = _status(obj)
    conditions = CONDITIONS.manage(status, now)
    for kind in CONDITIONS.dependents:
        conditions.mark_true(kind)
    status["publicLoadBalancer"] = {"ingress": [{"domainInternal": load_balancers.public}]}
    status["privateLoadBalancer"] = {"ingress": [{"domainInternal": load_balancers.private}]}
    return status


def rejected_status(obj: Object, error: ObjectError, now: float) -> dict[str, Any]:
    """The status of an Ingress that cannot be served as it stands."""
    status = _status(obj)
    conditions = CONDITIONS.manage(status, now)
    conditions.init()
    conditions.mark_false(NETWORK_CONFIGURED, "ReconcileIngressFailed", str(error))
    return status


def is_whole(obj: Object) -> bool:
    """Whether a gateway has said something about the present generation that nobody has broken since."""
    status = obj.get("status") or {}
    ready = find(status, READY)
    if ready is None or status.get("observedGeneration") != obj["metadata"].get("generation"):
        return False
    return ready["status"] == "False" or all(
        (status.get(name) or {}).get("ingress") for name in ("publicLoadBalancer", "privateLoadBalancer")
    )


def _status(obj: Object) -> dict[str, Any]:
    status: dict[str, Any] = mutable(obj.get("status") or {})
    status["observedGeneration"] = int(obj["metadata"].get("generation") or 0)
    return status
