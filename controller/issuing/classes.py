"""The classes of Certificates that are ours to fulfil, and the kinds of cert-manager's that one of them leads to."""

from typing import Final

from upwell.api.objects import Object, annotations_of
from upwell.api.resources import Resource

__all__ = ["CERT_MANAGER", "CHALLENGE", "CM_CERTIFICATE", "OWN", "class_of"]

OWN: Final = "upwell.certificate.networking.knative.dev"
"""Signed by an authority of the cluster's own, for laptops and for clusters without cert-manager."""
CERT_MANAGER: Final = "cert-manager.certificate.networking.knative.dev"
CM_CERTIFICATE: Final = Resource("cert-manager.io", "v1", "certificates", "Certificate")
CHALLENGE: Final = Resource("acme.cert-manager.io", "v1", "challenges", "Challenge")
_KEYS: Final = ("networking.knative.dev/certificate.class", "networking.knative.dev/certificate-class")


def class_of(certificate: Object) -> str:
    annotations = annotations_of(certificate)
    return next((annotations[key] for key in _KEYS if key in annotations), "")
