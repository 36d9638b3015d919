"""Telling users what happened: core/v1 Events, as `kubectl describe` shows them.

Best effort on purpose: an event is written behind the caller's back, dropped when too many wait or the server will
not have it, and a repetition adds to the count of the first instead of making another object. Those that say that all
is well are the first to go: where a thousand objects are made at once, each of them stores as much as a step of the
work itself.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from upwell.api.names import child_name
from upwell.api.objects import Object, name_of, namespace_of, new_object, timestamp, uid_of
from upwell.api.resources import EVENT
from upwell.clock import Clock, SystemClock
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError, NotFound
from upwell.cluster.tokens import TokenBucket
from upwell.telemetry import log

__all__ = ["EventRecorder"]

LOG: Final = log.get("events")
WAITING_MOST: Final = 256
NORMAL_MOST: Final = 100
NORMAL_PER_SECOND: Final = 2.0
REMEMBERED_MOST: Final = 1024
MESSAGE_LONGEST: Final = 1024
"""What the API allows for an event's message."""


class _Said(NamedTuple):
    uid: str
    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(slots=True)
class _Record:
    name: str
    count: int


class EventRecorder:
    """Writes events in the name of one component while `run` runs."""

    def __init__(self, client: Client, component: str, *, clock: Clock | None = None) -> None:
        """`component` is the event's source, such as `revision-controller`."""
        self._client = client
        self._component = component
        self._clock = clock or SystemClock()
        self._normal = TokenBucket(self._clock, NORMAL_MOST, NORMAL_PER_SECOND)
        self._waiting: asyncio.Queue[tuple[Object, _Said]] = asyncio.Queue(WAITING_MOST)
        self._written: OrderedDict[_Said, _Record] = OrderedDict()

    def normal(self, obj: Object, reason: str, message: str) -> None:
        """Something went as it should; `reason` is one CamelCase word."""
        if self._normal.take():
            self._say(obj, _Said(uid_of(obj), "Normal", reason, message[:MESSAGE_LONGEST]))

    def warning(self, obj: Object, reason: str, message: str) -> None:
        """Something needs the user's attention."""
        self._say(obj, _Said(uid_of(obj), "Warning", reason, message[:MESSAGE_LONGEST]))

    async def run(self) -> None:
        """Write what was said, until cancelled."""
        while True:
            obj, said = await self._waiting.get()
            try:
                await self._write(obj, said)
            except ApiError as error:
                LOG.debug("event not written", reason=said.reason, object=name_of(obj), error=str(error))

    def _say(self, obj: Object, said: _Said) -> None:
        try:
            self._waiting.put_nowait((obj, said))
        except asyncio.QueueFull:
            LOG.debug("event dropped", reason=said.reason, object=name_of(obj))

    async def _write(self, obj: Object, said: _Said) -> None:
        namespace = namespace_of(obj) or "default"
        now = timestamp(self._clock.now())
        record = self._written.get(said)
        if record is not None:
            record.count += 1
            try:
                await self._client.patch(EVENT, record.name, namespace, {"count": record.count, "lastTimestamp": now})
            except NotFound:
                del self._written[said]  # events live for an hour only
            else:
                return
        event = self._event(obj, said, namespace, now)
        await self._client.create(EVENT, event)
        self._written[said] = _Record(name_of(event), 1)
        if len(self._written) > REMEMBERED_MOST:
            self._written.popitem(last=False)

    def _event(self, obj: Object, said: _Said, namespace: str, now: str) -> Object:
        involved = {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "name": name_of(obj),
            "namespace": namespace_of(obj),
            "uid": said.uid,
            "resourceVersion": obj["metadata"].get("resourceVersion", ""),
        }
        return new_object(
            EVENT,
            namespace,
            child_name(name_of(obj), f".{int(self._clock.now() * 1e6):x}"),
            involvedObject={name: value for name, value in involved.items() if value},
            type=said.kind,
            reason=said.reason,
            message=said.message,
            source={"component": self._component},
            reportingComponent=self._component,
            firstTimestamp=now,
            lastTimestamp=now,
            count=1,
        )
