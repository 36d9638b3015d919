"""The fields of `status`, by kind: what controllers, ours and the reference's, write there.

A field that is not here is dropped by the API server, on a cluster and on a laptop alike.
"""

from collections.abc import Mapping
from typing import Final

from upwell.api.kind_schemas import TRAFFIC
from upwell.api.resources import (
    CERTIFICATE,
    CONFIGURATION,
    DOMAIN_MAPPING,
    IMAGE,
    INGRESS,
    METRIC,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVERLESS_SERVICE,
    SERVICE,
    Resource,
)
from upwell.api.schema import BOOLEAN, INT_OR_STRING, INTEGER, STRING, Shape, list_of, map_of, struct

__all__ = ["STATUSES"]

_COMMON: Final = {
    "annotations": map_of(STRING),
    "conditions": list_of(
        struct(
            type=STRING,
            status=STRING,
            severity=STRING,
            lastTransitionTime=STRING,
            reason=STRING,
            message=STRING,
        )
    ),
    "observedGeneration": INTEGER,
}
_ADDRESS: Final = struct(name=STRING, url=STRING, CACerts=STRING, audience=STRING)
_LATEST: Final = {"latestCreatedRevisionName": STRING, "latestReadyRevisionName": STRING}
_ROUTED: Final = {"url": STRING, "address": _ADDRESS, "traffic": TRAFFIC}
_DIGESTS: Final = list_of(struct(name=STRING, imageDigest=STRING))
_LOAD_BALANCER: Final = struct(
    ingress=list_of(struct(ip=STRING, domain=STRING, domainInternal=STRING, meshOnly=BOOLEAN))
)
_CHALLENGE: Final = struct(url=STRING, serviceName=STRING, serviceNamespace=STRING, servicePort=INT_OR_STRING)

STATUSES: Final[Mapping[Resource, Shape]] = {
    SERVICE: struct(**_COMMON, **_LATEST, **_ROUTED),
    CONFIGURATION: struct(**_COMMON, **_LATEST),
    REVISION: struct(
        **_COMMON,
        logUrl=STRING,
        containerStatuses=_DIGESTS,
        initContainerStatuses=_DIGESTS,
        actualReplicas=INTEGER,
        desiredReplicas=INTEGER,
    ),
    ROUTE: struct(**_COMMON, **_ROUTED),
    DOMAIN_MAPPING: struct(**_COMMON, url=STRING, address=_ADDRESS),
    POD_AUTOSCALER: struct(
        **_COMMON,
        serviceName=STRING,
        metricsServiceName=STRING,
        desiredScale=INTEGER,
        actualScale=INTEGER,
    ),
    METRIC: struct(**_COMMON),
    SERVERLESS_SERVICE: struct(**_COMMON, serviceName=STRING, privateServiceName=STRING),
    INGRESS: struct(
        **_COMMON,
        loadBalancer=_LOAD_BALANCER,
        publicLoadBalancer=_LOAD_BALANCER,
        privateLoadBalancer=_LOAD_BALANCER,
    ),
    CERTIFICATE: struct(**_COMMON, notAfter=STRING, http01Challenges=list_of(_CHALLENGE)),
    IMAGE: struct(**_COMMON),
}
"""By resource, the shape of `status`; kinds without one are not here."""
