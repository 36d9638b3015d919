"""TLS between activators and sidecars: the certificate that is served, and whom to trust (contract: activator.md 13).

Both come from the system namespace and are followed while they change: the Secret `routing-serving-certs` has the
certificate, its key and its authority; further authorities are in config maps labelled as trust bundles. Nothing of
this is read before system-internal-tls is switched on for the first time, and then no restart is needed: the port
with TLS opens, and new connections to sidecars are encrypted.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Coroutine
from typing import Any, Final

from upwell.api.objects import Object
from upwell.api.resources import CONFIG_MAP, SECRET
from upwell.clock import Clock
from upwell.cluster.informer import Informer, Source
from upwell.cluster.runtime import running
from upwell.http import Listener
from upwell.http.dial import SecureDialer
from upwell.ports import ConfigError
from upwell.telemetry import log
from upwell.tls.bundles import DATA_PLANE, TRUST_BUNDLES, USER_PREFIX, pems_of
from upwell.tls.dialing import Authorities, NamedDialer
from upwell.tls.memory import as_files
from upwell.tls.serving import ServingContext
from upwell.tls.settings import TlsOptions

__all__ = ["Encryption"]

LOG: Final = log.get("tls")
SECRET_NAME: Final = "routing-serving-certs"

Listen = Callable[[ServingContext], Coroutine[Any, Any, list[Listener]]]


class Encryption:
    """Follows the Secret and the bundles, once it is switched on."""

    def __init__(self, client: Source, namespace: str, options: TlsOptions, clock: Clock, listen: Listen) -> None:
        """`listen` opens the port with TLS."""
        self._secrets = Informer(
            client, SECRET, namespace=namespace, fields=f"metadata.name={SECRET_NAME}", clock=clock
        )
        self._bundles = Informer(client, CONFIG_MAP, namespace=namespace, labels=TRUST_BUNDLES, clock=clock)
        self._listen = listen
        self._authorities = Authorities()
        self._serving = ServingContext(options)
        self._dialers: dict[str, NamedDialer] = {}
        self._listeners: list[Listener] = []
        self._on = False
        self._changed = asyncio.Event()
        self._secrets.add_handler(self._secret_changed)
        self._bundles.add_handler(lambda _old, _new: self._trust())

    def secure_for(self, namespace: str) -> SecureDialer:
        """Opens connections to sidecars in `namespace`."""
        found = self._dialers.get(namespace)
        if found is None:
            also = USER_PREFIX + namespace.lower()
            found = self._dialers[namespace] = NamedDialer(self._authorities, DATA_PLANE, also)
        return found

    def switch(self, on: bool) -> None:
        """Serve and follow from now on, or serve no more."""
        self._on = on
        self._changed.set()

    async def wait_synced(self) -> None:
        """Return when it is known whom to trust, or need not be."""
        if self._on:
            await self._secrets.wait_synced()
            await self._bundles.wait_synced()
            if self._authorities.context is None:
                LOG.error("no sidecar can be reached until there is a certificate", secret=SECRET_NAME)

    async def run(self) -> None:
        """Follow until cancelled."""
        while not self._on:
            await self._next_change()
        async with running({"certificate": self._secrets.run(), "trust bundles": self._bundles.run()}):
            while True:
                await self._open_or_close()
                await self._next_change()

    async def _next_change(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def _open_or_close(self) -> None:
        if self._on and not self._listeners and self._serving.has_certificate:
            try:
                self._listeners = await self._listen(self._serving)
            except (OSError, ConfigError) as error:
                # What is served in the clear must not end because of it.
                LOG.error("cannot serve TLS", error=str(error))
            else:
                LOG.info("serving TLS", port=self._listeners[0].port)
        elif not self._on:
            for listener in self._listeners:
                listener.close()
            self._listeners = []

    def _secret_changed(self, _old: Object | None, new: Object | None) -> None:
        """A Secret that was deleted is a slip of somebody's hand: what was known stays in use."""
        if new is None:
            return
        certificate, key = _entry(new, "tls.crt"), _entry(new, "tls.key")
        try:
            with as_files(certificate, key) as files:
                self._serving.use(*files)
        except (OSError, ValueError) as error:
            LOG.warning("the certificate cannot be used, the old one stays", secret=SECRET_NAME, error=str(error))
        else:
            LOG.info("certificate loaded", secret=SECRET_NAME)
        self._trust()
        self._changed.set()

    def _trust(self) -> None:
        secrets, bundles = self._secrets.list(), self._bundles.list()
        pems = [_entry(secret, "ca.crt").decode("latin-1") for secret in secrets]
        pems += pems_of(bundles)
        if not secrets and self._authorities.context is not None:
            return
        try:
            self._authorities.trust("\n".join(filter(None, pems)))
        except ValueError as error:
            LOG.warning("authorities cannot be used, the old ones stay", error=str(error))


def _entry(secret: Object, name: str) -> bytes:
    try:
        return base64.b64decode((secret.get("data") or {}).get(name) or "", validate=True)
    except binascii.Error:
        return b""
