"""Changes on their way to those who watch.

Each change of an object is one `Event`. A `Feed` (one a resource) keeps the last events, so that a watch can start
at a resourceVersion of the recent past, and hands new ones to its watchers. The bytes of an event are made once
and shared. A watcher with a selector sees an object that stops matching as DELETED and one that starts as ADDED.
Nothing here waits: a watcher that does not keep up with its bounded queue is cut off; it reconnects and resumes
from the last event that it has seen.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from upwell.api.objects import Object
from upwell.local.apiserver import errors
from upwell.local.apiserver.encoding import decode, encode
from upwell.local.apiserver.records import Record
from upwell.local.apiserver.selectors import Selector

__all__ = ["Event", "Feed", "Watcher", "frame"]

HISTORY_EVENTS: Final = 10_000
HISTORY_BYTES: Final = 16 * 2**20
"""Bounds on what a feed remembers; whichever is reached first."""
QUEUE_EVENTS: Final = 20_000
QUEUE_BYTES: Final = 32 * 2**20
"""Bounds on what may wait for one watcher: more than a feed's whole history, so that a replay always fits."""

Render = Callable[[Object], bytes]
"""How a watcher wants to see objects; None where the stored bytes will do."""


def frame(kind: str, raw: bytes) -> bytes:
    """One line of a watch stream."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), raw)


class Event:
    """One change: `record` is the state after it (for DELETED the last one), `previous` the state before."""

    __slots__ = ("_frames", "kind", "previous", "record", "revision")

    def __init__(self, kind: str, record: Record, previous: Record | None) -> None:
        self.kind = kind
        self.record = record
        self.previous = previous
        self.revision = record.revision
        self._frames: dict[str, bytes] = {}

    def seen_by(self, selector: Selector, namespace: str) -> str:
        """ADDED, MODIFIED or DELETED as a watcher with this selector sees it; empty when it sees nothing."""
        record, previous = self.record, self.previous
        if namespace and record.namespace != namespace:
            return ""
        after = self.kind != "DELETED" and selector.matches(record.labels, record.fields)
        before = previous is not None and selector.matches(previous.labels, previous.fields)
        if after:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""

    def line(self, kind: str) -> bytes:
        """The stream's line for this event, made at first use."""
        line = self._frames.get(kind)
        if line is None:
            line = self._frames[kind] = frame(kind, self.raw(kind))
        return line

    def raw(self, kind: str) -> bytes:
        """The object as the watcher gets it."""
        if kind != "DELETED" or self.kind == "DELETED" or self.previous is None:
            return self.record.raw
        # The object goes on but left the selector: what goes out is the state that matched, at the new version.
        obj = decode(self.previous.raw)
        obj["metadata"]["resourceVersion"] = str(self.revision)
        return encode(obj)


class Watcher:
    """One watch stream's queue of lines."""

    def __init__(self, namespace: str, selector: Selector, render: Render | None = None) -> None:
        self.namespace = namespace
        self.selector = selector
        self.render = render
        self.overrun = False
        """True once it was too slow and has been cut off."""
        self.revision = 0
        """The last event offered, seen or not; what a bookmark may say."""
        self.wake = asyncio.Event()
        self._lines: deque[bytes] = deque()
        self._bytes = 0

    def offer(self, event: Event) -> None:
        """Queue what this watcher sees of `event`."""
        self.revision = event.revision
        kind = event.seen_by(self.selector, self.namespace)
        if not kind:
            return
        if self.render is None:
            self.push(event.line(kind))
        else:
            self.push(frame(kind, self.render(decode(event.raw(kind)))))

    def push(self, line: bytes) -> None:
        if self.overrun:
            return
        self._lines.append(line)
        self._bytes += len(line)
        if len(self._lines) > QUEUE_EVENTS or self._bytes > QUEUE_BYTES:
            self.overrun = True
            self._lines.clear()
        self.wake.set()

    def take(self) -> bytes:
        """All that waits, as one piece; empty when nothing does."""
        data = b"".join(self._lines)
        self._lines.clear()
        self._bytes = 0
        self.wake.clear()
        return data


class Feed:
    """The recent events of one resource, and who watches it."""

    def __init__(self, floor: int, events: int = HISTORY_EVENTS, size: int = HISTORY_BYTES) -> None:
        """Events up to `floor` are not remembered; a watch must start there or later."""
        self._floor = floor
        self._limit_events = events
        self._limit_bytes = size
        self._bytes = 0
        self._events: deque[Event] = deque()
        self._watchers: set[Watcher] = set()

    def publish(self, event: Event) -> None:
        self._events.append(event)
        self._bytes += len(event.record.raw)
        while len(self._events) > self._limit_events or self._bytes > self._limit_bytes:
            dropped = self._events.popleft()
            self._bytes -= len(dropped.record.raw)
            self._floor = dropped.revision
        for watcher in self._watchers:
            watcher.offer(event)

    def watch(self, watcher: Watcher, revision: int, current: int) -> None:
        """Feed `watcher` with everything after `revision`; raise StatusError (410) when that is forgotten.

        `current` is the store's revision: one from the future was given out by another life of the database.
        """
        if revision < self._floor or revision > current:
            raise errors.expired(f"too old resource version: {revision} ({max(self._floor, current)})")
        watcher.revision = revision
        for event in self._since(revision):
            watcher.offer(event)
        self._watchers.add(watcher)

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    def _since(self, revision: int) -> Iterator[Event]:
        missed = []
        for event in reversed(self._events):
            if event.revision <= revision:
                break
            missed.append(event)
        return reversed(missed)

    def __repr__(self) -> str:
        counts: dict[str, Any] = {"events": len(self._events), "bytes": self._bytes, "watchers": len(self._watchers)}
        return f"Feed(floor={self._floor}, {counts})"
