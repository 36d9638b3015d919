"""The metrics endpoint of the components that use aiohttp."""

import aiohttp

from upwell.telemetry.metrics import Registry
from upwell.telemetry.server import serve_metrics


async def test_metrics_are_served_as_prometheus_text_until_cleanup() -> None:
    registry = Registry()
    registry.counter("requests", "Requests.").inc()
    runner = await serve_metrics(registry, "127.0.0.1", 0)
    host, port = runner.addresses[0][:2]

    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{host}:{port}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert "requests_total 1.0" in await answer.text()
        async with session.get(f"http://{host}:{port}/other") as answer:
            assert answer.status == 404
    await runner.cleanup()
