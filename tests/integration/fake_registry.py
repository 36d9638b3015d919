"""A container registry over HTTP on loopback: manifests by tag, behind a password, a token, or nothing."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

MANIFEST = b'{"schemaVersion": 2}'
DIGEST = "sha256:" + hashlib.sha256(MANIFEST).hexdigest()
USER, PASSWORD, TOKEN = "robot", "se:cret", "a-token"


class FakeRegistry:
    """One repository, `team/app`, with the tag `1`."""

    def __init__(self, auth: str = "") -> None:
        self.auth = auth
        """Empty for nothing, `basic` or `bearer`."""
        self.tells_digest = True
        self.knows_head = True
        self.broken_for = 0
        """So many more requests are answered 503."""
        self.heads = 0
        self.agents: set[str] = set()
        self.scopes: list[str] = []
        self.host = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FakeRegistry"]:
        app = web.Application()
        app.router.add_route("*", "/v2/team/app/manifests/{tag}", self._manifest)
        app.router.add_get("/token", self._token)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.host = f"127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _manifest(self, request: web.Request) -> web.Response:
        self.heads += request.method == "HEAD"
        self.agents.add(request.headers["User-Agent"])
        if self.broken_for:
            self.broken_for -= 1
            return web.Response(status=503)
        if not self._may_read(request.headers.get("Authorization", "")):
            challenge = f'Bearer realm="http://{self.host}/token",service="fake",scope="repository:team/app:pull"'
            return web.Response(
                status=401, headers={"WWW-Authenticate": challenge if self.auth == "bearer" else 'Basic realm="x"'}
            )
        if request.match_info["tag"] != "1":
            return web.Response(status=404)
        if request.method == "HEAD" and not self.knows_head:
            return web.Response(status=405)
        headers = {"Docker-Content-Digest": DIGEST} if self.tells_digest else {}
        return web.Response(body=MANIFEST, headers=headers)

    async def _token(self, request: web.Request) -> web.Response:
        self.scopes.append(request.query["scope"])
        if request.headers.get("Authorization") != _basic():
            return web.Response(status=401)
        return web.json_response({"token": TOKEN})

    def _may_read(self, authorization: str) -> bool:
        return authorization == {"": authorization, "basic": _basic(), "bearer": f"Bearer {TOKEN}"}[self.auth]


def _basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
