"""Whether the sidecar serves TLS, and with which files (contract: queue-proxy.md 1.1 and 12).

For requests TLS is on when a certificate and its key lie in the folder at start-up; for the user metrics when
variables name them.
"""

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from upwell.ports import ConfigError
from upwell.tls.settings import TlsOptions, tls_options, tls_variables

__all__ = ["METRICS_VARIABLES", "VARIABLES", "TlsSettings", "find_metrics_tls", "find_tls"]

CERTIFICATES: Final = "/var/lib/knative/certs"
PREFIX: Final = "QUEUE_PROXY"
VARIABLES: Final = (
    *tls_variables(PREFIX),
    ("UPWELL_CERTS_DIR", CERTIFICATES, "folder with tls.crt and tls.key; with both there is TLS"),
)
METRICS_PREFIX: Final = "METRICS_PROMETHEUS"
METRICS_VARIABLES: Final = (
    (f"{METRICS_PREFIX}_TLS_CERT", "", "certificate to serve the user metrics with; without one they are in the clear"),
    (f"{METRICS_PREFIX}_TLS_KEY", "", "its key"),
    (f"{METRICS_PREFIX}_TLS_CLIENT_AUTH", "none", "client certificates: none, optional or require"),
    (f"{METRICS_PREFIX}_TLS_CLIENT_CA_FILE", "", "who must have signed them"),
    *tls_variables(METRICS_PREFIX),
)


class TlsSettings(NamedTuple):
    """The files, and how to serve with them."""

    certificate: str
    key: str
    options: TlsOptions = TlsOptions()


def find_tls(env: Mapping[str, str]) -> TlsSettings | None:
    """The settings, or None when there is no certificate; raise ConfigError, also for what is not used then."""
    folder = env.get("UPWELL_CERTS_DIR") or CERTIFICATES
    settings = TlsSettings(
        certificate=os.path.join(folder, "tls.crt"),
        key=os.path.join(folder, "tls.key"),
        options=tls_options(env, PREFIX),
    )
    return settings if _exists(settings.certificate) and _exists(settings.key) else None


def find_metrics_tls(env: Mapping[str, str]) -> TlsSettings | None:
    """The settings for the user metrics, or None where they are served in the clear; raise ConfigError."""
    cert, key, auth, ca_file = (
        f"{METRICS_PREFIX}_TLS_{name}" for name in ("CERT", "KEY", "CLIENT_AUTH", "CLIENT_CA_FILE")
    )
    options = tls_options(env, METRICS_PREFIX)
    for given, missing in ((cert, key), (key, cert)):
        if env.get(given) and not env.get(missing):
            raise ConfigError(f'{missing} is not set, {given} is "{env[given]}": give both or none')
    wanted = env.get(auth) or "none"
    if wanted not in ("none", "optional", "require"):
        raise ConfigError(f'{auth}="{wanted}": use none, optional or require')
    if wanted != "none":
        if not (env.get(ca_file) and env.get(cert)):
            raise ConfigError(f'{auth}="{wanted}": needs {cert}, {key} and {ca_file} besides')
        required = wanted == "require"
        options = options._replace(
            client_certificates="require" if required else "optional", client_authorities=env[ca_file]
        )
    return TlsSettings(certificate=env[cert], key=env[key], options=options) if env.get(cert) else None


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"cannot look at {path}: {error.strerror or error}") from error
    return True
