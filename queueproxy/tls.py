"""TLS for the main port: a context whose certificate follows the files (contract: queue-proxy.md 12).

The listener keeps one context for ever. It hands each new connection, at its greeting, over to the context that was
made last, so a new certificate is a new context: it is complete before anybody gets it, and connections that exist
keep theirs. A pair that cannot be loaded is logged once and the old one stays. Files are looked at every second (the
reference reads them once a minute): that is two system calls. Kubernetes replaces a mounted Secret by turning a
symbolic link, which shows in the inode.
"""

import os
import ssl
from typing import Final

from queueproxy.tls_settings import TlsSettings
from upwell.clock import Clock
from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["Certificates"]

LOOK_INTERVAL: Final = 1.0
PROTOCOLS: Final = ("h2", "http/1.1")
"""A client that does not negotiate, as Knative's activator, is known by its first bytes."""
VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

Signature = tuple[tuple[int, int, int, int], ...]

_log = log.get("tls")


class Certificates:
    """The certificate and key on disk, as something to listen with."""

    def __init__(self, settings: TlsSettings, clock: Clock) -> None:
        """Load; raise ConfigError when that cannot be done."""
        self._settings = settings
        self._clock = clock
        self._seen = self._signature()
        try:
            self._current = self._load()
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot serve TLS with {settings.certificate} and {settings.key}: {error}") from error
        self.context = self._load()
        """To be listened with."""
        self.context.sni_callback = self._greeted

    async def follow(self) -> None:
        """Load what has changed, for ever."""
        while True:
            await self._clock.sleep(LOOK_INTERVAL)
            self.look()

    def look(self) -> None:
        """Load the files if they have changed since the last look."""
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._current = self._load()
        except (OSError, ValueError) as error:
            _log.error("the certificate has changed and cannot be loaded: the old one stays", error=error)
        else:
            _log.info("Certificate and/or key have changed on disk and were reloaded.")

    def _greeted(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _signature(self) -> Signature:
        """What is different when a file was written or replaced; empty while one is missing."""
        try:
            files = [os.stat(path) for path in (self._settings.certificate, self._settings.key)]
        except OSError:
            return ()
        return tuple((file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size) for file in files)

    def _load(self) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = VERSIONS[settings.minimum]
        if settings.maximum:
            context.maximum_version = VERSIONS[settings.maximum]
        if settings.ciphers:
            context.set_ciphers(":".join(settings.ciphers))
        if settings.curves:
            context.set_ecdh_curve(self._curve())
        context.set_alpn_protocols(list(PROTOCOLS))
        context.load_cert_chain(settings.certificate, settings.key)
        return context

    def _curve(self) -> str:
        """The first curve that OpenSSL knows: Python's ssl can be given one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for curve in self._settings.curves:
            try:
                context.set_ecdh_curve(curve)
            except ValueError:
                continue
            return curve
        raise ValueError(f"OpenSSL knows none of the curves {', '.join(self._settings.curves)}")
