"""Certificate: a key and a certificate for DNS names, which an issuer puts into a Secret."""

from upwell.api.conditions import ConditionSet
from upwell.api.field_errors import FieldErrors, at_index
from upwell.api.objects import Object

__all__ = ["CONDITIONS", "validate_certificate"]

CONDITIONS = ConditionSet()


def validate_certificate(certificate: Object, errors: FieldErrors) -> None:
    spec = certificate["spec"]
    names = spec.get("dnsNames") or ()
    if not names:
        errors.missing("spec.dnsNames")
    for index, name in enumerate(names):
        if not name:
            errors.invalid("", at_index("spec.dnsNames", index))
    if not spec.get("secretName"):
        errors.missing("spec.secretName")
