"""From the database to a store in memory, and what every cluster has from the start."""

from collections.abc import Iterable, Iterator

from upwell.api.resources import NAMESPACE
from upwell.local.apiserver.catalog import Catalog
from upwell.local.apiserver.encoding import decode
from upwell.local.apiserver.errors import qualified
from upwell.local.apiserver.journal import Journal
from upwell.local.apiserver.records import Record
from upwell.local.apiserver.registry import Registry
from upwell.local.apiserver.store import Store

__all__ = ["ensure_namespaces", "open_store"]


def open_store(catalog: Catalog, journal: Journal) -> Store:
    """The store with everything that `journal` kept; raise ConfigError when it holds something else.

    Rows of resources that this version does not know stay in the database, unseen.
    """
    revision, rows = journal.load()
    store = Store(catalog.resources, journal, revision)
    store.restore(_records(catalog, journal, rows))
    return store


def _records(catalog: Catalog, journal: Journal, rows: Iterable[tuple[str, bytes]]) -> Iterator[Record]:
    known = {qualified(resource): resource for resource in catalog.resources}
    for name, body in rows:
        resource = known.get(name)
        if resource is None:
            continue
        try:
            yield Record(resource, decode(body), body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise journal.damaged(name, error) from error


def ensure_namespaces(registry: Registry, names: Iterable[str]) -> None:
    """Create those namespaces that are not there yet."""
    for name in names:
        if registry.store.get(NAMESPACE, "", name) is None:
            registry.create(NAMESPACE, "", {"metadata": {"name": name}})
