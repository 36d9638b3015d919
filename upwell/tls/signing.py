"""Keys, authorities and what they sign: the parts of a certificate authority, without any of its decisions.

Keys are on the curve P-256. Everything is as of a given time; nothing in here reads a clock or keeps anything.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = [
    "CLOCK_SKEW",
    "Authority",
    "is_old",
    "is_over",
    "key_pem",
    "new_authority",
    "new_leaf",
    "pem",
    "read_certificates",
    "read_key",
    "read_keys",
    "serves",
    "signed",
]

CLOCK_SKEW: Final = timedelta(hours=1)
"""Certificates begin that much earlier, for machines whose clocks are behind."""
_COMMON_NAME_LONGEST: Final = 64

Key = ec.EllipticCurvePrivateKey
Authority = tuple[x509.Certificate, Key]


def new_authority(common: str, time: datetime, life: timedelta) -> Authority:
    """`common` should be a name of its own, so that of two authorities at a time each is tried for what it signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common)
    certificate = (
        _begin(name, name, key, time, time + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_SIGNS_ONLY, critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def new_leaf(
    names: Sequence[str], authority: Authority, time: datetime, life: timedelta
) -> tuple[x509.Certificate, Key]:
    """A server's certificate for DNS `names`, which lives no longer than its authority."""
    issuer, issuer_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(time + life, issuer.not_valid_after_utc)
    certificate = (
        _begin(_name(names[0]), issuer.subject, key, time, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return certificate, key


_SIGNS_ONLY: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _begin(subject: x509.Name, issuer: x509.Name, key: Key, time: datetime, until: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(time - CLOCK_SKEW)
        .not_valid_after(until)
    )


def _name(common: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "upwell")]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common[:_COMMON_NAME_LONGEST])])


def is_over(certificate: x509.Certificate, time: datetime) -> bool:
    return time >= certificate.not_valid_after_utc


def is_old(certificate: x509.Certificate, time: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - time < life / 3


def signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def serves(certificate: x509.Certificate, names: Sequence[str]) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(names) <= set(found.get_values_for_type(x509.DNSName))


def read_certificates(text: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        return []


def read_key(text: bytes) -> Key | None:
    try:
        key = serialization.load_pem_private_key(text, None)
    except (ValueError, TypeError):
        return None
    return key if isinstance(key, Key) else None


def pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_keys(text: bytes) -> list[Key]:
    """The keys one after the other in `text`; what is no key of ours is passed over."""
    end = b"-----END PRIVATE KEY-----\n"
    found = (read_key(part + end) for part in text.split(end)[:-1])
    return [key for key in found if key is not None]
