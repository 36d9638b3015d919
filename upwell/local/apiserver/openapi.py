"""OpenAPI v3 documents, one for each group and version, as kubectl reads them.

kubectl looks for two things: that PATCH takes `fieldValidation` (then it leaves validation to the server), and the
schemas that `kubectl explain` prints. Strategic merge patch is not advertised here on purpose: kubectl then takes the
merge keys from its own types, which are whole. `/openapi/v2` is asked for as a fallback, about kinds that are not in
v3, and only as protobuf; an empty document is enough of an answer.
"""

import asyncio
from typing import Any, Final

from aiohttp import web

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.bodies import answer
from upwell.local.apiserver.catalog import Catalog
from upwell.local.apiserver.encoding import encode
from upwell.local.apiserver.schemas import schema_name, schemas_of

__all__ = ["OpenApi"]

_PREFIX: Final = "/openapi/v3/"
_PATCHES: Final = ("application/json-patch+json", "application/merge-patch+json")
_V2_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_EMPTY_V2: Final = b"\x0a\x032.0\x12\x0c\x0a\x06Upwell\x12\x02v1"
"""swagger: "2.0", info: {title: Upwell, version: v1}"""
_OPERATIONS: Final = {
    "get": "get",
    "put": "put",
    "patch": "patch",
    "delete": "delete",
}
_COLLECTION_OPERATIONS: Final = {"get": "list", "post": "post", "delete": "deletecollection"}


class OpenApi:
    """Makes the documents at first use and keeps them encoded."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._documents: dict[str, bytes] = {}

    async def answer(self, path: str) -> web.StreamResponse:
        """Answer a request below /openapi; raise StatusError (404)."""
        if path == "/openapi/v2":
            return answer(_EMPTY_V2, content_type=_V2_TYPE)
        names = {one.base_path.lstrip("/"): one for one in self._catalog.resources}
        if path == _PREFIX.rstrip("/"):
            return answer({"paths": {name: {"serverRelativeURL": _PREFIX + name} for name in sorted(names)}})
        name = path.removeprefix(_PREFIX)
        if not path.startswith(_PREFIX) or name not in names:
            raise errors.unknown_resource()
        if name not in self._documents:
            first = names[name]
            # The first document loads the models that describe the built-in kinds, which takes a moment.
            resources = self._catalog.within(first.group, first.version)
            self._documents[name] = await asyncio.to_thread(_encoded_document, resources)
        return answer(self._documents[name])


def _encoded_document(resources: list[Resource]) -> bytes:
    return encode(_document(resources))


def _document(resources: list[Resource]) -> Object:
    paths: dict[str, Any] = {}
    for resource in resources:
        namespace = "{namespace}" if resource.namespaced else ""
        paths[resource.path(namespace)] = _operations(resource, _COLLECTION_OPERATIONS)
        paths[resource.path(namespace, "{name}")] = _operations(resource, _OPERATIONS)
    schemas: dict[str, Any] = {}
    for resource in resources:
        schemas.update(schemas_of(resource))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Upwell", "version": "v1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operations(resource: Resource, operations: dict[str, str]) -> Object:
    return {method: _operation(resource, method, action) for method, action in operations.items()}


def _operation(resource: Resource, method: str, action: str) -> Object:
    body = {"schema": {"$ref": f"#/components/schemas/{schema_name(resource)}"}}
    operation: Object = {
        "operationId": f"{action}{resource.kind}",
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": resource.group,
            "version": resource.version,
            "kind": resource.kind,
        },
        "responses": {"200": {"description": "OK", "content": {"application/json": body}}},
    }
    if method in ("post", "put", "patch"):
        operation["parameters"] = [_query("dryRun"), _query("fieldManager"), _query("fieldValidation")]
        types = _PATCHES if method == "patch" else ("application/json", "application/yaml")
        operation["requestBody"] = {"content": {one: {"schema": {"type": "object"}} for one in types}}
    return operation


def _query(name: str) -> Object:
    return {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
