"""`GET /metrics` for the components that answer everything but proxied traffic with aiohttp.

Ten thousand revisions make 20 MB of text, two thirds of a second's work at the first time. So an answer is written in
slices, and whatever else the process has to do gets its turn between two of them (`answer_in_slices`).

The queue-proxy does not use this: it serves its metrics with the engine it has loaded anyway.
"""

import asyncio
import socket
from collections.abc import Iterable

from aiohttp import web

from upwell.telemetry.metrics import CONTENT_TYPE, Registry

__all__ = ["answer_in_slices", "serve_metrics"]


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

    async def metrics(request: web.Request) -> web.StreamResponse:
        return await answer_in_slices(request, registry.slices(), CONTENT_TYPE.decode())

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port) if sock is None else web.SockSite(runner, sock)
    await site.start()
    return runner


async def answer_in_slices(request: web.Request, slices: Iterable[bytes], content_type: str) -> web.StreamResponse:
    """Answer with what `slices` gives, each made only when the one before is on its way."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    await response.prepare(request)
    if request.method != "HEAD":
        for part in slices:
            await response.write(part)
            await asyncio.sleep(0)
    await response.write_eof()
    return response
