"""A port beside that for requests, served by the engine too: certain paths and nothing else."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from upwell.http import Exchange, UpstreamFailure
from upwell.telemetry.answers import answer_error

__all__ = ["Endpoints"]

Answer = Callable[[Exchange], None]
READING: Final = (b"GET", b"HEAD")


class Endpoints:
    """An application that answers certain paths itself, and 404 elsewhere."""

    def __init__(self, routes: Mapping[bytes, Answer], *, read_only: bool = False) -> None:
        """`read_only`: methods other than GET and HEAD are 405, as in the reference; else all methods are one."""
        self._routes = routes
        self._read_only = read_only

    def request_received(self, exchange: Exchange) -> None:
        answer = self._routes.get(exchange.request.target.partition(b"?")[0])
        if answer is None:
            answer_error(exchange, 404, "not-found", b"404 page not found")
        elif self._read_only and exchange.request.method not in READING:
            answer_error(exchange, 405, "method", b"Method Not Allowed", (b"Allow", b"GET, HEAD"))
        else:
            answer(exchange)

    def exchange_ended(self, exchange: Exchange) -> None:
        """A waiter that leaves stops waiting."""
        if isinstance(exchange.context, asyncio.Task):
            exchange.context.cancel()

    def upstream_failed(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        raise AssertionError("nothing is forwarded here")
