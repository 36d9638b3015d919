"""`/metrics` for Prometheus, `/health` (the process runs) and `/readiness` (it knows the cluster)."""

from collections.abc import Callable, Sequence

from aiohttp import web

from upwell.telemetry.metrics import CONTENT_TYPE, Registry
from upwell.telemetry.server import answer_in_slices

__all__ = ["serve_health"]


async def serve_health(
    registry: Registry, obstacle: Callable[[], str], host: str, ports: Sequence[int]
) -> web.AppRunner:
    """Serve on all `ports` until `cleanup()` of the returned runner; raise OSError when one is taken.

    `obstacle` says what is in the way of being ready; an empty text when nothing is.
    """

    async def metrics(request: web.Request) -> web.StreamResponse:
        return await answer_in_slices(request, registry.slices(), CONTENT_TYPE.decode())

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readiness(_: web.Request) -> web.Response:
        found = obstacle()
        return web.Response(status=503, text=found) if found else web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/health", health)
    for path in ("/readiness", "/healthz"):
        app.router.add_get(path, readiness)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for port in ports:
        await web.TCPSite(runner, host, port).start()
    return runner
