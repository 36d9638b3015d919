"""Memory in Leases: written in parts that fit, found by whoever takes over, none where it cannot be trusted."""

from typing import Any, cast

from autoscaler.memory import ANNOTATION, ANNOTATION_MOST, GOOD_FOR, Memory
from upwell.api.objects import Key, Object, annotations_of, name_of
from upwell.api.resources import Resource
from upwell.clock import FakeClock
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, Conflict, NotFound, Unavailable

BUCKET = "autoscaler-bucket-00-of-01"
ENTRY = {"metric": "concurrency", "newest": 1, "seconds": 2, "part": 1, "sums": [3.0, 4.0]}


class Leases:
    """The API, as far as it is needed."""

    def __init__(self) -> None:
        self.stored: dict[str, Object] = {}
        self.away = False
        self._version = 0

    async def list(self, resource: Resource, namespace: str, *, labels: str) -> tuple[list[Object], str]:
        if self.away:
            raise Unavailable(0, "Down", "refused")
        return list(self.stored.values()), ""

    async def get(self, resource: Resource, name: str, namespace: str) -> Object:
        return self.stored[name]

    async def create(self, resource: Resource, lease: Object) -> Object:
        if name_of(lease) in self.stored:
            raise AlreadyExists(409, "AlreadyExists", "")
        return self._put(lease)

    async def update(self, resource: Resource, lease: Object) -> Object:
        known = self.stored.get(name_of(lease))
        if known is None:
            raise NotFound(404, "NotFound", "")
        if known["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "")
        return self._put(lease)

    async def delete(self, resource: Resource, name: str, namespace: str) -> None:
        del self.stored[name]

    def _put(self, lease: Object) -> Object:
        self._version += 1
        metadata = {**lease["metadata"], "resourceVersion": str(self._version)}
        self.stored[name_of(lease)] = {**lease, "metadata": metadata}
        return self.stored[name_of(lease)]


def memory(leases: Leases, clock: FakeClock) -> Memory:
    return Memory(cast("Client", leases), "knative-serving", clock.now, clock)


def anything(key: Key) -> bool:
    return True


async def test_what_was_left_is_recalled_by_another_process_and_only_for_its_own(clock: FakeClock) -> None:
    leases, mine, other = Leases(), Key("default", "mine"), Key("default", "other")
    await memory(leases, clock).leave(BUCKET, BUCKET, {mine: ENTRY, other: ENTRY})

    heir = memory(leases, clock)
    await heir.read(BUCKET, lambda key: key == mine)

    found, complete = heir.of(BUCKET, mine)
    assert found is not None
    assert (found.values, found.newest, complete) == ((3.0, 4.0), 1, True)
    assert heir.of(BUCKET, other) == (None, False)


async def test_much_is_written_in_parts_and_parts_that_are_not_needed_go(clock: FakeClock) -> None:
    leases = Leases()
    writer = memory(leases, clock)
    many: dict[Key, dict[str, Any]] = {
        Key("default", f"revision-{number}"): {
            **ENTRY,
            "seconds": 60,
            "sums": [(number * 7919 + at) % 9973 / 7 for at in range(60)],
        }
        for number in range(1200)
    }

    await writer.leave(BUCKET, BUCKET, many)

    assert len(leases.stored) > 1
    assert all(len(annotations_of(lease)[ANNOTATION]) <= ANNOTATION_MOST for lease in leases.stored.values())
    heir = memory(leases, clock)
    await heir.read(BUCKET, anything)
    assert all(heir.of(BUCKET, key)[0] is not None for key in many)
    await writer.leave(BUCKET, BUCKET, {Key("default", "revision-0"): ENTRY})
    assert list(leases.stored) == [f"{BUCKET}-memory-0"]


async def test_a_write_over_another_holders_memory_goes_through(clock: FakeClock) -> None:
    leases = Leases()
    first, second = memory(leases, clock), memory(leases, clock)
    await first.leave(BUCKET, BUCKET, {Key("default", "a"): ENTRY})
    await second.leave(BUCKET, BUCKET, {Key("default", "b"): ENTRY})
    await first.leave(BUCKET, BUCKET, {Key("default", "c"): ENTRY})
    leases.stored.clear()
    await first.leave(BUCKET, BUCKET, {Key("default", "d"): ENTRY})

    heir = memory(leases, clock)
    await heir.read(BUCKET, anything)
    assert heir.of(BUCKET, Key("default", "d"))[0] is not None


async def test_memory_that_is_old_or_cannot_be_read_is_none(clock: FakeClock) -> None:
    leases, key = Leases(), Key("default", "a")
    await memory(leases, clock).leave(BUCKET, BUCKET, {key: ENTRY})
    leases.stored["broken"] = {"metadata": {"name": "broken", "annotations": {ANNOTATION: "%%%"}}}
    heir = memory(leases, clock)
    await heir.read(BUCKET, anything)
    assert heir.of(BUCKET, key)[0] is not None

    clock.jump(GOOD_FOR + 1)
    await heir.read(BUCKET, anything)
    assert heir.of(BUCKET, key) == (None, False)
    leases.away = True
    await heir.read(BUCKET, anything)
    assert heir.of(BUCKET, key) == (None, False)
