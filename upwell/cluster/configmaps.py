"""The config maps of the system namespace, as they are now.

A config map or key that does not exist is not an error: every reader has the contract's defaults. The key
`_example` is documentation and never a setting.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from upwell.api.objects import Object, name_of
from upwell.api.resources import CONFIG_MAP
from upwell.clock import Clock
from upwell.cluster.informer import Informer, Source

__all__ = ["ConfigMaps"]

EXAMPLE: Final = "_example"
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class ConfigMaps:
    """A copy of the config maps, kept current by `run`."""

    def __init__(self, client: Source, namespace: str, *, clock: Clock | None = None) -> None:
        self._namespace = namespace
        self._informer = Informer(client, CONFIG_MAP, namespace=namespace, clock=clock)

    def get(self, name: str) -> Mapping[str, str]:
        """The settings in config map `name`; empty when there is none."""
        found = self._informer.get(self._namespace, name)
        return _NOTHING if found is None else _settings(found)

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with a config map's name when its settings changed, and at once for those known."""

        def handle(old: Object | None, new: Object | None) -> None:
            if (old is None or new is None) or _settings(old) != _settings(new):
                changed = new if new is not None else old
                if changed is not None:
                    callback(name_of(changed))

        self._informer.add_handler(handle)

    @property
    def copy(self) -> Informer:
        """What they are read from; to be asked how it fares."""
        return self._informer

    async def wait_synced(self) -> None:
        await self._informer.wait_synced()

    async def run(self) -> None:
        await self._informer.run()


def _settings(config_map: Object) -> Mapping[str, str]:
    return {name: value for name, value in (config_map.get("data") or {}).items() if name != EXAMPLE}
