"""The webhook's certificates: an authority of its own, and what it signed, as the data of one Secret.

    ca-cert.pem      authorities to trust, the one that signs first       ca-key.pem       its key
    server-cert.pem  what the webhook shows                               server-key.pem   its key

The names are those that Knative's webhook uses, so that each finds what the other left. All replicas share the Secret.
Whatever has less than a third of its life left is replaced. A new authority is first published beside the old one, and
signs only when every caller knows it: `next_data` takes one such step at a time, and nothing in it reads a clock or
talks to anybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["AUTHORITIES", "CERTIFICATE", "KEY", "next_data"]

AUTHORITIES: Final = "ca-cert.pem"
AUTHORITY_KEY: Final = "ca-key.pem"
CERTIFICATE: Final = "server-cert.pem"
KEY: Final = "server-key.pem"

_AUTHORITY_LIFE: Final = timedelta(days=365)
_SERVER_LIFE: Final = timedelta(days=30)
_CLOCK_SKEW: Final = timedelta(hours=1)
"""Certificates begin that much earlier, for machines whose clocks are behind."""

Data = Mapping[str, bytes]
Authority = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True, slots=True)
class _State:
    """What is in the Secret and can be used."""

    authorities: Sequence[x509.Certificate]
    signing: Authority | None
    """The first authority, if its key is there."""
    server: x509.Certificate | None


def next_data(data: Data, names: Sequence[str], now: float, *, published: bool) -> dict[str, bytes] | None:
    """What the Secret should hold instead, one step on; None when it is good as it is.

    `names` are the DNS names to serve under, `now` is in Unix seconds, and `published` says whether all callers trust
    the authorities in the Secret.
    """
    time = datetime.fromtimestamp(now, UTC)
    state = _read(data, time)
    if state.signing is None or _is_old(state.signing[0], time):
        return _with_new_authority(data, state, names, time)
    if state.server is None or not _serves(state.server, names) or _is_over(state.server, time):
        return _with_new_server(data, state.authorities, state.signing, names, time)
    waits = not published and not _signed(state.server, state.signing[0])
    if (_is_old(state.server, time) or not _signed(state.server, state.signing[0])) and not waits:
        return _with_new_server(data, state.authorities, state.signing, names, time)
    kept = _pem(state.authorities)
    return None if kept == data.get(AUTHORITIES) else {**data, AUTHORITIES: kept}


def _read(data: Data, time: datetime) -> _State:
    authorities = [one for one in _certificates(data.get(AUTHORITIES, b"")) if not _is_over(one, time)]
    key = _key(data.get(AUTHORITY_KEY, b""))
    signing = None
    if authorities and key is not None and key.public_key() == authorities[0].public_key():
        signing = (authorities[0], key)
    server, server_key = _certificates(data.get(CERTIFICATE, b"")), _key(data.get(KEY, b""))
    known = server and server_key is not None and server_key.public_key() == server[0].public_key()
    trusted = known and any(_signed(server[0], one) for one in authorities)
    return _State(authorities, signing, server[0] if trusted else None)


def _with_new_authority(data: Data, state: _State, names: Sequence[str], time: datetime) -> dict[str, bytes]:
    """Beside those that there are; what was signed by them stays, unless there is nothing to serve with."""
    authority = _new_authority(time)
    authorities = [authority[0], *state.authorities]
    if state.server is None or _is_over(state.server, time):
        return _with_new_server(data, authorities, authority, names, time)
    return {**data, AUTHORITIES: _pem(authorities), AUTHORITY_KEY: _key_pem(authority[1])}


def _with_new_server(
    data: Data, authorities: Sequence[x509.Certificate], authority: Authority, names: Sequence[str], time: datetime
) -> dict[str, bytes]:
    issuer, issuer_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(time + _SERVER_LIFE, issuer.not_valid_after_utc)
    certificate = (
        _begin(_name(names[0]), issuer.subject, key, time, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return {
        **data,
        AUTHORITIES: _pem(authorities),
        AUTHORITY_KEY: _key_pem(issuer_key),
        CERTIFICATE: _pem([certificate]),
        KEY: _key_pem(key),
    }


def _new_authority(time: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own, so that of two authorities at a time each is tried for what it signed.
    name = _name(f"webhook authority of {time:%Y-%m-%d %H:%M:%S}")
    certificate = (
        _begin(name, name, key, time, time + _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_SIGNS_ONLY, critical=True)
        .sign(key, hashes.SHA256())
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


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, time: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(time - _CLOCK_SKEW)
        .not_valid_after(until)
    )


def _name(common: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "upwell")]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _is_over(certificate: x509.Certificate, time: datetime) -> bool:
    return time >= certificate.not_valid_after_utc


def _is_old(certificate: x509.Certificate, time: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - time < life / 3


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _serves(certificate: x509.Certificate, names: Sequence[str]) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(names) <= set(found.get_values_for_type(x509.DNSName))


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
