"""What TLS is to be like, read without loading `ssl` (contract: queue-proxy.md 1.1 and 12).

TLS is on when a certificate and its key lie in the folder at start-up. Cipher suites have the names that IANA and Go
use; OpenSSL has its own for those of TLS 1.2, and those of TLS 1.3 cannot be chosen, here as in Go.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from upwell.ports import ConfigError

__all__ = ["VARIABLES", "TlsSettings", "find_tls"]

CERTIFICATES: Final = "/var/lib/knative/certs"
VARIABLES: Final = (
    ("QUEUE_PROXY_TLS_MIN_VERSION", "1.3", "least version of TLS: 1.2 or 1.3"),
    ("QUEUE_PROXY_TLS_MAX_VERSION", "", "highest version of TLS: 1.2 or 1.3; empty: the library's"),
    ("QUEUE_PROXY_TLS_CIPHER_SUITES", "", "IANA names of suites for TLS 1.2; empty: the library's"),
    (
        "QUEUE_PROXY_TLS_CURVE_PREFERENCES",
        "",
        "curves; the first known one is used; empty: the library's",
    ),
    ("UPWELL_CERTS_DIR", CERTIFICATES, "folder with tls.crt and tls.key; with both there is TLS"),
)
VERSIONS: Final = ("1.2", "1.3")
CURVES: Final[Mapping[str, str]] = {
    "X25519": "X25519",
    "X25519MLKEM768": "X25519MLKEM768",
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "P-256": "prime256v1",
    "P-384": "secp384r1",
    "P-521": "secp521r1",
}
"""OpenSSL's names of the curves."""
SUITES: Final[Mapping[str, str]] = {
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
}
"""OpenSSL's names of the suites; empty for those of TLS 1.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """How to serve TLS."""

    certificate: str
    key: str
    minimum: str = "1.3"
    maximum: str = ""
    """Empty: the library's."""
    ciphers: tuple[str, ...] = ()
    """By OpenSSL's names; none: the library's."""
    curves: tuple[str, ...] = ()
    """By OpenSSL's names, the preferred one first; none: the library's."""


def find_tls(env: Mapping[str, str]) -> TlsSettings | None:
    """The settings, or None when there is no certificate; raise ConfigError, also for what is not used then."""
    folder = env.get("UPWELL_CERTS_DIR") or CERTIFICATES
    settings = TlsSettings(
        certificate=os.path.join(folder, "tls.crt"),
        key=os.path.join(folder, "tls.key"),
        minimum=_version(env, "QUEUE_PROXY_TLS_MIN_VERSION") or "1.3",
        maximum=_version(env, "QUEUE_PROXY_TLS_MAX_VERSION"),
        ciphers=_names(env, "QUEUE_PROXY_TLS_CIPHER_SUITES", SUITES),
        curves=_names(env, "QUEUE_PROXY_TLS_CURVE_PREFERENCES", CURVES),
    )
    if settings.maximum and settings.maximum < settings.minimum:
        raise ConfigError(
            f'QUEUE_PROXY_TLS_MAX_VERSION="{settings.maximum}": below the least version, {settings.minimum}'
        )
    return settings if _exists(settings.certificate) and _exists(settings.key) else None


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"cannot look at {path}: {error.strerror or error}") from error
    return True


def _version(env: Mapping[str, str], name: str) -> str:
    text = env.get(name, "")
    if text and text not in VERSIONS:
        raise ConfigError(f'{name}="{text}": not a version of TLS; give 1.2 or 1.3')
    return text


def _names(env: Mapping[str, str], variable: str, known: Mapping[str, str]) -> tuple[str, ...]:
    found = []
    for name in filter(None, (part.strip() for part in env.get(variable, "").split(","))):
        if name not in known:
            raise ConfigError(f'{variable}="{env[variable]}": "{name}" is not known; use {", ".join(known)}')
        if known[name]:
            found.append(known[name])
    return tuple(found)
