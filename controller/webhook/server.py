"""The webhook on its port: TLS with a certificate that may change, and four paths (contract: control-plane.md 2)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from controller.webhook.keeper import Keeper
from controller.webhook.reviews import ReviewError, Reviews
from controller.webhook.trials import PodTrials
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.telemetry import log
from upwell.tls.serving import ServingContext
from upwell.tls.settings import TlsOptions

__all__ = ["Webhook"]

LOG: Final = log.get("webhook")
_BODY_MAX: Final = 8 * 1024 * 1024
"""A review has an object twice, before and after; an API server takes objects of 1.5 MiB at most."""
_WAIT_SECONDS: Final = 0.2

Answer = dict[str, Any]


class Webhook:
    """Serves reviews, with certificates that it keeps itself."""

    def __init__(
        self,
        client: Client,
        reviews: Reviews,
        trials: PodTrials,
        clock: Clock,
        *,
        namespace: str,
        cluster_domain: str,
        conversion: bool,
        address: tuple[str, int],
    ) -> None:
        """`conversion` says whether CRDs may lead here; `address` is where to listen, port 0 takes a free one."""
        # The API server would take HTTP/2 where it is offered.
        self._serving = ServingContext(TlsOptions(), protocols=("http/1.1",))
        self._keeper = Keeper(client, self._serving, namespace, cluster_domain, clock, conversion=conversion)
        self._reviews = reviews
        self._trials = trials
        self._clock = clock
        self._address = address
        self.port = 0
        """Where it listens; 0 before it does."""

    @property
    def listening(self) -> bool:
        return self.port != 0

    async def keep_certificates(self) -> None:
        await self._keeper.run()

    async def serve(self) -> None:
        """Listen once there is a certificate, until cancelled; raise OSError when the port is taken."""
        while not self._serving.has_certificate:
            await self._clock.sleep(_WAIT_SECONDS)
        runner = web.AppRunner(self._application(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, *self._address, ssl_context=self._serving.context).start()
            self.port = int(runner.addresses[0][1])
            LOG.info("webhook listens", port=self.port)
            await asyncio.Event().wait()
        finally:
            self.port = 0
            await runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=_BODY_MAX)
        for path, answer in (
            ("/defaulting", self._reviews.default),
            ("/resource-validation", self._validate),
            ("/config-validation", self._reviews.validate),
            ("/resource-conversion", self._reviews.convert),
        ):
            app.router.add_post(path, _handler(answer))
        return app

    async def _validate(self, review: Any) -> Answer:
        return await self._trials.judge(review, self._reviews.validate(review))


def _handler(answer: Callable[[Any], Answer | Awaitable[Answer]]) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        try:
            answered = answer(json.loads(await request.read()))
            return web.json_response(await answered if isinstance(answered, Awaitable) else answered)
        except (ReviewError, ValueError, RecursionError) as error:
            return web.Response(status=400, text=f"not a review: {error}\n")

    return handle
