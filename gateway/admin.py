"""The admin port: `GET /metrics`, and `GET /healthz`, which says whether requests should be sent here."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from upwell.ports import ConfigError
from upwell.telemetry.metrics import CONTENT_TYPE, Registry
from upwell.telemetry.server import answer_in_slices

__all__ = ["serving_admin"]


@asynccontextmanager
async def serving_admin(registry: Registry, obstacle: Callable[[], str], host: str, port: int) -> AsyncIterator[None]:
    """Serve during the block; raise ConfigError when the port cannot be had.

    `obstacle` says what is in the way of being ready; an empty text when nothing is.
    """

    async def metrics(request: web.Request) -> web.StreamResponse:
        return await answer_in_slices(request, registry.slices(), CONTENT_TYPE.decode())

    async def healthz(_: web.Request) -> web.Response:
        found = obstacle()
        return web.Response(status=503, text=found) if found else web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port} for metrics and health: {error.strerror}") from error
        yield
    finally:
        await runner.cleanup()
