"""TLS to activators and sidecars, where `system-internal-tls` has Ingresses lead to their port for it.

Whom to trust is in the trust bundles of the system namespace, followed while they change; connections that are open
stay. The other end may be an activator or a sidecar, whichever the revision's address leads to at the moment. What is
asked for is the name that they have in common; what is shown has to be an activator's or of the revision's namespace,
so that nobody who holds the certificate of one namespace is taken for another.
"""

import asyncio
import contextlib
from typing import Final

from upwell.api.objects import Object
from upwell.api.resources import CONFIG_MAP
from upwell.cluster.informer import Informer, Source
from upwell.telemetry import log
from upwell.tls.bundles import DATA_PLANE, ROUTING, TRUST_BUNDLES, USER_PREFIX, pems_of
from upwell.tls.dialing import Authorities, NamedDialer

__all__ = ["Trust"]

LOG: Final = log.get("tls")
SYNC_SECONDS: Final = 5.0
"""Without the right to read config maps everything but such backends is served, after that long."""


class Trust:
    """The caller runs `bundles`."""

    def __init__(self, client: Source, namespace: str) -> None:
        """`namespace` is the system's."""
        self.bundles = Informer(client, CONFIG_MAP, namespace=namespace, labels=TRUST_BUNDLES)
        self._authorities = Authorities()
        self._dialers: dict[str, NamedDialer] = {}
        self.bundles.add_handler(self._changed)

    async def wait_synced(self) -> None:
        """Return when it is known whom to trust, or after a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SYNC_SECONDS):
                await self.bundles.wait_synced()

    def dialer(self, namespace: str) -> NamedDialer:
        """Opens connections to backends in `namespace`; the same one each time."""
        found = self._dialers.get(namespace)
        if found is None:
            also = (ROUTING, USER_PREFIX + namespace.lower())
            found = self._dialers[namespace] = NamedDialer(self._authorities, DATA_PLANE, *also)
        return found

    def _changed(self, _old: Object | None, _new: Object | None) -> None:
        try:
            self._authorities.trust("\n".join(filter(None, pems_of(self.bundles.list()))))
        except ValueError as error:
            LOG.warning("authorities cannot be used, the old ones stay", error=str(error))
