"""A page for people whose browser asks for a revision that is still starting; everybody else waits.

A revision opts in by annotation. A browser that navigates to it while it has no ready pod is answered at once with a
small page that comes back by itself, instead of a tab that hangs; a program, a script of a page, and any method but
GET wait as ever. What of the page can be set is in the annotations, and read once per change of the revision.

Whoever is shown the page still waits, as far as the autoscaler is concerned: the visit counts as a request in flight
until the browser should have come back, so that the revision starts, and does not go to zero again between two looks.
"""

import asyncio
import html
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from upwell.api import names
from upwell.api.objects import Key
from upwell.clock import Clock
from upwell.http import RequestHead
from upwell.telemetry import log

__all__ = ["Visits", "WaitingPage", "is_navigation", "read_waiting_page"]

LOG: Final = log.get("waiting page")
DEFAULT_STATUS: Final = 503
"""With Retry-After: no cache keeps it and no search engine takes the page for the site."""
DEFAULT_REFRESH: Final = 2
REFRESH_MOST: Final = 60
BODYLESS: Final = frozenset((204, 205, 304))
BODY_MOST: Final = 32 * 1024
"""Bytes; the page is sent whole, to every look of every browser."""
MARGIN_SECONDS: Final = 2.0
"""A browser's way back: it loads the page before it counts the seconds."""
VISITS_MOST: Final = 10_000

_ERROR: Final = names.HEADER_ERROR.encode()
_NAME: Final = "{{name}}"
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{name}} is starting</title>
<style>
body { font: 1.1rem/1.5 system-ui, sans-serif; display: grid; place-content: center; min-height: 90vh; margin: 0 1rem;
  color: #333; background: #fff }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } }
</style>
</head>
<body><main><h1>{{name}} is starting</h1><p>This page comes back by itself.</p></main></body>
</html>
"""


@dataclass(frozen=True, slots=True)
class WaitingPage:
    """What browsers are shown while a revision starts."""

    status: int
    refresh: int
    """Seconds until the browser asks again."""
    body: bytes

    def answer(self) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes]:
        """Status, fields and body."""
        seconds = b"%d" % self.refresh
        fields = (
            (b"Content-Type", b"text/html; charset=utf-8"),
            (b"Cache-Control", b"no-store"),
            (b"Refresh", seconds),
            (b"Retry-After", seconds),
            (b"Vary", b"Accept, Sec-Fetch-Mode"),
            (b"X-Content-Type-Options", b"nosniff"),
            (_ERROR, b"activator; reason=starting"),
        )
        return self.status, fields, self.body


def read_waiting_page(name: str, annotations: Mapping[str, str]) -> WaitingPage | None:
    """The page of the revision with this name and these annotations; None when it has none.

    What cannot be used has its default, and the log says so: a typing error must not keep a revision from serving.
    """
    switch = annotations.get(names.ANNOTATION_WAITING_PAGE, "")
    if switch.lower() not in ("true", "enabled"):
        if switch.lower() not in ("", "false", "disabled"):
            _refuse(name, names.ANNOTATION_WAITING_PAGE, switch, 'use "true" or "false"')
        return None
    return WaitingPage(
        _number(name, annotations, names.ANNOTATION_WAITING_PAGE_STATUS, DEFAULT_STATUS, 200, 599),
        _number(name, annotations, names.ANNOTATION_WAITING_PAGE_REFRESH, DEFAULT_REFRESH, 1, REFRESH_MOST),
        _body(name, annotations.get(names.ANNOTATION_WAITING_PAGE_BODY, "")),
    )


def _number(name: str, annotations: Mapping[str, str], annotation: str, default: int, least: int, most: int) -> int:
    text = annotations.get(annotation, "")
    if not text:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1
    if least <= number <= most and number not in BODYLESS:
        return number
    _refuse(name, annotation, text, f"use a number from {least} to {most}")
    return default


def _body(name: str, text: str) -> bytes:
    """The owner's HTML, or ours; the revision's name stands in either where it says so, escaped."""
    if len(text.encode()) > BODY_MOST:
        _refuse(name, names.ANNOTATION_WAITING_PAGE_BODY, text[:40] + "…", f"at most {BODY_MOST} bytes")
        text = ""
    return (text or _PAGE).replace(_NAME, html.escape(name)).encode()


def _refuse(name: str, annotation: str, value: str, right: str) -> None:
    LOG.warning(
        "annotation refused, the default is used", revision=name, annotation=annotation, value=value, error=right
    )


def is_navigation(request: RequestHead) -> bool:
    """Whether a person's browser asks for a page, rather than a program or a script for data."""
    fields = request.fields
    if request.method != b"GET" or request.upgrade or b"x-requested-with" in fields:
        return False
    mode = fields.get(b"sec-fetch-mode")
    if mode is not None and mode != b"navigate":
        return False
    return any(_accepts_html(value) for value in request.get_all(b"accept"))


def _accepts_html(accept: bytes) -> bool:
    """`text/html` by name, and not refused with a weight of 0; the `*/*` of programs is not enough."""
    for item in accept.lower().split(b","):
        kind, *parameters = (part.strip() for part in item.split(b";"))
        if kind == b"text/html":
            weights = [part[2:] for part in parameters if part.startswith(b"q=")]
            return not (weights and not weights[0].strip(b"0."))
    return False


class Visits:
    """Those who were shown a page and should be back in a moment."""

    def __init__(self, leave: Callable[[Key], None], clock: Clock) -> None:
        """`leave` is called with the revision's key when a visit counts no longer."""
        self._leave = leave
        self._clock = clock
        self._queue: deque[tuple[float, Key]] = deque()
        self._added = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, key: Key, refresh: int) -> None:
        """Somebody looks at the page of this revision; its request is no longer here, and counts on."""
        if len(self._queue) >= VISITS_MOST:
            self._leave(self._queue.popleft()[1])
        self._queue.append((self._clock.monotonic() + refresh + MARGIN_SECONDS, key))
        self._added.set()

    async def run(self) -> None:
        """Let each visit end in its time, until cancelled."""
        while True:
            await self._added.wait()
            self._added.clear()
            while self._queue:
                # In order of arrival: a long visit holds up shorter ones behind it, by a minute at most.
                due, key = self._queue[0]
                left = due - self._clock.monotonic()
                if left > 0:
                    await self._clock.sleep(left)
                    continue
                self._queue.popleft()
                self._leave(key)
