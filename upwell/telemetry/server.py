"""`GET /metrics` for the components that answer everything but proxied traffic with aiohttp.

The queue-proxy does not use this: it serves its metrics with the engine it has loaded anyway.
"""

from aiohttp import web

from upwell.telemetry.metrics import CONTENT_TYPE, Registry

__all__ = ["serve_metrics"]


async def serve_metrics(registry: Registry, host: str, port: int) -> web.AppRunner:
    """Serve `registry` until `cleanup()` of the returned runner is awaited; raise OSError when the port is taken."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=registry.render(), headers={"Content-Type": CONTENT_TYPE.decode()})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
