"""`GET /metrics` for the components that answer everything but proxied traffic with aiohttp.

The queue-proxy does not use this: it serves its metrics with the engine it has loaded anyway.
"""

import socket
from collections.abc import Iterable

from aiohttp import web

from upwell.telemetry.metrics import CONTENT_TYPE, Registry

__all__ = ["serve_metrics"]


async def serve_metrics(
    registry: Registry,
    host: str,
    port: int,
    routes: Iterable[web.AbstractRouteDef] = (),
    sock: socket.socket | None = None,
) -> web.AppRunner:
    """Serve `registry`, and `routes` beside it, until `cleanup()` of the returned runner is awaited.

    On `sock`, if there is one. Raise OSError when the port is taken.
    """

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=registry.render(), headers={"Content-Type": CONTENT_TYPE.decode()})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port) if sock is None else web.SockSite(runner, sock)
    await site.start()
    return runner
