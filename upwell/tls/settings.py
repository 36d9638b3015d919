"""What TLS is to be like, read from variables without loading `ssl` (contract: queue-proxy.md 1.1, activator.md 2).

Every component has the same four variables, told apart by their prefix. Cipher suites have the names that IANA and Go
use; OpenSSL has its own for those of TLS 1.2, and those of TLS 1.3 cannot be chosen, here as in Go.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from upwell.ports import ConfigError

__all__ = ["TlsOptions", "tls_options", "tls_variables"]

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


class TlsOptions(NamedTuple):
    """How to serve TLS."""

    minimum: str = "1.3"
    maximum: str = ""
    """Empty: the library's."""
    ciphers: tuple[str, ...] = ()
    """By OpenSSL's names; none: the library's."""
    curves: tuple[str, ...] = ()
    """By OpenSSL's names, the preferred one first; none: the library's."""
    client_certificates: Literal["none", "optional", "require"] = "none"
    """Whether a client has to show a certificate; one that it shows must be signed by `client_authorities`."""
    client_authorities: str = ""
    """A file."""


def tls_variables(prefix: str) -> tuple[tuple[str, str, str], ...]:
    """Name, default and meaning of the variables that begin with `prefix`."""
    return (
        (f"{prefix}_TLS_MIN_VERSION", "1.3", "least version of TLS: 1.2 or 1.3"),
        (f"{prefix}_TLS_MAX_VERSION", "", "highest version of TLS: 1.2 or 1.3; empty: the library's"),
        (f"{prefix}_TLS_CIPHER_SUITES", "", "IANA names of suites for TLS 1.2; empty: the library's"),
        (
            f"{prefix}_TLS_CURVE_PREFERENCES",
            "",
            "curves; the first known one is used; empty: the library's",
        ),
    )


def tls_options(env: Mapping[str, str], prefix: str) -> TlsOptions:
    """The settings in the variables that begin with `prefix`; raise ConfigError."""
    options = TlsOptions(
        minimum=_version(env, f"{prefix}_TLS_MIN_VERSION") or "1.3",
        maximum=_version(env, f"{prefix}_TLS_MAX_VERSION"),
        ciphers=_names(env, f"{prefix}_TLS_CIPHER_SUITES", SUITES),
        curves=_names(env, f"{prefix}_TLS_CURVE_PREFERENCES", CURVES),
    )
    if options.maximum and options.maximum < options.minimum:
        raise ConfigError(f'{prefix}_TLS_MAX_VERSION="{options.maximum}": below the least version, {options.minimum}')
    return options


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
