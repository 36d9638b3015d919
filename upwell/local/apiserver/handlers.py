"""The verbs of the API on HTTP: what each method means on a collection, an object and a subresource."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from upwell.api.objects import Object
from upwell.api.resources import REVISION, Resource
from upwell.local.apiserver import errors, logs, proxying
from upwell.local.apiserver.bodies import Shape, answer, read_body, shape_of
from upwell.local.apiserver.catalog import list_kind
from upwell.local.apiserver.deletion import DeleteOptions
from upwell.local.apiserver.encoding import encode
from upwell.local.apiserver.old_versions import as_asked, patched_today, today, warned
from upwell.local.apiserver.paging import Page, Pages
from upwell.local.apiserver.patch import patcher
from upwell.local.apiserver.records import Record
from upwell.local.apiserver.registry import Registry, WriteOptions
from upwell.local.apiserver.routes import Target
from upwell.local.apiserver.scale import scale_of
from upwell.local.apiserver.selectors import Selector, parse_fields, parse_labels
from upwell.local.apiserver.streams import WatchOptions, stream
from upwell.local.apiserver.tables import partial, table
from upwell.local.apiserver.watch import Render

__all__ = ["Handlers"]

_TRUE: Final = ("true", "1")
Query = dict[str, str]
Handler = Callable[[web.BaseRequest, Target, Query], Awaitable[web.StreamResponse]]


class Handlers:
    """Requests on resources, over a registry."""

    def __init__(self, registry: Registry, logs_dir: Path) -> None:
        self._registry = registry
        self._store = registry.store
        self._logs_dir = logs_dir
        self._pages = Pages()
        self._on_collection: dict[str, Handler] = {
            "GET": self._list,
            "POST": self._create,
            "DELETE": self._delete_collection,
        }
        self._on_object: dict[str, Handler] = {
            "GET": self._get,
            "PUT": self._update,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }

    async def handle(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Answer a request on `target`; raise StatusError."""
        if target.subresource == "proxy":
            port = proxying.pod_port(target.name)
            pod = self._registry.get(target.resource, target.namespace, port.pod)
            return await proxying.pass_on(request, pod.obj, port)
        methods = self._on_object if target.name else self._on_collection
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None or (target.subresource and request.method == "DELETE"):
            raise errors.method_not_allowed()
        query: Query = dict(request.query) if request.query_string else {}
        return await handler(request, target, query)

    async def _list(self, request: web.BaseRequest, target: Target, query: Query) -> web.StreamResponse:
        if query.get("watch") in _TRUE:
            return await self._watch(request, target, query)
        page = self._page(target, query)
        shape = shape_of(request.headers.get("Accept", ""))
        if not shape.kind:
            return answer(_plain_list(target.resource, page))
        objects = [record.obj for record in page.records]
        include = query.get("includeObject", "")
        return answer(
            {**_shaped(target.resource, objects, shape, include, many=True), "metadata": _list_metadata(page)}
        )

    def _page(self, target: Target, query: Query) -> Page:
        limit = query.get("limit", "0")
        if not (limit.isascii() and limit.isdigit()):
            raise errors.bad_request(f'limit: Invalid value: "{limit}": must be a whole number')
        if token := query.get("continue"):
            return self._pages.next(token, int(limit))
        records = self._registry.select(target.resource, target.namespace, _selector(target, query))
        return self._pages.first(records, self._store.revision, int(limit))

    async def _watch(self, request: web.BaseRequest, target: Target, query: Query) -> web.StreamResponse:
        shape = shape_of(request.headers.get("Accept", ""))
        include = query.get("includeObject", "")
        render: Render | None = None
        if shape.kind:
            render = lambda obj: encode(_shaped(target.resource, [obj], shape, include))  # noqa: E731
        options = WatchOptions.parse(query)
        selector = _selector(target, query)
        return await stream(request, self._store, target.resource, target.namespace, selector, options, render)

    async def _create(self, request: web.BaseRequest, target: Target, query: Query) -> web.StreamResponse:
        if target.resource.namespaced and not target.namespace:
            raise errors.method_not_allowed()
        _, body = await read_body(request)
        body, notes = today(target, body)
        record = self._registry.create(target.resource, target.namespace, body, _write_options(query))
        await self._store.committed()
        return warned(_one(request, record, query, target, status=201), [*notes, *self._registry.warnings(record)])

    async def _get(self, request: web.BaseRequest, target: Target, query: Query) -> web.StreamResponse:
        if query.get("watch") in _TRUE and not target.subresource:
            return await self._watch(request, target, query)
        record = self._registry.get(target.resource, target.namespace, target.name)
        if target.subresource == "scale":
            return answer(scale_of(record.obj))
        if target.subresource == "log":
            return await self._log(request, record, query)
        return _one(request, record, query, target)

    async def _log(self, request: web.BaseRequest, pod: Record, query: Query) -> web.StreamResponse:
        options = logs.LogOptions.parse(query)
        container = logs.container_of(pod.obj, query.get("container", ""))
        path = self._logs_dir / pod.namespace / pod.name / f"{container}.log"
        return await logs.stream_log(request, path, options, lambda: self._store.by_uid(pod.uid) is not None)

    async def _update(self, request: web.BaseRequest, target: Target, query: Query) -> web.StreamResponse:
        if target.subresource == "log":
            raise errors.method_not_allowed()
        _, body = await read_body(request)
        body, notes = today(target, body)
        resource, namespace, name, subresource, _ = target
        record = self._registry.update(resource, namespace, name, body, subresource, _write_options(query))
        return warned(await self._changed(request, record, target, query), notes)

    async def _patch(self, request: web.BaseRequest, target: Target, query: Query) -> web.StreamResponse:
        if target.subresource == "log":
            raise errors.method_not_allowed()
        content_type, body = await read_body(request)
        resource, namespace, name, subresource, _ = target
        notes: list[str] = []
        apply = patched_today(target, patcher(resource, content_type, body), notes)
        record = self._registry.patch(resource, namespace, name, apply, subresource, _write_options(query))
        return warned(await self._changed(request, record, target, query), notes)

    async def _changed(
        self, request: web.BaseRequest, record: Record, target: Target, query: Query
    ) -> web.StreamResponse:
        await self._store.committed()
        if target.subresource == "scale":
            return answer(scale_of(record.obj))
        told = target.subresource or target.resource is REVISION
        return warned(_one(request, record, query, target), () if told else self._registry.warnings(record))

    async def _delete(self, request: web.BaseRequest, target: Target, query: Query) -> web.StreamResponse:
        _, body = await read_body(request)
        options = DeleteOptions.parse(body, query)
        record, gone = self._registry.delete(target.resource, target.namespace, target.name, options)
        await self._store.committed()
        if gone:
            return answer(errors.success(target.resource, record.name, record.uid))
        return _one(request, record, query, target)

    async def _delete_collection(self, request: web.BaseRequest, target: Target, query: Query) -> web.StreamResponse:
        if target.resource.namespaced and not target.namespace:
            raise errors.method_not_allowed()
        _, body = await read_body(request)
        selected = self._registry.select(target.resource, target.namespace, _selector(target, query))
        deleted = self._registry.delete_all(selected, DeleteOptions.parse(body, query))
        await self._store.committed()
        return answer(_plain_list(target.resource, Page(deleted, self._store.revision)))


def _selector(target: Target, query: Query) -> Selector:
    fields = query.get("fieldSelector", "")
    if target.name:
        fields = f"{fields},metadata.name={target.name}".lstrip(",")
    return Selector(parse_labels(query.get("labelSelector", "")), parse_fields(target.resource, fields))


def _write_options(query: Query) -> WriteOptions:
    dry_run, validation = query.get("dryRun", ""), query.get("fieldValidation", "")
    if dry_run not in ("", "All"):
        raise errors.bad_request(f'dryRun: Unsupported value: "{dry_run}": supported values: "All"')
    if validation not in ("", "Ignore", "Warn", "Strict"):
        supported = '"Ignore", "Warn", "Strict"'
        raise errors.bad_request(f'fieldValidation: Unsupported value: "{validation}": supported values: {supported}')
    return WriteOptions(bool(dry_run), validation == "Strict")


def _one(
    request: web.BaseRequest, record: Record, query: Query, target: Target, status: int = 200
) -> web.StreamResponse:
    shape = shape_of(request.headers.get("Accept", ""))
    if not shape.kind:
        return answer(as_asked(target, record.obj) if target.old_version else record.raw, status)
    shaped = _shaped(record.resource, [record.obj], shape, query.get("includeObject", ""))
    return answer(shaped, status)


def _shaped(resource: Resource, objects: list[Object], shape: Shape, include: str, many: bool = False) -> Object:
    """Objects in the form that the client asked for."""
    if shape.kind == "Table":
        return table(resource, objects, shape.version, include)
    if many:
        items = [partial(one, shape.version) for one in objects]
        return {"kind": "PartialObjectMetadataList", "apiVersion": shape.version, "items": items}
    return partial(objects[0], shape.version)


def _list_metadata(page: Page) -> dict[str, Any]:
    metadata: dict[str, Any] = {"resourceVersion": str(page.revision)}
    if page.token:
        metadata.update({"continue": page.token, "remainingItemCount": page.remaining})
    return metadata


def _plain_list(resource: Resource, page: Page) -> bytes:
    head = {"kind": list_kind(resource), "apiVersion": resource.api_version, "metadata": _list_metadata(page)}
    return encode(head)[:-1] + b',"items":[' + b",".join(record.raw for record in page.records) + b"]}"
