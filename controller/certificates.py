"""Certificates that Routes and DomainMappings ask for, and what becomes of their URLs until they are there.

An issuer, such as cert-manager behind Knative's own controller, fulfils a Certificate by filling its Secret. Until
then a host is served over plain HTTP where the settings allow that, and not at all where they do not. Source:
contract, control-plane.md 6.2, 9.2.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from controller.cluster import Cluster
from controller.status import Refused
from upwell.api.conditions import FALSE, READY, TRUE, Conditions, status_of
from upwell.api.config_network import NetworkConfig
from upwell.api.names import ANNOTATION_LAST_APPLIED
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    is_controlled_by,
    mutable,
    name_of,
    namespace_of,
    new_object,
)
from upwell.api.resources import CERTIFICATE
from upwell.cluster.errors import NotFound

__all__ = [
    "CLUSTER_LOCAL",
    "EXTERNAL",
    "LABEL_TYPE",
    "SYSTEM_INTERNAL",
    "certificate_for",
    "ensure_certificate",
    "ingress_tls",
    "is_fulfilled",
    "tls_is_disabled",
]

LABEL_TYPE: Final = "networking.knative.dev/certificate-type"
EXTERNAL: Final = "external-domain"
CLUSTER_LOCAL: Final = "cluster-local-domain"
SYSTEM_INTERNAL: Final = "system-internal"
_CLASS: Final = "networking.knative.dev/certificate.class"
_CLASS_KEYS: Final = (_CLASS, "networking.knative.dev/certificate-class")
_DISABLING: Final = (
    "networking.knative.dev/disableAutoTLS",
    "networking.knative.dev/disable-auto-tls",
    "networking.knative.dev/disable-external-domain-tls",
)


def tls_is_disabled(owner: Object) -> bool:
    """Whether the owner's annotations ask for no certificate."""
    annotations = annotations_of(owner)
    return next((annotations[key].lower() == "true" for key in _DISABLING if key in annotations), False)


def certificate_for(
    owner: Object,
    name: str,
    hosts: Sequence[str],
    kind: str,
    network: NetworkConfig,
    labels: Mapping[str, str],
    domain: str = "",
) -> Object:
    """A Certificate for `hosts` in a Secret of its own name; `domain` is what they are in, or the first of them."""
    annotations = {key: value for key, value in annotations_of(owner).items() if key != ANNOTATION_LAST_APPLIED}
    chosen = next((annotations[key] for key in _CLASS_KEYS if key in annotations), network.certificate_class)
    kept = {key: value for key, value in annotations.items() if key not in _CLASS_KEYS}
    return new_object(
        CERTIFICATE,
        namespace_of(owner),
        name,
        metadata={
            "labels": {**labels, LABEL_TYPE: kind},
            "annotations": {**kept, _CLASS: chosen},
            "ownerReferences": [controller_reference(owner)],
        },
        spec={"dnsNames": list(hosts), "domain": domain or hosts[0], "secretName": name},
    )


async def ensure_certificate(
    cluster: Cluster, owner: Object, wanted: Object, condition: str, conditions: Conditions
) -> Object:
    """The Certificate as wanted, made or changed where it was not; raise Refused when it is another's."""
    name = name_of(wanted)
    found = cluster.cached(CERTIFICATE, namespace_of(wanted), name)
    if found is None:
        try:
            found, created = await cluster.create(CERTIFICATE, wanted)
        except NotFound as error:
            message = f"Certificate {name} fails to be provisioned: this cluster has no Certificates."
            conditions.mark_false(condition, "CertificateProvisionFailed", message)
            raise Refused(f"certificate: {error}") from error
        if created:
            return found
    if not is_controlled_by(found, owner):
        message = f"There is an existing certificate {name} that we don't own."
        conditions.mark_false(condition, "CertificateNotOwned", message)
        raise Refused(f'{owner["kind"].lower()}: "{name_of(owner)}" does not own certificate: "{name}"')
    if _same(found, wanted):
        return found
    changed = mutable(found)
    changed["spec"] = {**changed["spec"], **wanted["spec"]}
    for field in ("labels", "annotations"):
        changed["metadata"][field] = {**(changed["metadata"].get(field) or {}), **wanted["metadata"][field]}
    return await cluster.client.update(CERTIFICATE, changed)


def is_fulfilled(certificate: Object, condition: str, conditions: Conditions, *, plain_http: bool) -> bool:
    """Whether the Secret can be served; where not, `condition` says what comes of that."""
    name, status = name_of(certificate), certificate.get("status") or {}
    observed = certificate["metadata"].get("generation") == status.get("observedGeneration")
    ready = status_of(status, READY) if observed else ""
    if ready == TRUE:
        conditions.mark_true(condition)
        return True
    if plain_http:
        conditions.mark_true(condition, "HTTPDowngrade", f"Certificate {name} is not ready downgrade HTTP.")
    elif ready == FALSE:
        conditions.mark_false(condition, "CertificateProvisionFailed", f"Certificate {name} fails to be provisioned.")
    else:
        conditions.mark_unknown(condition, "CertificateNotReady", f"Certificate {name} is not ready.")
    return False


def ingress_tls(certificate: Object) -> dict[str, Any]:
    """The entry of an Ingress by which its hosts are served with the Certificate."""
    spec = certificate["spec"]
    return {
        "hosts": list(spec["dnsNames"]),
        "secretName": spec["secretName"],
        "secretNamespace": namespace_of(certificate),
    }


def _same(found: Object, wanted: Object) -> bool:
    # Only what we say is ours: an issuer may note things of its own.
    metadata = found["metadata"]
    return wanted["spec"].items() <= found["spec"].items() and all(
        wanted["metadata"][field].items() <= (metadata.get(field) or {}).items() for field in ("labels", "annotations")
    )
