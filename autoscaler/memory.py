"""Keeping what is known of the revisions where the next holder of their bucket finds it.

Every ten seconds, or more rarely where there are many, and once more at an orderly end, a bucket's holder writes what
it knows of its revisions into Leases beside the bucket's own: `autoscaler-bucket-00-of-01-memory-0` and, where one is
not enough, further ones. A Lease, because nobody watches those: a ConfigMap of the system namespace would be sent to
every process that follows its settings. A quiet revision needs no memory, a loaded one about a hundred bytes.

Whoever takes a bucket over reads the memory of all buckets, and takes its own revisions out: their number may have
changed. Memory older than five minutes counts as none. The contents are judged by `upwell.policy.memory`.
"""

import asyncio
import base64
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from upwell.api.objects import Key, Object, annotations_of, key_of, new_object
from upwell.api.resources import LEASE
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, ApiError, Conflict, NotFound
from upwell.policy.memory import RevisionMemory, recall
from upwell.telemetry import log

__all__ = ["Memory", "Remember"]

LOG: Final = log.get("memory")
PERIOD: Final = 10.0
"""Seconds between two writes; a fifth of what renewing the bucket's Lease costs."""
SECONDS_A_PART: Final = 1.0
"""More revisions than fit one Lease make writing rarer, not more."""
GOOD_FOR: Final = 300.0
READ_SECONDS: Final = 3.0
"""A takeover does not wait longer: without memory it is safe too."""
LABEL: Final = "autoscaling.upwell.dev/memory"
ANNOTATION: Final = "autoscaling.upwell.dev/memory"
ANNOTATION_MOST: Final = 240_000
"""Bytes; the API takes 262,144 for all annotations of an object."""
PART: Final = 500
"""Revisions in one Lease, unless that is too much: 50 to 120 kB."""
UNPACKED_MOST: Final = 16 * 2**20
AT_ONCE: Final = 100
"""Revisions to take down before others get a turn of the event loop; 100 take about 2 ms."""

Remember = Callable[[Key, bool], dict[str, Any] | None]
"""What is to be remembered of a revision; the second argument says to make do with less."""


class Memory:
    """See the module."""

    def __init__(self, client: Client, namespace: str, now: Callable[[], float], clock: Clock) -> None:
        """`now` is the Unix time that measurements are put on."""
        self._client = client
        self._namespace = namespace
        self._now = now
        self._clock = clock
        self._recalled: dict[str, dict[Key, tuple[RevisionMemory, bool]]] = {}
        self._versions: dict[str, str] = {}
        """By Lease, the resourceVersion of our last write."""

    def of(self, bucket: str, key: Key) -> tuple[RevisionMemory | None, bool]:
        """What the last holder knew of a revision, and whether that is all it knew."""
        return self._recalled.get(bucket, {}).get(key, (None, False))

    async def read(self, bucket: str, belongs: Callable[[Key], bool]) -> None:
        """Have the memory of the revisions that `belongs` says are the bucket's; what cannot be read is none."""
        found: dict[Key, tuple[float, RevisionMemory, bool]] = {}
        try:
            async with asyncio.timeout(READ_SECONDS):
                leases, _ = await self._client.list(LEASE, self._namespace, labels=LABEL)
        except (ApiError, TimeoutError) as error:
            LOG.warning("no memory could be read, nothing is scaled down for a while", bucket=bucket, error=str(error))
            leases = []
        for lease in leases:
            at, complete, entries = _unpacked(lease)
            if abs(self._now() - at) > GOOD_FOR:
                continue
            for key, entry in entries:
                memory = recall(entry) if belongs(key) and at > found.get(key, (0.0,))[0] else None
                if memory is not None:
                    found[key] = at, memory, complete
            await self._clock.sleep(0)
        self._recalled[bucket] = {key: (memory, complete) for key, (_, memory, complete) in found.items()}
        if found:
            LOG.info("recalled what the last holder knew", bucket=bucket, revisions=len(found))

    async def keep(self, bucket: str, name: str, keys: Callable[[], Sequence[Key]], remember: Remember) -> None:
        """Write the memory of `keys()` to Leases that begin with `name`, until cancelled."""
        parts = 0
        while True:
            await self._clock.sleep(max(PERIOD, parts * SECONDS_A_PART))
            self._recalled.pop(bucket, None)  # whoever needed it has had it
            entries: dict[Key, dict[str, Any]] = {}
            for number, key in enumerate(keys()):
                if number % AT_ONCE == AT_ONCE - 1:
                    await self._clock.sleep(0)
                entry = remember(key, True)
                if entry is not None:
                    entries[key] = entry
            parts = await self._write(name, entries, complete=False)

    @staticmethod
    def gathered(keys: Iterable[Key], remember: Remember) -> dict[Key, dict[str, Any]]:
        """What there is to `leave`."""
        return {key: entry for key in keys if (entry := remember(key, False)) is not None}

    async def leave(self, bucket: str, name: str, entries: Mapping[Key, dict[str, Any]]) -> None:
        """Write everything once more, and for good: nothing is decided any more."""
        self._recalled.pop(bucket, None)
        try:
            async with asyncio.timeout(READ_SECONDS):
                await self._write(name, entries, complete=True)
        except TimeoutError:
            LOG.warning("the last memory could not be written in time", bucket=bucket)

    async def _write(self, name: str, entries: Mapping[Key, dict[str, Any]], *, complete: bool) -> int:
        """Write `entries` to as many Leases as it takes; return how many."""
        count = 0
        try:
            for content in _packed(self._now(), list(entries.items()), complete):
                await self._put(f"{name}-memory-{count}", content)
                count += 1
            for surplus in [lease for lease in self._versions if lease not in _names(name, count)]:
                if surplus.startswith(f"{name}-memory-"):
                    del self._versions[surplus]
                    await self._delete(surplus)
        except ApiError as error:
            LOG.warning("memory not written", lease=name, error=str(error))
        return count

    async def _put(self, name: str, content: str) -> None:
        metadata: dict[str, Any] = {"labels": {LABEL: "true"}, "annotations": {ANNOTATION: content}}
        lease = new_object(LEASE, self._namespace, name, metadata=metadata, spec={})
        for _ in range(2):
            try:
                if name in self._versions:
                    lease["metadata"]["resourceVersion"] = self._versions[name]
                    written = await self._client.update(LEASE, lease)
                else:
                    written = await self._client.create(LEASE, lease)
            except (AlreadyExists, Conflict):  # an earlier holder's
                known = await self._client.get(LEASE, name, self._namespace)
                self._versions[name] = str(known["metadata"]["resourceVersion"])
            except NotFound:
                self._versions.pop(name, None)
                lease["metadata"].pop("resourceVersion", None)
            else:
                self._versions[name] = str(written["metadata"]["resourceVersion"])
                return

    async def _delete(self, name: str) -> None:
        try:
            await self._client.delete(LEASE, name, self._namespace)
        except NotFound:
            pass


def _names(name: str, count: int) -> set[str]:
    return {f"{name}-memory-{number}" for number in range(count)}


def _packed(at: float, entries: Sequence[tuple[Key, dict[str, Any]]], complete: bool) -> Iterator[str]:
    """`entries` as texts that fit an annotation each; made one by one, some milliseconds each."""
    for start in range(0, len(entries), PART):
        yield from _fitting(at, entries[start : start + PART], complete)


def _fitting(at: float, entries: Sequence[tuple[Key, dict[str, Any]]], complete: bool) -> Iterator[str]:
    content = {"at": at, "complete": complete, "revisions": {str(key): entry for key, entry in entries}}
    text = base64.b64encode(zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 1)).decode()
    if len(text) <= ANNOTATION_MOST or len(entries) == 1:
        yield text
        return
    half = len(entries) // 2
    yield from _fitting(at, entries[:half], complete)
    yield from _fitting(at, entries[half:], complete)


def _unpacked(lease: Object) -> tuple[float, bool, list[tuple[Key, Any]]]:
    """When a Lease's memory was made, whether it is complete, and what it holds; nothing when it cannot be read."""
    try:
        packed = base64.b64decode(annotations_of(lease).get(ANNOTATION, ""), validate=True)
        unpacker = zlib.decompressobj()
        content = json.loads(unpacker.decompress(packed, UNPACKED_MOST))
        entries = [(Key(*key.split("/", 1)), entry) for key, entry in content["revisions"].items()]
        return float(content["at"]), content["complete"] is True, entries
    except (AttributeError, KeyError, TypeError, ValueError, zlib.error) as error:
        LOG.warning("a memory cannot be read", lease=str(key_of(lease)), error=repr(error))
        return 0.0, False, []
