"""The fields of a pod that Knative's kinds accept, and their types (contract: control-plane.md 5.1, 5.3).

Kubernetes' pod has many more; what is not here is unknown to a Service, so that it is refused or dropped before it
could be misunderstood. Fields that a feature flag must allow, and that are handed to Kubernetes as they are, may hold
anything.
"""

from typing import Final

from upwell.api.schema import (
    ANYTHING,
    BOOLEAN,
    INT_OR_STRING,
    INTEGER,
    QUANTITY,
    STRING,
    defaulted,
    kept,
    list_of,
    map_of,
    struct,
)

__all__ = ["OBJECT_REFERENCE_NAME", "POD_FIELDS"]

OBJECT_REFERENCE_NAME: Final = struct(name=defaulted(STRING, ""))
_KEY: Final = struct(name=STRING, key=kept(STRING), optional=kept(BOOLEAN))
_SOURCE: Final = struct(name=STRING, optional=kept(BOOLEAN))
_ITEMS: Final = list_of(struct(key=kept(STRING), path=kept(STRING), mode=kept(INTEGER)))

_ENV: Final = struct(
    name=defaulted(STRING, ""),
    value=STRING,
    valueFrom=struct(
        configMapKeyRef=_KEY,
        secretKeyRef=_KEY,
        fieldRef=struct(apiVersion=STRING, fieldPath=kept(STRING)),
        resourceFieldRef=struct(containerName=STRING, resource=kept(STRING), divisor=defaulted(QUANTITY, "0")),
    ),
)
_ENV_FROM: Final = struct(prefix=STRING, configMapRef=_SOURCE, secretRef=_SOURCE)
_PORT: Final = struct(name=STRING, containerPort=defaulted(INTEGER, 0), protocol=defaulted(STRING, "TCP"))
_HEADERS: Final = list_of(struct(name=kept(STRING), value=kept(STRING)))
_PROBE: Final = struct(
    exec=struct(command=list_of(STRING)),
    httpGet=struct(path=STRING, port=defaulted(INT_OR_STRING, 0), host=STRING, scheme=STRING, httpHeaders=_HEADERS),
    tcpSocket=struct(port=defaulted(INT_OR_STRING, 0), host=STRING),
    grpc=struct(port=defaulted(INTEGER, 0), service=kept(STRING)),
    initialDelaySeconds=INTEGER,
    timeoutSeconds=INTEGER,
    periodSeconds=INTEGER,
    successThreshold=INTEGER,
    failureThreshold=INTEGER,
)
_SECCOMP: Final = struct(type=kept(STRING), localhostProfile=kept(STRING))
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
_POD_SECURITY: Final = struct(
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
    name=defaulted(STRING, ""),
    readOnly=BOOLEAN,
    mountPath=defaulted(STRING, ""),
    subPath=STRING,
    mountPropagation=kept(STRING),
)
_CONTAINER_FIELDS: Final = {
    "name": defaulted(STRING, ""),
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
_INIT_CONTAINER_FIELDS: Final = {
    **_CONTAINER_FIELDS,
    "lifecycle": ANYTHING,
    "stdin": BOOLEAN,
    "tty": BOOLEAN,
    "restartPolicy": ANYTHING,
    "volumeDevices": ANYTHING,
}
_VOLUME: Final = struct(
    name=defaulted(STRING, ""),
    secret=struct(secretName=STRING, items=_ITEMS, defaultMode=kept(INTEGER), optional=kept(BOOLEAN)),
    configMap=struct(name=STRING, items=_ITEMS, defaultMode=kept(INTEGER), optional=kept(BOOLEAN)),
    projected=struct(
        defaultMode=kept(INTEGER),
        sources=kept(
            list_of(
                struct(
                    configMap=struct(name=STRING, items=_ITEMS, optional=kept(BOOLEAN)),
                    secret=struct(name=STRING, items=_ITEMS, optional=kept(BOOLEAN)),
                    downwardAPI=ANYTHING,
                    serviceAccountToken=struct(audience=STRING, expirationSeconds=kept(INTEGER), path=kept(STRING)),
                )
            )
        ),
    ),
    emptyDir=struct(medium=STRING, sizeLimit=QUANTITY),
    persistentVolumeClaim=struct(claimName=kept(STRING), readOnly=BOOLEAN),
    hostPath=ANYTHING,
    csi=ANYTHING,
    ephemeral=struct(volumeClaimTemplate=struct(metadata=defaulted(ANYTHING, {}), spec=ANYTHING)),
    image=ANYTHING,
)
POD_FIELDS: Final = {
    "containers": list_of(struct(**_CONTAINER_FIELDS)),
    "initContainers": list_of(struct(**_INIT_CONTAINER_FIELDS)),
    "volumes": list_of(_VOLUME),
    "imagePullSecrets": list_of(OBJECT_REFERENCE_NAME),
    "serviceAccountName": STRING,
    "enableServiceLinks": kept(BOOLEAN),
    "automountServiceAccountToken": kept(BOOLEAN),
    "affinity": ANYTHING,
    "dnsConfig": ANYTHING,
    "dnsPolicy": STRING,
    "hostAliases": list_of(ANYTHING),
    "hostIPC": BOOLEAN,
    "hostNetwork": BOOLEAN,
    "hostPID": BOOLEAN,
    "nodeSelector": map_of(STRING),
    "priorityClassName": STRING,
    "runtimeClassName": kept(STRING),
    "schedulerName": STRING,
    "securityContext": _POD_SECURITY,
    "shareProcessNamespace": kept(BOOLEAN),
    "tolerations": list_of(ANYTHING),
    "topologySpreadConstraints": list_of(ANYTHING),
}
