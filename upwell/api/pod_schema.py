"""The fields of a pod that Knative's kinds accept, and their types (contract: control-plane.md 5.1, 5.3).

Kubernetes' pod has many more; what is not here is unknown to a Service, so that it is refused or dropped before it
could be misunderstood. Fields that a feature flag must allow, and that are handed to Kubernetes as they are, are in
`scheduling_schema`.
"""

from typing import Final

from upwell.api.scheduling_schema import AFFINITY, CLAIM, DNS, HOST_ALIAS, SPREAD, TOLERATION
from upwell.api.schema import (
    ANYTHING,
    BOOLEAN,
    INT32,
    INT_OR_STRING,
    INTEGER,
    QUANTITY,
    STRING,
    defaulted,
    kept,
    list_of,
    map_of,
    open_struct,
    opened,
    struct,
)

__all__ = ["OBJECT_REFERENCE_NAME", "POD_FIELDS"]

_TEXT: Final = defaulted(STRING, "")
"""A text that Kubernetes' types always have, if only an empty one."""
OBJECT_REFERENCE_NAME: Final = struct(name=_TEXT)
_KEY: Final = struct(name=_TEXT, key=_TEXT, optional=kept(BOOLEAN))
_SOURCE: Final = struct(name=_TEXT, optional=kept(BOOLEAN))
_ITEMS: Final = list_of(struct(key=_TEXT, path=_TEXT, mode=kept(INT32)))
_FIELD: Final = open_struct(apiVersion=STRING, fieldPath=_TEXT)
_RESOURCE_FIELD: Final = open_struct(containerName=STRING, resource=_TEXT, divisor=defaulted(QUANTITY, "0"))

_ENV: Final = struct(
    name=_TEXT,
    value=STRING,
    valueFrom=struct(configMapKeyRef=_KEY, secretKeyRef=_KEY, fieldRef=_FIELD, resourceFieldRef=_RESOURCE_FIELD),
)
_ENV_FROM: Final = struct(prefix=STRING, configMapRef=_SOURCE, secretRef=_SOURCE)
_PORT: Final = struct(name=STRING, containerPort=defaulted(INT32, 0), protocol=defaulted(STRING, "TCP"))
_HEADERS: Final = list_of(struct(name=_TEXT, value=_TEXT))
_PROBE: Final = struct(
    exec=struct(command=list_of(STRING)),
    httpGet=struct(path=STRING, port=defaulted(INT_OR_STRING, 0), host=STRING, scheme=STRING, httpHeaders=_HEADERS),
    tcpSocket=struct(port=defaulted(INT_OR_STRING, 0), host=STRING),
    grpc=struct(port=defaulted(INT32, 0), service=_TEXT),
    initialDelaySeconds=INT32,
    timeoutSeconds=INT32,
    periodSeconds=INT32,
    successThreshold=INT32,
    failureThreshold=INT32,
)
_SECCOMP: Final = struct(type=_TEXT, localhostProfile=kept(STRING))
_SECURITY: Final = struct(
    allowPrivilegeEscalation=kept(BOOLEAN),
    capabilities=struct(add=list_of(STRING), drop=list_of(STRING)),
    privileged=kept(BOOLEAN),
    readOnlyRootFilesystem=kept(BOOLEAN),
    runAsGroup=kept(INTEGER),
    runAsNonRoot=kept(BOOLEAN),
    runAsUser=kept(INTEGER),
    seccompProfile=_SECCOMP,
)
_POD_SECURITY: Final = open_struct(
    runAsUser=kept(INTEGER),
    runAsGroup=kept(INTEGER),
    runAsNonRoot=kept(BOOLEAN),
    fsGroup=kept(INTEGER),
    supplementalGroups=list_of(INTEGER),
    seccompProfile=_SECCOMP,
    # Not open to users; known here so that the refusal names them.
    appArmorProfile=ANYTHING,
    fsGroupChangePolicy=ANYTHING,
    seLinuxChangePolicy=ANYTHING,
    seLinuxOptions=ANYTHING,
    supplementalGroupsPolicy=ANYTHING,
    sysctls=ANYTHING,
    windowsOptions=ANYTHING,
)
_MOUNT: Final = struct(
    name=_TEXT,
    readOnly=BOOLEAN,
    mountPath=_TEXT,
    subPath=STRING,
    mountPropagation=kept(STRING),
)
_CONTAINER_FIELDS: Final = {
    "name": _TEXT,
    "image": STRING,
    "command": list_of(STRING),
    "args": list_of(STRING),
    "workingDir": STRING,
    "ports": list_of(_PORT),
    "env": list_of(_ENV),
    "envFrom": list_of(_ENV_FROM),
    "resources": defaulted(struct(limits=map_of(QUANTITY), requests=map_of(QUANTITY)), {}),
    "volumeMounts": list_of(_MOUNT),
    "livenessProbe": _PROBE,
    "readinessProbe": _PROBE,
    "startupProbe": _PROBE,
    "terminationMessagePath": STRING,
    "terminationMessagePolicy": STRING,
    "imagePullPolicy": STRING,
    "securityContext": _SECURITY,
}
# Feature-gated as a whole, so that more of Kubernetes' fields get as far as the validation that names them.
_INIT_SECURITY: Final = struct(
    **(_SECURITY.fields or {}),
    appArmorProfile=ANYTHING,
    procMount=ANYTHING,
    seLinuxOptions=ANYTHING,
    windowsOptions=ANYTHING,
)
_INIT_CONTAINER_FIELDS: Final = {
    **_CONTAINER_FIELDS,
    "lifecycle": ANYTHING,
    "ports": list_of(struct(**(_PORT.fields or {}), hostIP=STRING, hostPort=INT32)),
    "resizePolicy": list_of(ANYTHING),
    "restartPolicy": ANYTHING,
    "securityContext": _INIT_SECURITY,
    "stdin": BOOLEAN,
    "stdinOnce": BOOLEAN,
    "tty": BOOLEAN,
    "volumeDevices": list_of(ANYTHING),
}
_DOWNWARD: Final = struct(
    items=list_of(struct(path=_TEXT, fieldRef=_FIELD, resourceFieldRef=_RESOURCE_FIELD, mode=kept(INT32)))
)
_TOKEN: Final = struct(audience=STRING, expirationSeconds=kept(INTEGER), path=_TEXT)
_PROJECTION: Final = struct(
    configMap=struct(name=_TEXT, items=_ITEMS, optional=kept(BOOLEAN)),
    secret=struct(name=_TEXT, items=_ITEMS, optional=kept(BOOLEAN)),
    downwardAPI=_DOWNWARD,
    serviceAccountToken=_TOKEN,
)
_VOLUME: Final = struct(
    name=_TEXT,
    secret=struct(secretName=STRING, items=_ITEMS, defaultMode=kept(INT32), optional=kept(BOOLEAN)),
    configMap=struct(name=_TEXT, items=_ITEMS, defaultMode=kept(INT32), optional=kept(BOOLEAN)),
    projected=struct(defaultMode=kept(INT32), sources=kept(list_of(_PROJECTION))),
    emptyDir=open_struct(medium=STRING, sizeLimit=QUANTITY),
    persistentVolumeClaim=open_struct(claimName=_TEXT, readOnly=BOOLEAN),
    hostPath=open_struct(path=_TEXT, type=kept(STRING)),
    csi=open_struct(
        driver=_TEXT,
        readOnly=kept(BOOLEAN),
        fsType=kept(STRING),
        volumeAttributes=map_of(STRING),
        nodePublishSecretRef=OBJECT_REFERENCE_NAME,
    ),
    ephemeral=open_struct(volumeClaimTemplate=open_struct(metadata=defaulted(ANYTHING, {}), spec=CLAIM)),
    image=open_struct(reference=STRING, pullPolicy=STRING),
)
POD_FIELDS: Final = {
    "containers": list_of(struct(**_CONTAINER_FIELDS)),
    "initContainers": list_of(opened(struct(**_INIT_CONTAINER_FIELDS))),
    "volumes": list_of(_VOLUME),
    "imagePullSecrets": list_of(OBJECT_REFERENCE_NAME),
    "serviceAccountName": STRING,
    "enableServiceLinks": kept(BOOLEAN),
    "automountServiceAccountToken": kept(BOOLEAN),
    "affinity": AFFINITY,
    "dnsConfig": DNS,
    "dnsPolicy": STRING,
    "hostAliases": list_of(HOST_ALIAS),
    "hostIPC": BOOLEAN,
    "hostNetwork": BOOLEAN,
    "hostPID": BOOLEAN,
    "nodeSelector": map_of(STRING),
    "priorityClassName": STRING,
    "runtimeClassName": kept(STRING),
    "schedulerName": STRING,
    "securityContext": _POD_SECURITY,
    "shareProcessNamespace": kept(BOOLEAN),
    "tolerations": list_of(TOLERATION),
    "topologySpreadConstraints": list_of(SPREAD),
}
