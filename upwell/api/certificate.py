"""Certificate: a key and a certificate for DNS names, which an issuer puts into a Secret."""

from typing import Final

from upwell.api.conditions import ConditionSet
from upwell.api.field_errors import FieldErrors, at_index
from upwell.api.objects import Object

__all__ = ["CONDITIONS", "validate_certificate"]

CONDITIONS = ConditionSet()
_NOT_A_SUFFIX: Final = "domain must be a suffix of, or match exactly, at least one entry in dnsNames"


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
    domain = spec.get("domain") or ""
    if domain and names and not any(f".{name}".endswith(f".{domain}") for name in names):
        # The contract's words have the reason in the place of the path.
        errors.invalid("domain", f"spec.{_NOT_A_SUFFIX}")
