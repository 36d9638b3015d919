"""The fields of the kinds that Upwell defaults and validates, and their types."""

from collections.abc import Mapping
from typing import Final

from upwell.api.pod_schema import OBJECT_REFERENCE_NAME, POD_FIELDS
from upwell.api.resources import (
    CERTIFICATE,
    CONFIGURATION,
    DOMAIN_CLAIM,
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
from upwell.api.schema import (
    ANYTHING,
    BOOLEAN,
    INT_OR_STRING,
    INTEGER,
    STRING,
    Shape,
    defaulted,
    kept,
    list_of,
    map_of,
    open_struct,
    struct,
)

__all__ = ["METADATA", "SPECS", "TRAFFIC"]

_OWNER: Final = struct(
    apiVersion=STRING,
    kind=STRING,
    name=STRING,
    uid=STRING,
    controller=kept(BOOLEAN),
    blockOwnerDeletion=kept(BOOLEAN),
)
METADATA: Final = struct(
    name=STRING,
    generateName=STRING,
    namespace=STRING,
    labels=map_of(STRING),
    annotations=map_of(STRING),
    ownerReferences=list_of(_OWNER),
    finalizers=list_of(STRING),
    # The API server's own, which it checks itself.
    creationTimestamp=ANYTHING,
    deletionGracePeriodSeconds=ANYTHING,
    deletionTimestamp=ANYTHING,
    generation=ANYTHING,
    managedFields=ANYTHING,
    resourceVersion=ANYTHING,
    selfLink=ANYTHING,
    uid=ANYTHING,
)
"""The shape of `metadata`, which is the same for all kinds."""
_REVISION: Final = struct(
    containerConcurrency=kept(INTEGER),
    timeoutSeconds=kept(INTEGER),
    responseStartTimeoutSeconds=kept(INTEGER),
    idleTimeoutSeconds=kept(INTEGER),
    **POD_FIELDS,
)
_TEMPLATE: Final = struct(
    metadata=defaulted(
        open_struct(
            name=STRING,
            generateName=STRING,
            namespace=STRING,
            labels=map_of(STRING),
            annotations=map_of(STRING),
            finalizers=list_of(STRING),
        ),
        {},
    ),
    spec=defaulted(_REVISION, {}),
)
TRAFFIC: Final = list_of(
    struct(
        tag=STRING,
        revisionName=STRING,
        configurationName=STRING,
        latestRevision=kept(BOOLEAN),
        percent=kept(INTEGER),
        url=STRING,
    )
)
_REFERENCE: Final = struct(kind=STRING, name=STRING, apiVersion=STRING)
_SPLIT: Final = struct(
    serviceNamespace=kept(STRING),
    serviceName=kept(STRING),
    servicePort=kept(INT_OR_STRING),
    percent=INTEGER,
    appendHeaders=map_of(STRING),
)
_PATH: Final = struct(
    path=STRING,
    rewriteHost=STRING,
    headers=map_of(struct(exact=STRING)),
    splits=list_of(_SPLIT),
    appendHeaders=map_of(STRING),
)
_RULE: Final = struct(hosts=list_of(STRING), visibility=STRING, http=struct(paths=list_of(_PATH)))
_TLS: Final = struct(hosts=list_of(STRING), secretName=STRING, secretNamespace=STRING)

SPECS: Final[Mapping[Resource, Shape]] = {
    SERVICE: struct(template=defaulted(_TEMPLATE, {}), traffic=TRAFFIC),
    CONFIGURATION: struct(template=defaulted(_TEMPLATE, {})),
    REVISION: _REVISION,
    ROUTE: struct(traffic=TRAFFIC),
    POD_AUTOSCALER: struct(
        containerConcurrency=INTEGER,
        scaleTargetRef=_REFERENCE,
        reachability=STRING,
        protocolType=STRING,
    ),
    METRIC: struct(stableWindow=INTEGER, panicWindow=INTEGER, scrapeTarget=STRING),
    SERVERLESS_SERVICE: struct(
        mode=STRING,
        objectRef=struct(kind=STRING, name=STRING, apiVersion=STRING, namespace=STRING),
        protocolType=STRING,
        numActivators=INTEGER,
    ),
    INGRESS: struct(httpOption=STRING, tls=list_of(_TLS), rules=list_of(_RULE)),
    DOMAIN_MAPPING: struct(
        ref=defaulted(
            struct(kind=STRING, namespace=STRING, name=STRING, apiVersion=STRING, group=STRING, address=STRING), {}
        ),
        tls=struct(secretName=defaulted(STRING, "")),
    ),
    CERTIFICATE: struct(dnsNames=list_of(STRING), domain=STRING, secretName=STRING),
    DOMAIN_CLAIM: struct(namespace=STRING),
    IMAGE: struct(image=kept(STRING), serviceAccountName=STRING, imagePullSecrets=list_of(OBJECT_REFERENCE_NAME)),
}
"""By resource, the shape of `spec`."""
