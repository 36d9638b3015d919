"""A watch as an HTTP answer: one JSON line an event, until the client goes or the time is up.

A watch without a resourceVersion (or with 0) starts with what is there as ADDED events. Bookmarks tell an idle
client how far it has seen, so that after a reconnect it need not list again. A watch that starts too far back gets
one ERROR event with the Status 410, as from a cluster.
"""

import asyncio
import random
from typing import Final, NamedTuple

from aiohttp import web

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.encoding import encode
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.selectors import Selector
from upwell.local.apiserver.store import Store
from upwell.local.apiserver.watch import Event, Render, Watcher, frame

__all__ = ["WatchOptions", "stream"]

_LONGEST_SECONDS: Final = 1800
_BOOKMARK_SECONDS: Final = 60.0
_INITIAL_END: Final = {"k8s.io/initial-events-end": "true"}


class WatchOptions(NamedTuple):
    """The query parameters of a watch."""

    resource_version: str
    bookmarks: bool
    seconds: float
    initial_events: bool

    @classmethod
    def parse(cls, query: dict[str, str]) -> "WatchOptions":
        """Raise StatusError (400) for a value that cannot be used."""
        seconds = query.get("timeoutSeconds", "")
        version = query.get("resourceVersion", "")
        for name, value in (("timeoutSeconds", seconds), ("resourceVersion", version)):
            if value and not (value.isascii() and value.isdigit()):
                raise errors.bad_request(f'{name}: Invalid value: "{value}": must be a whole number')
        initial = query.get("sendInitialEvents") in ("true", "1")
        bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        # Without a time of the client's own, streams end at different times, lest all reconnect at once.
        longest = float(seconds) if seconds and int(seconds) else _LONGEST_SECONDS * random.uniform(1, 2)
        return cls(version, bookmarks, longest, initial)


async def stream(
    request: web.BaseRequest,
    store: Store,
    resource: Resource,
    namespace: str,
    selector: Selector,
    options: WatchOptions,
    render: Render | None,
) -> web.StreamResponse:
    """Answer `request` with the events of `resource`."""
    watcher = Watcher(namespace, selector, render)
    feed = store.feed(resource)
    try:
        _start(store, resource, watcher, options)
    except StatusError as error:
        watcher.push(frame("ERROR", encode(error.status())))
        options = options._replace(seconds=0)
    try:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await _send(response, watcher, options, resource)
        return response
    finally:
        feed.leave(watcher)


def _start(store: Store, resource: Resource, watcher: Watcher, options: WatchOptions) -> None:
    revision = store.revision
    if options.resource_version not in ("", "0") and not options.initial_events:
        revision = int(options.resource_version)
    else:
        for record in store.records(resource, watcher.namespace):
            watcher.offer(Event("ADDED", record, None))
        if options.initial_events and options.bookmarks:
            watcher.push(_bookmark(resource, revision, _INITIAL_END))
    store.feed(resource).watch(watcher, revision, store.revision)


async def _send(response: web.StreamResponse, watcher: Watcher, options: WatchOptions, resource: Resource) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + options.seconds
    while True:
        if data := watcher.take():
            await response.write(data)
        left = end - loop.time()
        if watcher.overrun or left <= 0:
            break
        try:
            async with asyncio.timeout(min(left, _BOOKMARK_SECONDS)):
                await watcher.wake.wait()
        except TimeoutError:
            if options.bookmarks:
                watcher.push(_bookmark(resource, watcher.revision))
    await response.write_eof()


def _bookmark(resource: Resource, revision: int, annotations: dict[str, str] | None = None) -> bytes:
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    return frame("BOOKMARK", encode(obj))
