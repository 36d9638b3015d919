"""The HTTP face: who may ask, what is asked, and how errors are told.

Two checks come before everything, since there is no authentication: the Host header must name this machine's
loopback (a foreign name that resolves here, DNS rebinding, is refused), and there must be no Origin header (no
browser page may drive the cluster).
"""

import ipaddress
import logging
from typing import Final

from aiohttp import web

from upwell.local.apiserver import discovery, errors
from upwell.local.apiserver.bodies import MAX_BODY, answer, failure
from upwell.local.apiserver.catalog import Catalog
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.handlers import Handlers
from upwell.local.apiserver.openapi import OpenApi
from upwell.local.apiserver.routes import parse_target

__all__ = ["Api", "is_loopback"]

_LOG: Final = logging.getLogger(__name__)
_KEEPALIVE_SECONDS: Final = 120.0
"""More than clients keep an idle connection (Go: 90 s), so that none is closed while a request is on its way."""
_HEALTH: Final = ("/healthz", "/livez", "/readyz")


class Api:
    """Answers every request; made to be the handler of an aiohttp server."""

    def __init__(self, catalog: Catalog, handlers: Handlers) -> None:
        self._catalog = catalog
        self._handlers = handlers
        self._openapi = OpenApi(catalog)

    def server(self) -> web.Server:
        """The server to run; a client that goes ends its watch at once."""
        return web.Server(
            self.handle,
            request_factory=_request,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_SECONDS,
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            _check_origin(request)
            return await self._dispatch(request)
        except StatusError as error:
            return failure(error)
        except Exception:
            _LOG.exception("request failed")
            return failure(errors.internal("an unexpected error; the server's log has the details"))

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path.rstrip("/")
        if path.startswith(("/api/", "/apis/")) and (path.count("/") > 3 or path.startswith("/api/v1/")):
            return await self._handlers.handle(request, parse_target(self._catalog, path))
        if request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        if path in _HEALTH or path.startswith(tuple(f"{one}/" for one in _HEALTH)):
            return web.Response(text="ok")
        if path == "/version":
            return answer(discovery.version())
        if path.startswith("/openapi/"):
            return await self._openapi.answer(path)
        return self._discover(path, discovery.AGGREGATED in request.headers.get("Accept", ""))

    def _discover(self, path: str, aggregated: bool) -> web.StreamResponse:
        parts = path.strip("/").split("/")
        if aggregated and parts in (["api"], ["apis"]):
            body = discovery.aggregated(self._catalog, core=parts == ["api"])
            return answer(body, content_type=discovery.AGGREGATED)
        found = None
        match parts:
            case [""]:
                found = {"paths": ["/api", "/api/v1", "/apis", *_HEALTH, "/openapi/v2", "/openapi/v3", "/version"]}
            case ["api"]:
                found = discovery.api_versions()
            case ["apis"]:
                found = discovery.api_groups(self._catalog)
            case ["api", version]:
                found = discovery.resource_list(self._catalog, "", version)
            case ["apis", group]:
                found = discovery.api_group(self._catalog, group)
            case ["apis", group, version]:
                found = discovery.resource_list(self._catalog, group, version)
        if found is None:
            raise errors.unknown_resource()
        return answer(found)


def _request(message, payload, protocol, writer, task):  # type: ignore[no-untyped-def]
    return web.BaseRequest(message, payload, protocol, writer, task, protocol._loop, client_max_size=MAX_BODY)


def _check_origin(request: web.BaseRequest) -> None:
    if "Origin" in request.headers:
        raise errors.forbidden(None, "", "requests with an Origin header are refused: this API is not for web pages")
    host = request.headers.get("Host", "")
    if not is_loopback(host):
        raise errors.forbidden(None, "", f'Host "{host}" is refused: use localhost or 127.0.0.1')


def is_loopback(host: str) -> bool:
    """Whether a Host header, with or without a port, names the loopback interface."""
    name = host.rsplit(":", 1)[0] if host.count(":") == 1 or "]:" in host else host
    name = name.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
