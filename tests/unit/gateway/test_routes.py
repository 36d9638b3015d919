"""From objects to the table and back to their statuses."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.ingress import Backend
from gateway.routes import Routes
from gateway.status import LoadBalancers
from gateway.writer import StatusWriter
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.gateway.builders import ingress, path, rule, simple, split
from upwell.api.names import ANNOTATION_STICKINESS, INGRESS_CLASS
from upwell.api.objects import Key, Object
from upwell.api.resources import INGRESS
from upwell.clock import FakeClock
from upwell.cluster.errors import Conflict
from upwell.cluster.informer import Informer
from upwell.cluster.runtime import running

NAMES = LoadBalancers("out.example", "in.example")


class Story:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeClock()
        self.informer = Informer(self.api, INGRESS, clock=self.clock)
        self.routes = Routes(self.informer, INGRESS_CLASS)
        self.unused: list[Backend] = []
        self.routes.on_unused(self.unused.append)
        self.writer = StatusWriter(self.api, self.informer, self.routes, NAMES, clock=self.clock)

    async def put(self, obj: Object) -> None:
        known = self.api.objects.get((INGRESS, Key("default", obj["metadata"]["name"])), {})
        self.api.put(INGRESS, {**obj, **({"status": known["status"]} if "status" in known else {})})
        await self.clock.advance(1)

    def ready(self, name: str) -> Any:
        status = self.api.objects[INGRESS, Key("default", name)].get("status") or {}
        return {c["type"]: c["status"] for c in status.get("conditions", ())}.get("Ready")

    def backend(self, host: bytes) -> str | None:
        entry = self.routes.table.find(host)
        return entry.routes[0].choose().backend.service if entry else None

    @property
    def status_writes(self) -> int:
        return sum(verb == "update_status" for verb, _, _ in self.api.writes)


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    story = Story()
    async with running({"informer": story.informer.run(), "writer": story.writer.run()}):
        await story.clock.advance(0)
        yield story


async def test_an_object_of_our_class_is_served_and_ready(story: Story) -> None:
    await story.put(simple("a", "a.example", "a"))
    await story.put(simple("b", "b.example", "b", ingress_class="istio"))

    assert story.backend(b"a.example") == "a"
    assert story.backend(b"b.example") is None
    assert (story.ready("a"), story.ready("b")) == ("True", None)
    assert story.status_writes == 1


async def test_what_cannot_be_served_says_why_and_keeps_its_last_good_routes(story: Story) -> None:
    await story.put(simple("a", "a.example", "good"))
    await story.put(ingress("a", rule("a.example", paths=[path(split("a", 60))]), generation=2))

    assert story.backend(b"a.example") == "good"
    assert story.ready("a") == "False"
    status = story.api.objects[INGRESS, Key("default", "a")]["status"]
    assert "must total to 100, but was 60" in str(status["conditions"])
    assert status["observedGeneration"] == 2

    await story.put(simple("a", "a.example", "better", generation=3))
    assert (story.backend(b"a.example"), story.ready("a")) == ("better", "True")


async def test_a_field_of_the_wrong_type_is_no_reason_to_stop(story: Story) -> None:
    await story.put(ingress("a", {"http": [1], "hosts": 3}))
    await story.put(simple("b", "b.example", "b"))

    assert story.ready("a") == "False"
    assert story.backend(b"b.example") == "b"


async def test_stickiness_that_nobody_can_read_is_said_and_its_change_is_noticed(story: Story) -> None:
    def asking(by: str) -> Object:
        obj = ingress("a", rule("a.example", paths=[path(split("one", 50), split("two", 50))]))
        obj["metadata"]["annotations"][ANNOTATION_STICKINESS] = by
        return obj

    await story.put(asking("sometimes"))
    assert story.ready("a") == "False"
    assert 'serving.upwell.dev/stickiness]: "sometimes" must be' in str(
        story.api.objects[INGRESS, Key("default", "a")]["status"]["conditions"]
    )

    await story.put(asking("header=X-User"))
    assert story.ready("a") == "True"
    entry = story.routes.table.find(b"a.example")
    assert entry is not None
    assert entry.routes[0].stickiness is not None


async def test_an_object_that_leaves_our_class_or_is_deleted_leaves_the_table(story: Story) -> None:
    await story.put(simple("a", "a.example", "a"))
    await story.put(simple("b", "b.example", "b"))
    await story.put(simple("a", "a.example", "a", ingress_class="istio"))
    story.api.remove(INGRESS, "default", "b")
    await story.clock.advance(1)

    assert story.routes.table.hosts == {}
    assert sorted(story.unused) == [Backend("default", "a", 80), Backend("default", "b", 80)]


async def test_a_backend_is_unused_when_the_last_object_lets_go_of_it(story: Story) -> None:
    await story.put(simple("a", "a.example", "shared"))
    await story.put(simple("b", "b.example", "shared"))
    await story.put(simple("a", "a.example", "other", generation=2))
    assert story.unused == []

    story.api.remove(INGRESS, "default", "b")
    await story.clock.advance(1)
    assert story.unused == [Backend("default", "shared", 80)]


async def test_a_status_that_somebody_else_broke_is_mended(story: Story) -> None:
    await story.put(simple("a", "a.example", "a"))
    version = story.routes.table.version
    obj = story.api.objects[INGRESS, Key("default", "a")]
    story.api.put(INGRESS, {**obj, "status": {}})
    await story.clock.advance(1)

    assert story.ready("a") == "True"
    assert story.routes.table.version == version


async def test_two_gateways_of_one_mind_write_once(story: Story) -> None:
    other = StatusWriter(story.api, story.informer, story.routes, NAMES, clock=story.clock)
    async with running({"other writer": other.run()}):
        await story.put(simple("a", "a.example", "a"))
        await story.clock.advance(10)

        assert story.ready("a") == "True"
        assert story.status_writes == 1


async def test_two_gateways_of_two_minds_do_not_answer_each_other_for_ever(story: Story) -> None:
    newer = LoadBalancers("new.example", "new.example")
    other = StatusWriter(story.api, story.informer, story.routes, newer, clock=story.clock)
    async with running({"other writer": other.run()}):
        for generation in (1, 2):
            await story.put(simple("a", "a.example", "a", generation=generation))
            for _ in range(20):
                await story.clock.advance(1)

            assert story.ready("a") == "True"
            assert story.status_writes <= 2 * generation


async def test_a_conflict_is_not_the_end(story: Story) -> None:
    story.api.fail = Conflict(409, "Conflict", "changed")
    await story.put(simple("a", "a.example", "a"))
    assert story.ready("a") is None

    story.api.fail = None
    await story.clock.advance(5)
    assert story.ready("a") == "True"


async def test_many_changes_at_once_change_the_table_once(story: Story) -> None:
    versions = {story.routes.table.version}
    for number in range(200):
        story.api.put(INGRESS, simple(f"i{number}", f"{number}.example", "a"))
    while len(story.routes.table.hosts) < 200:
        await story.clock.advance(0)
        versions.add(story.routes.table.version)

    assert len(versions) < 100
