"""Events: bounded, best effort, repetitions counted."""

from tests.unit.cluster.fake_api import FakeApi
from upwell.api.objects import Object, new_object
from upwell.api.resources import EVENT, REVISION
from upwell.clock import FakeClock
from upwell.cluster.errors import Forbidden
from upwell.cluster.events import NORMAL_MOST, WAITING_MOST, EventRecorder
from upwell.cluster.runtime import running

REVISION_OBJECT = new_object(REVISION, "default", "hello-00001", metadata={"uid": "u1"})


def events(api: FakeApi) -> list[Object]:
    return [obj for (resource, _), obj in api.objects.items() if resource is EVENT]


async def test_an_event_names_what_it_is_about() -> None:
    api, clock = FakeApi(), FakeClock()
    recorder = EventRecorder(api, "revision-controller", clock=clock)
    async with running({"events": recorder.run()}):
        recorder.warning(REVISION_OBJECT, "InternalError", "it broke")
        await clock.advance(0)

    (event,) = events(api)
    assert event["involvedObject"] == {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "name": "hello-00001",
        "namespace": "default",
        "uid": "u1",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "InternalError", "it broke")
    assert event["source"] == {"component": "revision-controller"}
    assert event["metadata"]["namespace"] == "default"


async def test_a_repetition_adds_to_the_count() -> None:
    api, clock = FakeApi(), FakeClock()
    recorder = EventRecorder(api, "c", clock=clock)
    async with running({"events": recorder.run()}):
        for _ in range(3):
            recorder.normal(REVISION_OBJECT, "Scaled", "to 3")
            await clock.advance(10)

    (event,) = events(api)
    assert event["count"] == 3
    assert event["lastTimestamp"] > event["firstTimestamp"]


async def test_an_event_that_the_server_forgot_is_written_anew() -> None:
    api, clock = FakeApi(), FakeClock()
    recorder = EventRecorder(api, "c", clock=clock)
    async with running({"events": recorder.run()}):
        recorder.normal(REVISION_OBJECT, "Scaled", "to 3")
        await clock.advance(1)
        api.remove(EVENT, "default", events(api)[0]["metadata"]["name"])
        recorder.normal(REVISION_OBJECT, "Scaled", "to 3")
        await clock.advance(1)

    assert [event["count"] for event in events(api)] == [1]


async def test_nobody_waits_for_events_and_no_failure_stops_them() -> None:
    api, clock = FakeApi(), FakeClock()
    recorder = EventRecorder(api, "c", clock=clock)
    for number in range(WAITING_MOST + 10):
        recorder.warning(REVISION_OBJECT, "Failed", f"the {number}th time")
    api.fail = Forbidden(403, "Forbidden", "no events for you")
    async with running({"events": recorder.run()}):
        for _ in range(50):
            await clock.advance(0)
        api.fail = None
        recorder.normal(REVISION_OBJECT, "Scaled", "at last")
        await clock.advance(1)

    assert [event["message"] for event in events(api)] == ["at last"]


async def test_of_very_many_events_those_that_warn_are_kept() -> None:
    api, clock = FakeApi(), FakeClock()
    recorder = EventRecorder(api, "c", clock=clock)
    async with running({"events": recorder.run()}):
        for number in range(NORMAL_MOST + 50):
            recorder.normal(REVISION_OBJECT, "Created", f'Created Image "{number}"')
            await clock.advance(0.001)
        recorder.warning(REVISION_OBJECT, "InternalError", "it broke")
        await clock.advance(0.001)

    reasons = [event["reason"] for event in events(api)]
    assert reasons.count("Created") == NORMAL_MOST
    assert reasons.count("InternalError") == 1
