"""Which resources there are, and what each can do beyond the common verbs."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from upwell.api.legacy import LEGACY
from upwell.api.objects import Object
from upwell.api.resources import RESOURCES, Resource

__all__ = [
    "CATALOG",
    "CATALOG_WITH_OLD_VERSIONS",
    "VERBS",
    "Catalog",
    "has_strategic_patch",
    "is_custom",
    "list_kind",
    "singular",
]

VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CUSTOM_SUFFIX: Final = ".knative.dev"


def is_custom(resource: Resource) -> bool:
    """Whether a cluster would know this resource through a CRD, which follows somewhat different rules."""
    return resource.group.endswith(_CUSTOM_SUFFIX)


def has_strategic_patch(resource: Resource) -> bool:
    return not is_custom(resource)


def list_kind(resource: Resource) -> str:
    return f"{resource.kind}List"


def singular(resource: Resource) -> str:
    return resource.kind.lower()


class Catalog:
    """Look-ups over a set of resources."""

    def __init__(self, resources: Iterable[Resource], old_versions: Iterable[Resource] = ()) -> None:
        """`old_versions` are further versions of `resources`, which store what they take in today's."""
        self.resources = tuple(resources)
        self._old_versions = tuple(old_versions)
        self._by_path = {(one.group, one.version, one.plural): one for one in self.resources}
        self._by_kind = {(one.api_version, one.kind): one for one in self.resources}

    def at(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_path.get((group, version, plural))

    def today(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource that stores what comes in that old version; None when the version is none."""
        for old in self._old_versions:
            if (old.group, old.version, old.plural) == (group, version, plural):
                return LEGACY[old.api_version, old.kind]
        return None

    def of(self, obj: Object) -> Resource | None:
        """The resource of an object or an owner reference, by its apiVersion and kind."""
        return self._by_kind.get((str(obj.get("apiVersion")), str(obj.get("kind"))))

    def groups(self) -> dict[str, list[str]]:
        """The named groups and their versions, in order of appearance."""
        found: dict[str, list[str]] = {}
        for one in (*self.resources, *self._old_versions):
            versions = found.setdefault(one.group, [])
            if one.group and one.version not in versions:
                versions.append(one.version)
        found.pop("", None)
        return found

    def within(self, group: str, version: str) -> list[Resource]:
        everything = (*self.resources, *self._old_versions)
        return [one for one in everything if (one.group, one.version) == (group, version)]


CATALOG: Final = Catalog(RESOURCES)
_OLD_VERSIONS: Final = [
    # Without short names and categories, so that `kubectl get all` shows everything once.
    replace(resource, version=api_version.rpartition("/")[2], short_names=(), categories=())
    for (api_version, _), resource in LEGACY.items()
]
CATALOG_WITH_OLD_VERSIONS: Final = Catalog(RESOURCES, _OLD_VERSIONS)
"""The same, and documents of 2018 and 2019 are taken too."""
