"""TLS for requests and for the user metrics: what is served follows the files (contract: queue-proxy.md 12).

Files are looked at every second (the reference reads them once a minute): that is two system calls. Kubernetes
replaces a mounted Secret by turning a symbolic link, which shows in the inode. A pair that cannot be loaded is logged
once and the old one stays.
"""

import os
import ssl
from typing import Final

from queueproxy.tls_settings import TlsSettings
from upwell.clock import Clock
from upwell.ports import ConfigError
from upwell.telemetry import log
from upwell.tls.serving import ServingContext

__all__ = ["Certificates"]

LOOK_INTERVAL: Final = 1.0

Signature = tuple[tuple[int, int, int, int], ...]

_log = log.get("tls")


class Certificates:
    """The certificate and key on disk, as something to listen with."""

    def __init__(self, settings: TlsSettings, clock: Clock) -> None:
        """Load; raise ConfigError when that cannot be done."""
        self._settings = settings
        self._clock = clock
        self._serving = ServingContext(settings.options)
        self._seen = self._signature()
        try:
            self._serving.use(settings.certificate, settings.key)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot serve TLS with {settings.certificate} and {settings.key}: {error}") from error

    @property
    def context(self) -> ssl.SSLContext:
        """To be listened with."""
        return self._serving.context

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
            self._serving.use(self._settings.certificate, self._settings.key)
        except (OSError, ValueError) as error:
            _log.error("the certificate has changed and cannot be loaded: the old one stays", error=error)
        else:
            _log.info("Certificate and/or key have changed on disk and were reloaded.")

    def _signature(self) -> Signature:
        """What is different when a file was written or replaced; empty while one is missing."""
        settings = self._settings
        paths = filter(None, (settings.certificate, settings.key, settings.options.client_authorities))
        try:
            files = [os.stat(path) for path in paths]
        except OSError:
            return ()
        return tuple((file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size) for file in files)
