"""The authority of the cluster, as the data of one Secret, and the Secrets of what it signs.

    ca.crt   the authorities to trust, the one that signs first      ca.key   their keys, in whatever order

An authority lives a year, and has a successor when a third of that is left. A successor is trusted before it signs:
for a day it is only published, in the `ca.crt` of every Secret; then it comes first. Certificates live ninety days
and are replaced when thirty are left. Nothing in here reads a clock or talks to anybody.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509

from upwell.tls.signing import (
    CLOCK_SKEW,
    Authority,
    is_old,
    is_over,
    key_pem,
    new_authority,
    new_leaf,
    pem,
    read_certificates,
    read_key,
    read_keys,
    serves,
    signed,
)

__all__ = ["AUTHORITIES", "CERTIFICATE", "KEY", "AuthorityKeys", "Data", "ends_at", "next_authorities", "next_leaf"]

AUTHORITIES: Final = "ca.crt"
AUTHORITY_KEYS: Final = "ca.key"
CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
AUTHORITY_LIFE: Final = timedelta(days=365)
LEAF_LIFE: Final = timedelta(days=90)
PUBLISHED_FIRST: Final = timedelta(days=1)

Data = Mapping[str, bytes]
AuthorityKeys = Sequence[Authority]
"""The authorities that can sign; the first is the one that does."""


def next_authorities(data: Data, now: float) -> tuple[AuthorityKeys, dict[str, bytes] | None]:
    """The authorities as of `now`, in Unix seconds, and what the Secret should hold instead where it is not that."""
    time = datetime.fromtimestamp(now, UTC)
    known = [one for one in _read(data) if not is_over(one[0], time)]
    if not known or is_old(_newest(known)[0], time):
        known.append(new_authority(f"cluster authority of {time:%Y-%m-%d %H:%M:%S}", time, AUTHORITY_LIFE))
    signing = _signing(known, time)
    ordered = [signing, *(one for one in known if one is not signing)]
    wanted = {
        AUTHORITIES: pem([one for one, _ in ordered]),
        AUTHORITY_KEYS: b"".join(key_pem(key) for _, key in ordered),
    }
    return ordered, None if wanted.items() <= data.items() else {**data, **wanted}


def next_leaf(data: Data, names: Sequence[str], authorities: AuthorityKeys, now: float) -> dict[str, bytes] | None:
    """What a Secret for `names` should hold instead; None when it is good as it is."""
    time = datetime.fromtimestamp(now, UTC)
    bundle = pem([one for one, _ in authorities])
    found, key = read_certificates(data.get(CERTIFICATE, b"")), read_key(data.get(KEY, b""))
    paired = bool(found) and key is not None and key.public_key() == found[0].public_key()
    if paired and serves(found[0], names) and signed(found[0], authorities[0][0]) and not is_old(found[0], time):
        return None if data.get(AUTHORITIES) == bundle else {**data, AUTHORITIES: bundle}
    certificate, leaf_key = new_leaf(names, authorities[0], time, LEAF_LIFE)
    return {CERTIFICATE: pem([certificate]), KEY: key_pem(leaf_key), AUTHORITIES: bundle}


def ends_at(data: Data) -> float | None:
    """Until when what is in the Secret is good, in Unix seconds; None where there is nothing."""
    found = read_certificates(data.get(CERTIFICATE, b""))
    return found[0].not_valid_after_utc.timestamp() if found else None


def _read(data: Data) -> list[Authority]:
    keys = read_keys(data.get(AUTHORITY_KEYS, b""))
    pairs = ((one, key) for one in read_certificates(data.get(AUTHORITIES, b"")) for key in keys)
    return [(one, key) for one, key in pairs if key.public_key() == one.public_key()]


def _signing(known: AuthorityKeys, time: datetime) -> Authority:
    """The newest of those that have been published for long enough; before there is one, the oldest."""
    ready = [one for one in known if time - _made(one[0]) >= PUBLISHED_FIRST]
    return _newest(ready) if ready else min(known, key=lambda one: _made(one[0]))


def _newest(known: AuthorityKeys) -> Authority:
    return max(known, key=lambda one: _made(one[0]))


def _made(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_before_utc + CLOCK_SKEW
