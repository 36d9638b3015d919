"""An async app on aiohttp: JSON answers, a streamed answer, an upload that is counted but never held in memory."""

import asyncio
import hashlib
import os

from aiohttp import web


async def index(request: web.Request) -> web.Response:
    return web.json_response({"revision": os.environ.get("K_REVISION", ""), "path": request.path})


async def ticks(request: web.Request) -> web.StreamResponse:
    """Server-sent events, one every 100 ms."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(min(int(request.query.get("count", "10")), 1000)):
        await response.write(f"data: {number}\n\n".encode())
        await asyncio.sleep(0.1)
    return response


async def upload(request: web.Request) -> web.Response:
    digest, size = hashlib.sha256(), 0
    async for chunk in request.content.iter_chunked(1 << 16):
        digest.update(chunk)
        size += len(chunk)
    return web.json_response({"bytes": size, "sha256": digest.hexdigest()})


async def download(request: web.Request) -> web.StreamResponse:
    """`/download?bytes=1000000`: that many bytes of a pattern that is easy to check."""
    left = min(int(request.query.get("bytes", "1000000")), 1 << 31)
    response = web.StreamResponse(headers={"Content-Length": str(left)})
    await response.prepare(request)
    pattern = bytes(range(256)) * 256
    while left:
        part = pattern[:left]
        await response.write(part)
        left -= len(part)
    return response


def main() -> None:
    app = web.Application(client_max_size=1 << 31)
    app.add_routes(
        [
            web.get("/ticks", ticks),
            web.post("/upload", upload),
            web.get("/download", download),
            web.get("/{path:.*}", index),
        ]
    )
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")), print=None)


if __name__ == "__main__":
    main()
