"""Something to listen with whose certificate may change.

The listener keeps one context for ever. It hands each new connection, at its greeting, over to the context that was
made last, so a new certificate is a new context: it is complete before anybody gets it, and connections that exist
keep theirs.
"""

import ssl
from collections.abc import Sequence
from typing import Final

from upwell.tls.settings import TlsOptions

__all__ = ["PROTOCOLS", "ServingContext", "load_context"]

PROTOCOLS: Final = ("h2", "http/1.1")
"""A client that does not negotiate, as Knative's activator, is known by its first bytes."""
CLIENT_CERTIFICATES: Final = {"optional": ssl.CERT_OPTIONAL, "require": ssl.CERT_REQUIRED}
VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class ServingContext:
    """The server's side of TLS."""

    def __init__(self, options: TlsOptions, protocols: Sequence[str] = PROTOCOLS) -> None:
        """`protocols` are offered to clients that negotiate."""
        self._options = options
        self._protocols = protocols
        self._current: ssl.SSLContext | None = None
        self._listening: ssl.SSLContext | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """To be listened with, once there is a certificate; always the same one."""
        assert self._listening is not None, "there is no certificate yet"
        return self._listening

    @property
    def has_certificate(self) -> bool:
        return self._current is not None

    def use(self, certificate: str, key: str) -> None:
        """Serve with the pair in these files from now on; raise OSError or ValueError, and the old one stays."""
        current = load_context(self._options, self._protocols, certificate, key)
        if self._listening is None:
            # What a listener starts with must be able to serve by itself: OpenSSL looks before it asks.
            self._listening = load_context(self._options, self._protocols, certificate, key)
            self._listening.sni_callback = self._greeted
        self._current = current

    def _greeted(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        if self._current is not None:
            connection.context = self._current


def load_context(options: TlsOptions, protocols: Sequence[str], certificate: str, key: str) -> ssl.SSLContext:
    """What serves with the pair in these files; `protocols` are offered. Raise OSError or ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[options.minimum]
    if options.maximum:
        context.maximum_version = VERSIONS[options.maximum]
    if options.ciphers:
        context.set_ciphers(":".join(options.ciphers))
    if options.curves:
        context.set_ecdh_curve(_first_known(options.curves))
    context.set_alpn_protocols(list(protocols))
    context.load_cert_chain(certificate, key)
    if options.client_certificates != "none":
        context.verify_mode = CLIENT_CERTIFICATES[options.client_certificates]
        context.load_verify_locations(options.client_authorities)
    return context


def _first_known(curves: Sequence[str]) -> str:
    """The first curve that OpenSSL knows: Python's ssl can be given one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for curve in curves:
        try:
            context.set_ecdh_curve(curve)
        except ValueError:
            continue
        return curve
    raise ValueError(f"OpenSSL knows none of the curves {', '.join(curves)}")
