"""Whether the sidecar serves TLS, and with which files (contract: queue-proxy.md 12).

TLS is on when a certificate and its key lie in the folder at start-up.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from upwell.ports import ConfigError
from upwell.tls.settings import TlsOptions, tls_options, tls_variables

__all__ = ["VARIABLES", "TlsSettings", "find_tls"]

CERTIFICATES: Final = "/var/lib/knative/certs"
PREFIX: Final = "QUEUE_PROXY"
VARIABLES: Final = (
    *tls_variables(PREFIX),
    ("UPWELL_CERTS_DIR", CERTIFICATES, "folder with tls.crt and tls.key; with both there is TLS"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """The files, and how to serve with them."""

    certificate: str
    key: str
    options: TlsOptions = field(default_factory=TlsOptions)


def find_tls(env: Mapping[str, str]) -> TlsSettings | None:
    """The settings, or None when there is no certificate; raise ConfigError, also for what is not used then."""
    folder = env.get("UPWELL_CERTS_DIR") or CERTIFICATES
    settings = TlsSettings(
        certificate=os.path.join(folder, "tls.crt"),
        key=os.path.join(folder, "tls.key"),
        options=tls_options(env, PREFIX),
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
