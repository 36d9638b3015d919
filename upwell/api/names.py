"""Labels, annotations, headers, ports and child names of Knative's contract, each in one place."""

from typing import Final

# Environment and defaults
TRUST_BUNDLE: Final = "upwell-trust-bundle"
"""The config map with the certificate of the cluster's own authority."""
SYSTEM_NAMESPACE: Final = "knative-serving"
CLUSTER_DOMAIN: Final = "cluster.local"

# Ports (contract: queue-proxy.md 2, activator.md 4, autoscaler.md 14)
PORT_HTTP: Final = 8012
PORT_H2C: Final = 8013
PORT_TLS: Final = 8112
PORT_QUEUE_ADMIN: Final = 8022
PORT_STATS: Final = 9090
PORT_USER_METRICS: Final = 9091
PORT_PROFILING: Final = 8008
PORT_METRICS: Final = 9090
PORT_STAT_SERVER: Final = 8080
PORT_GATEWAY: Final = 8080
PORT_GATEWAY_TLS: Final = 8443
PORT_GATEWAY_LOCAL_TLS: Final = 8444
PORT_USER_DEFAULT: Final = 8080
PORT_NAME_HTTP: Final = "http"
PORT_NAME_H2C: Final = "http2"
APP_PROTOCOL_H2C: Final = "kubernetes.io/h2c"
PORT_NAME_STATS: Final = "http-autometric"

# Request headers, as sent
HEADER_REVISION: Final = "Knative-Serving-Revision"
HEADER_NAMESPACE: Final = "Knative-Serving-Namespace"
HEADER_PROXY: Final = "K-Proxy-Request"
HEADER_ORIGINAL_HOST: Final = "K-Original-Host"
HEADER_PROBE: Final = "K-Network-Probe"
HEADER_HASH: Final = "K-Network-Hash"
HEADER_KUBELET_PROBE: Final = "K-Kubelet-Probe"
HEADER_PASSTHROUGH: Final = "K-Passthrough-Lb"
HEADER_TAG: Final = "Knative-Serving-Tag"
HEADER_DEFAULT_ROUTE: Final = "Knative-Serving-Default-Route"
AGENT_KUBE: Final = "kube-probe/"
AGENT_ACTIVATOR: Final = "Knative-Activator-Probe"
AGENT_AUTOSCALER: Final = "Knative-Autoscaling-Probe"
AGENT_INGRESS: Final = "Knative-Ingress-Probe"
HEADER_ERROR: Final = "Upwell-Error"
"""Set on answers that Upwell itself makes: `COMPONENT; reason=REASON`, with `; unsent` when no byte of the
request reached the app, so that the hop before may send it elsewhere."""
HEADER_STATS: Final = "Upwell-Stats"
"""On the handshake of a websocket for statistics: who else gets what is sent on it."""
HEADER_STATS_SENDER: Final = "Upwell-Stats-Sender"
"""On the same handshake: a name for the sending process, so that it can be told what of its frames was read."""
HEADER_STATS_RECEIVED: Final = "Upwell-Stats-Received"
"""On the answer to it: `PROCESS FRAMES`, the receiving process and how many of the sender's frames it has read."""
STATS_TO_ALL: Final = "to-all"
"""Every autoscaler gets the same, so none hands it on."""
STATS_FORWARDED: Final = "forwarded"
"""Another autoscaler hands it on, to whom it takes for the owner."""

# Labels
_SERVING: Final = "serving.knative.dev/"
LABEL_SERVICE: Final = _SERVING + "service"
LABEL_SERVICE_UID: Final = _SERVING + "serviceUID"
LABEL_CONFIGURATION: Final = _SERVING + "configuration"
LABEL_CONFIGURATION_UID: Final = _SERVING + "configurationUID"
LABEL_CONFIGURATION_GENERATION: Final = _SERVING + "configurationGeneration"
LABEL_REVISION: Final = _SERVING + "revision"
LABEL_REVISION_UID: Final = _SERVING + "revisionUID"
LABEL_ROUTE: Final = _SERVING + "route"
LABEL_ROUTE_NAMESPACE: Final = _SERVING + "routeNamespace"
LABEL_ROUTING_STATE: Final = _SERVING + "routingState"
LABEL_DEPLOYMENT_HASH: Final = _SERVING + "deployment-hash"
LABEL_SERVICE_TYPE: Final = "networking.internal.knative.dev/serviceType"
LABEL_SKS: Final = "networking.internal.knative.dev/serverlessservice"
LABEL_VISIBILITY: Final = "networking.knative.dev/visibility"
LABEL_PART_OF: Final = "app.kubernetes.io/name"
PART_OF: Final = "knative-serving"
"""The value of that label on the config maps that are ours to check."""
LABEL_SLICE_SERVICE: Final = "kubernetes.io/service-name"
LABEL_SLICE_MANAGER: Final = "endpointslice.kubernetes.io/managed-by"
SERVICE_TYPE_PRIVATE: Final = "Private"
SERVICE_TYPE_PUBLIC: Final = "Public"

# Annotations
ANNOTATION_ROUTING_STATE_MODIFIED: Final = _SERVING + "routingStateModified"
ANNOTATION_ROUTES: Final = _SERVING + "routes"
ANNOTATION_NO_GC: Final = _SERVING + "no-gc"
ANNOTATION_LAST_PINNED: Final = _SERVING + "lastPinned"
ANNOTATION_CREATOR: Final = _SERVING + "creator"
ANNOTATION_LAST_MODIFIER: Final = _SERVING + "lastModifier"
ANNOTATION_PROGRESS_DEADLINE: Final = _SERVING + "progress-deadline"
ANNOTATION_ROLLOUT_DURATION: Final = _SERVING + "rollout-duration"
ANNOTATION_FULL_DUPLEX: Final = "features.knative.dev/http-full-duplex"
ANNOTATION_WAITING_PAGE: Final = "serving.upwell.dev/waiting-page"
ANNOTATION_WAITING_PAGE_BODY: Final = ANNOTATION_WAITING_PAGE + "-body"
ANNOTATION_WAITING_PAGE_REFRESH: Final = ANNOTATION_WAITING_PAGE + "-refresh"
ANNOTATION_WAITING_PAGE_STATUS: Final = ANNOTATION_WAITING_PAGE + "-status"
ANNOTATION_STICKINESS: Final = "serving.upwell.dev/stickiness"
ANNOTATION_INGRESS_CLASS: Final = "networking.knative.dev/ingress.class"
ANNOTATION_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
AUTOSCALING: Final = "autoscaling.knative.dev/"
ANNOTATION_CLASS: Final = AUTOSCALING + "class"
ANNOTATION_METRIC: Final = AUTOSCALING + "metric"
CLASS_KPA: Final = "kpa.autoscaling.knative.dev"
CLASS_HPA: Final = "hpa.autoscaling.knative.dev"
INGRESS_CLASS: Final = "upwell.ingress.networking.knative.dev"


def child_name(parent: str, suffix: str) -> str:
    """Join `parent` and `suffix` to a name of at most 63 characters, hashing where it would be longer.

    The rule is Knative's (contract: control-plane.md 1.1), so that objects made by either have the same names.
    """
    if len(parent) + len(suffix) <= 63:
        return parent + suffix
    import hashlib  # most processes make no name; a sidecar should not load OpenSSL's digests for none

    if len(suffix) < 31:
        return parent[: 31 - len(suffix)] + hashlib.md5(parent.encode()).hexdigest() + suffix
    hashed = parent[:31] + hashlib.md5((parent + suffix).encode()).hexdigest()
    joined = hashed + suffix[: 63 - len(hashed)]
    while joined and not joined[-1].isalnum():
        joined = joined[:-1]
    return joined
