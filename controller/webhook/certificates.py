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

from upwell.tls.signing import (
    Authority,
    is_old,
    is_over,
    key_pem,
    new_authority,
    new_leaf,
    pem,
    read_certificates,
    read_key,
    serves,
    signed,
)

__all__ = ["AUTHORITIES", "CERTIFICATE", "KEY", "next_data"]

AUTHORITIES: Final = "ca-cert.pem"
AUTHORITY_KEY: Final = "ca-key.pem"
CERTIFICATE: Final = "server-cert.pem"
KEY: Final = "server-key.pem"

_AUTHORITY_LIFE: Final = timedelta(days=365)
_SERVER_LIFE: Final = timedelta(days=30)

Data = Mapping[str, bytes]


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
    if state.signing is None or is_old(state.signing[0], time):
        return _with_new_authority(data, state, names, time)
    if state.server is None or not serves(state.server, names) or is_over(state.server, time):
        return _with_new_server(data, state.authorities, state.signing, names, time)
    waits = not published and not signed(state.server, state.signing[0])
    if (is_old(state.server, time) or not signed(state.server, state.signing[0])) and not waits:
        return _with_new_server(data, state.authorities, state.signing, names, time)
    kept = pem(state.authorities)
    return None if kept == data.get(AUTHORITIES) else {**data, AUTHORITIES: kept}


def _read(data: Data, time: datetime) -> _State:
    authorities = [one for one in read_certificates(data.get(AUTHORITIES, b"")) if not is_over(one, time)]
    key = read_key(data.get(AUTHORITY_KEY, b""))
    signing = None
    if authorities and key is not None and key.public_key() == authorities[0].public_key():
        signing = (authorities[0], key)
    server, server_key = read_certificates(data.get(CERTIFICATE, b"")), read_key(data.get(KEY, b""))
    known = server and server_key is not None and server_key.public_key() == server[0].public_key()
    trusted = known and any(signed(server[0], one) for one in authorities)
    return _State(authorities, signing, server[0] if trusted else None)


def _with_new_authority(data: Data, state: _State, names: Sequence[str], time: datetime) -> dict[str, bytes]:
    """Beside those that there are; what was signed by them stays, unless there is nothing to serve with."""
    authority = new_authority(f"webhook authority of {time:%Y-%m-%d %H:%M:%S}", time, _AUTHORITY_LIFE)
    authorities = [authority[0], *state.authorities]
    if state.server is None or is_over(state.server, time):
        return _with_new_server(data, authorities, authority, names, time)
    return {**data, AUTHORITIES: pem(authorities), AUTHORITY_KEY: key_pem(authority[1])}


def _with_new_server(
    data: Data, authorities: Sequence[x509.Certificate], authority: Authority, names: Sequence[str], time: datetime
) -> dict[str, bytes]:
    certificate, key = new_leaf(names, authority, time, _SERVER_LIFE)
    return {
        **data,
        AUTHORITIES: pem(authorities),
        AUTHORITY_KEY: key_pem(authority[1]),
        CERTIFICATE: pem([certificate]),
        KEY: key_pem(key),
    }
