"""The resources that Upwell reads and writes: group, version, plural, kind, scope."""

from dataclasses import dataclass
from typing import Final

__all__ = ["BY_KIND", "KNATIVE_RESOURCES", "RESOURCES", "Resource"]


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the Kubernetes API."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    has_status: bool = True
    """Whether `status` is a subresource, so that ordinary updates leave it alone."""
    has_scale: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def base_path(self) -> str:
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection or an object; an empty namespace means all of them."""
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return self.base_path + scope + "".join(f"/{part}" for part in (self.plural, name, subresource) if part)


_KNATIVE: Final = ("all", "knative", "serving")
_INTERNAL: Final = ("knative-internal",)
_SERVING: Final = "serving.knative.dev"
_AUTOSCALING: Final = "autoscaling.internal.knative.dev"
_NETWORKING: Final = "networking.internal.knative.dev"
_CACHING: Final = "caching.internal.knative.dev"

NAMESPACE: Final = Resource("", "v1", "namespaces", "Namespace", False, ("ns",))
POD: Final = Resource("", "v1", "pods", "Pod", short_names=("po",), categories=("all",))
CORE_SERVICE: Final = Resource("", "v1", "services", "Service", short_names=("svc",), categories=("all",))
ENDPOINTS: Final = Resource("", "v1", "endpoints", "Endpoints", short_names=("ep",), has_status=False)
CONFIG_MAP: Final = Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",), has_status=False)
SECRET: Final = Resource("", "v1", "secrets", "Secret", has_status=False)
EVENT: Final = Resource("", "v1", "events", "Event", short_names=("ev",), has_status=False)
NODE: Final = Resource("", "v1", "nodes", "Node", False, ("no",))
SERVICE_ACCOUNT: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount", short_names=("sa",), has_status=False)
DEPLOYMENT: Final = Resource(
    "apps", "v1", "deployments", "Deployment", short_names=("deploy",), categories=("all",), has_scale=True
)
ENDPOINT_SLICE: Final = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", has_status=False)
LEASE: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease", has_status=False)
HPA: Final = Resource(
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    "HorizontalPodAutoscaler",
    short_names=("hpa",),
    categories=("all",),
)
SERVICE: Final = Resource(_SERVING, "v1", "services", "Service", True, ("kservice", "ksvc"), _KNATIVE)
CONFIGURATION: Final = Resource(_SERVING, "v1", "configurations", "Configuration", True, ("config", "cfg"), _KNATIVE)
REVISION: Final = Resource(_SERVING, "v1", "revisions", "Revision", True, ("rev",), _KNATIVE)
ROUTE: Final = Resource(_SERVING, "v1", "routes", "Route", True, ("rt",), _KNATIVE)
DOMAIN_MAPPING: Final = Resource(_SERVING, "v1beta1", "domainmappings", "DomainMapping", True, ("dm",), _KNATIVE)
POD_AUTOSCALER: Final = Resource(
    _AUTOSCALING, "v1alpha1", "podautoscalers", "PodAutoscaler", True, ("kpa", "pa"), _INTERNAL
)
METRIC: Final = Resource(_AUTOSCALING, "v1alpha1", "metrics", "Metric", True, (), _INTERNAL)
SERVERLESS_SERVICE: Final = Resource(
    _NETWORKING, "v1alpha1", "serverlessservices", "ServerlessService", True, ("sks",), _INTERNAL
)
INGRESS: Final = Resource(_NETWORKING, "v1alpha1", "ingresses", "Ingress", True, ("kingress", "king"), _INTERNAL)
CERTIFICATE: Final = Resource(_NETWORKING, "v1alpha1", "certificates", "Certificate", True, ("kcert",), _INTERNAL)
DOMAIN_CLAIM: Final = Resource(
    _NETWORKING, "v1alpha1", "clusterdomainclaims", "ClusterDomainClaim", False, ("cdc",), _INTERNAL, has_status=False
)
IMAGE: Final = Resource(_CACHING, "v1alpha1", "images", "Image", True, (), _INTERNAL)

RESOURCES: Final = (
    NAMESPACE,
    POD,
    CORE_SERVICE,
    ENDPOINTS,
    CONFIG_MAP,
    SECRET,
    EVENT,
    NODE,
    SERVICE_ACCOUNT,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    LEASE,
    HPA,
    SERVICE,
    CONFIGURATION,
    REVISION,
    ROUTE,
    DOMAIN_MAPPING,
    POD_AUTOSCALER,
    METRIC,
    SERVERLESS_SERVICE,
    INGRESS,
    CERTIFICATE,
    DOMAIN_CLAIM,
    IMAGE,
)
KNATIVE_RESOURCES: Final = tuple(resource for resource in RESOURCES if resource.group.endswith(".knative.dev"))
"""The kinds that a cluster knows through resource definitions."""
BY_KIND: Final = {(resource.api_version, resource.kind): resource for resource in RESOURCES}
