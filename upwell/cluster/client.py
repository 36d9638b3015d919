"""The Kubernetes API as seven verbs on plain JSON objects.

Every method takes a `Resource` (upwell.api.resources) and works with the dictionaries that travel on the wire.
Errors are `ApiError` and its family (upwell.cluster.errors); nothing is retried here, because only the caller
knows whether its decision still holds: reconcilers queue again, informers resume, leaders count the time.
"""

import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import aiohttp

from upwell.api.objects import Object, name_of, namespace_of
from upwell.api.resources import Resource
from upwell.cluster.connection import ENDLESS, STREAMING, Connection, connect
from upwell.cluster.errors import Gone, Unavailable, error_for
from upwell.telemetry.metrics import Registry

__all__ = ["Client", "PatchType"]

PAGE: Final = 500
"""Objects per page of a list, as other clients ask for."""

Listing = tuple[list[Object], str]
Trim = Callable[[Object], Object]
"""Objects, and the resourceVersion of the whole list."""


class PatchType(StrEnum):
    """How a patch is written; the value is its media type."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"


class Client:
    """One API server; see `connect`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, kubeconfig: str | None = None) -> "Client":
        """Use `kubeconfig`, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

        Nothing is sent yet. Raise ConfigError when there is no usable configuration.
        """
        return cls(await connect(kubeconfig))

    @property
    def host(self) -> str:
        """The server's base URL."""
        return self._connection.host

    def count_in(self, registry: Registry) -> None:
        """Have all answers of the API server counted among these metrics."""
        labels = ("verb", "resource", "code")
        family = registry.counter("upwell_api_requests", "Answers of the Kubernetes API.", labels)
        self._connection.on_answer = lambda verb, resource, status: family.labels(verb, resource, str(status)).inc()

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        return _object(await self._connection.request("GET", resource.path(namespace, name)))

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", trim: Trim | None = None
    ) -> Listing:
        """All objects (of `namespace`, or of every one) and the resourceVersion to watch from.

        Long lists come in pages, and of each object what `trim` makes of it is kept. When the position of the next
        page has expired, which large and busy clusters do, the list is read once more in one piece.
        """
        selectors = _selectors(labels, fields)
        try:
            return await self._list(resource, namespace, [*selectors, ("limit", str(PAGE))], trim or _whole)
        except Gone:
            return await self._list(resource, namespace, selectors, trim or _whole)

    async def _list(self, resource: Resource, namespace: str, query: Sequence[tuple[str, str]], trim: Trim) -> Listing:
        items: list[Object] = []
        position: list[tuple[str, str]] = []
        while True:
            page = _object(await self._connection.request("GET", resource.path(namespace), query=[*query, *position]))
            items += (trim(_typed(resource, item)) for item in page.get("items") or ())
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion") or "")
            position = [("continue", metadata["continue"])]

    async def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        """What happens after `resource_version`: ADDED, MODIFIED, DELETED or BOOKMARK, and the object.

        Ends when the server ends it, which it does every few minutes. Raise Gone when the position is too old, and
        Unavailable when the connection breaks. A bookmark's object has nothing but its resourceVersion.
        """
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            # Spread, so that the watches of many processes do not all end in the same second.
            ("timeoutSeconds", str(random.randint(300, 600))),
            *_selectors(labels, fields),
        ]
        async for line in self._stream(resource.path(namespace), query, STREAMING):
            yield _event(resource, line)

    async def lines(self, path: str, query: Sequence[tuple[str, str]] = ()) -> AsyncIterator[str]:
        """The lines of a text as they come, such as a log that is followed; raise Unavailable when it breaks off."""
        async for line in self._stream(path, query, ENDLESS):
            yield line.decode("utf-8", "replace")

    async def _stream(
        self, path: str, query: Sequence[tuple[str, str]], timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[bytes]:
        response = await self._connection.stream(path, query, timeout)
        try:
            async for line in _lines(response):
                yield line
        except TimeoutError:
            return  # nothing for so long, not even a bookmark: the connection is as good as ended
        except (aiohttp.ClientError, OSError) as error:
            raise self._connection.unreachable(error) from error
        finally:
            response.close()

    async def create(self, resource: Resource, obj: Object, *, strict: bool = False) -> Object:
        """Store a new object; `strict` has fields that its kind does not know refused, not dropped."""
        path = resource.path(namespace_of(obj))
        return _object(await self._connection.request("POST", path, query=_checking(strict), body=obj))

    async def try_create(self, resource: Resource, obj: Object) -> None:
        """Raise what `create` would raise; nothing is stored."""
        path = resource.path(namespace_of(obj))
        await self._connection.request("POST", path, query=[("dryRun", "All")], body=obj)

    async def update(self, resource: Resource, obj: Object, *, strict: bool = False) -> Object:
        """Replace an object; with its resourceVersion in it, raise Conflict when it changed meanwhile."""
        path = _path(resource, obj)
        return _object(await self._connection.request("PUT", path, query=_checking(strict), body=obj))

    async def update_status(self, resource: Resource, obj: Object) -> Object:
        """Replace an object's status and nothing else."""
        return _object(await self._connection.request("PUT", _path(resource, obj, "status"), body=obj))

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: Any,
        kind: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> Object:
        path = resource.path(namespace, name, subresource)
        return _object(await self._connection.request("PATCH", path, body=patch, headers={"Content-Type": kind.value}))

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "Background",
    ) -> None:
        """Ask for an object's deletion; raise Conflict when by now the name is that of an object with another `uid`,
        or the object is in another version, where these are given."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        conditions = {"uid": uid, "resourceVersion": resource_version}
        if any(conditions.values()):
            options["preconditions"] = {name: value for name, value in conditions.items() if value}
        await self._connection.request("DELETE", resource.path(namespace, name), body=options)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Any request; the answer parsed where it is JSON, else as text."""
        return await self._connection.request(method, path, query=query, body=body, headers=headers)

    async def close(self) -> None:
        await self._connection.close()


def _path(resource: Resource, obj: Object, subresource: str = "") -> str:
    return resource.path(namespace_of(obj), name_of(obj), subresource)


def _checking(strict: bool) -> Sequence[tuple[str, str]]:
    return (("fieldValidation", "Strict"),) if strict else ()


def _selectors(labels: str, fields: str) -> Sequence[tuple[str, str]]:
    return [pair for pair in (("labelSelector", labels), ("fieldSelector", fields)) if pair[1]]


def _object(content: Any) -> Object:
    if not isinstance(content, dict):
        raise Unavailable(0, "NotJSON", "the API server answered with something else than a JSON object")
    return content


def _whole(obj: Object) -> Object:
    return obj


def _typed(resource: Resource, obj: Object) -> Object:
    # Lists of built-in kinds leave these out of their items.
    obj.setdefault("apiVersion", resource.api_version)
    obj.setdefault("kind", resource.kind)
    return obj


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    parts: list[bytes] = []
    async for chunk in response.content.iter_any():
        *complete, rest = chunk.split(b"\n")
        for end in complete:
            parts.append(end)
            if line := b"".join(parts).strip():
                yield line
            parts.clear()
        parts.append(rest)
    if line := b"".join(parts).strip():
        yield line


def _event(resource: Resource, line: bytes) -> tuple[str, Object]:
    try:
        event = json.loads(line)
        kind, obj = str(event["type"]), event["object"]
    except (ValueError, KeyError, TypeError):
        raise Unavailable(0, "NotJSON", f"a line of the watch of {resource.plural} is not an event") from None
    if kind == "ERROR":
        raise error_for(int(obj.get("code") or 500), obj)
    return kind, _typed(resource, obj)
