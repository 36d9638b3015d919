"""The fields of a pod that a feature flag hands to Kubernetes as they are: where pods go, and what they find there.

Their types are known, so that a number in place of a text is told when a Service is applied and not when its pod cannot
be made. Unknown fields are nobody's mistake: Kubernetes adds new ones faster than Knative's definitions follow.
"""

from typing import Final

from upwell.api.schema import (
    ANYTHING,
    INT32,
    INTEGER,
    QUANTITY,
    STRING,
    defaulted,
    kept,
    list_of,
    map_of,
    open_struct,
)

__all__ = ["AFFINITY", "CLAIM", "DNS", "HOST_ALIAS", "SPREAD", "TOLERATION"]

_TEXT: Final = defaulted(STRING, "")
"""A text that Kubernetes' types always have, if only an empty one."""
_NUMBER: Final = defaulted(INT32, 0)
_REQUIREMENTS: Final = list_of(open_struct(key=_TEXT, operator=_TEXT, values=list_of(STRING)))
_SELECTOR: Final = open_struct(matchLabels=map_of(STRING), matchExpressions=_REQUIREMENTS)
_NODES: Final = open_struct(matchExpressions=_REQUIREMENTS, matchFields=_REQUIREMENTS)
_PODS: Final = open_struct(
    labelSelector=_SELECTOR,
    namespaces=list_of(STRING),
    topologyKey=_TEXT,
    namespaceSelector=_SELECTOR,
    matchLabelKeys=list_of(STRING),
    mismatchLabelKeys=list_of(STRING),
)
_NEARNESS: Final = open_struct(
    requiredDuringSchedulingIgnoredDuringExecution=list_of(_PODS),
    preferredDuringSchedulingIgnoredDuringExecution=list_of(
        open_struct(weight=_NUMBER, podAffinityTerm=defaulted(_PODS, {}))
    ),
)
AFFINITY: Final = open_struct(
    nodeAffinity=open_struct(
        requiredDuringSchedulingIgnoredDuringExecution=open_struct(nodeSelectorTerms=kept(list_of(_NODES))),
        preferredDuringSchedulingIgnoredDuringExecution=list_of(
            open_struct(weight=_NUMBER, preference=defaulted(_NODES, {}))
        ),
    ),
    podAffinity=_NEARNESS,
    podAntiAffinity=_NEARNESS,
)
SPREAD: Final = open_struct(
    maxSkew=_NUMBER,
    topologyKey=_TEXT,
    whenUnsatisfiable=_TEXT,
    labelSelector=_SELECTOR,
    minDomains=kept(INT32),
    nodeAffinityPolicy=kept(STRING),
    nodeTaintsPolicy=kept(STRING),
    matchLabelKeys=list_of(STRING),
)
TOLERATION: Final = open_struct(
    key=STRING, operator=STRING, value=STRING, effect=STRING, tolerationSeconds=kept(INTEGER)
)
HOST_ALIAS: Final = open_struct(ip=_TEXT, hostnames=list_of(STRING))
DNS: Final = open_struct(
    nameservers=list_of(STRING),
    searches=list_of(STRING),
    options=list_of(open_struct(name=STRING, value=kept(STRING))),
)
CLAIM: Final = open_struct(
    accessModes=list_of(STRING),
    selector=_SELECTOR,
    resources=defaulted(open_struct(limits=map_of(QUANTITY), requests=map_of(QUANTITY)), {}),
    volumeName=STRING,
    storageClassName=kept(STRING),
    volumeMode=kept(STRING),
    dataSource=ANYTHING,
    dataSourceRef=ANYTHING,
    volumeAttributesClassName=kept(STRING),
)
"""The spec of a claim on a volume."""
