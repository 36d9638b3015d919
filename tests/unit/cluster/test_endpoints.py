"""The endpoints of a Service: the union of its slices, by port name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cluster.fake_api import FakeApi
from upwell.api.names import LABEL_SLICE_SERVICE
from upwell.api.objects import Key, new_object
from upwell.api.resources import ENDPOINT_SLICE
from upwell.clock import FakeClock
from upwell.cluster.endpoints import Address, EndpointTracker
from upwell.cluster.informer import Informer
from upwell.cluster.runtime import running

SERVICE = Key("default", "hello")


def endpoint(host: str, **conditions: bool) -> dict[str, object]:
    return {"addresses": [host], "conditions": conditions}


def put(api: FakeApi, name: str, endpoints: list[dict[str, object]], **ports: int) -> None:
    api.put(
        ENDPOINT_SLICE,
        new_object(
            ENDPOINT_SLICE,
            "default",
            name,
            metadata={"labels": {LABEL_SLICE_SERVICE: "hello"}},
            endpoints=endpoints,
            ports=[{"name": port, "port": number} for port, number in ports.items()],
        ),
    )


async def test_slices_with_ports_of_their_own_are_united() -> None:
    api, clock = FakeApi(), FakeClock()
    put(api, "a", [endpoint("10.0.0.1", ready=True)], http=8012, http2=8013)
    put(api, "b", [endpoint("10.0.0.1", ready=True), endpoint("10.0.0.2", ready=False)], http=9012)
    informer = Informer(api, ENDPOINT_SLICE, clock=clock)
    tracker = EndpointTracker(informer)
    async with running({"informer": informer.run()}):
        await clock.advance(0)

        ready, not_ready = tracker.addresses("default", "hello", "http")
        assert ready == [Address("10.0.0.1", 8012), Address("10.0.0.1", 9012)]
        assert not_ready == [Address("10.0.0.2", 9012)]
        assert tracker.addresses("default", "hello", "http2")[0] == [Address("10.0.0.1", 8013)]
        assert tracker.addresses("default", "other", "http") == ([], [])


@pytest.mark.parametrize(
    ("conditions", "where"),
    [
        ({}, "ready"),
        ({"ready": True}, "ready"),
        ({"ready": False}, "not ready"),
        ({"ready": False, "serving": True, "terminating": True}, "nowhere"),
        ({"ready": True, "terminating": True}, "nowhere"),
    ],
)
async def test_conditions_say_where_an_endpoint_stands(conditions: dict[str, bool], where: str) -> None:
    api, clock = FakeApi(), FakeClock()
    put(api, "a", [endpoint("10.0.0.1", **conditions)], http=8012)
    informer = Informer(api, ENDPOINT_SLICE, clock=clock)
    tracker = EndpointTracker(informer)
    async with running({"informer": informer.run()}):
        await clock.advance(0)
        ready, not_ready = tracker.addresses("default", "hello", "http")

    assert (len(ready), len(not_ready)) == {"ready": (1, 0), "not ready": (0, 1), "nowhere": (0, 0)}[where]


@pytest.mark.parametrize(
    ("conditions", "leaving"),
    [
        ({"ready": False, "serving": True, "terminating": True}, 1),
        ({"ready": True, "terminating": True}, 1),
        ({"ready": False, "serving": False, "terminating": True}, 0),
        ({"terminating": True}, 0),
        ({"ready": True}, 0),
    ],
)
async def test_who_terminates_and_still_serves_is_leaving(conditions: dict[str, bool], leaving: int) -> None:
    api, clock = FakeApi(), FakeClock()
    put(api, "a", [endpoint("10.0.0.1", **conditions)], http=8012)
    informer = Informer(api, ENDPOINT_SLICE, clock=clock)
    tracker = EndpointTracker(informer)
    async with running({"informer": informer.run()}):
        await clock.advance(0)
        assert len(tracker.leaving("default", "hello", "http")) == leaving

        put(api, "b", [endpoint("10.0.0.1", ready=True)], http=8012)
        await clock.advance(0)
        assert tracker.leaving("default", "hello", "http") == []

        api.remove(ENDPOINT_SLICE, "default", "b")
        await clock.advance(0)
        assert len(tracker.leaving("default", "hello", "http")) == leaving

        api.remove(ENDPOINT_SLICE, "default", "a")
        await clock.advance(0)
        assert tracker.leaving("default", "hello", "http") == []


async def test_changes_are_seen_and_told_once_and_only_when_they_matter() -> None:
    api, clock = FakeApi(), FakeClock()
    informer = Informer(api, ENDPOINT_SLICE, clock=clock)
    tracker = EndpointTracker(informer)
    told: list[Key] = []
    tracker.on_change(told.append)
    async with running({"informer": informer.run()}):
        await clock.advance(0)
        assert tracker.addresses("default", "hello", "http") == ([], [])

        put(api, "a", [endpoint("10.0.0.1", ready=True)], http=8012)
        await clock.advance(0)
        assert tracker.addresses("default", "hello", "http")[0] == [Address("10.0.0.1", 8012)]
        put(api, "a", [endpoint("10.0.0.1", ready=True)], http=8012)
        await clock.advance(0)
        assert told == [SERVICE]

        api.remove(ENDPOINT_SLICE, "default", "a")
        await clock.advance(0)
        assert tracker.addresses("default", "hello", "http") == ([], [])
        assert told == [SERVICE, SERVICE]


def test_an_address_reads_as_it_is_dialled() -> None:
    assert str(Address("10.0.0.1", 80)) == "10.0.0.1:80"
    assert str(Address("fd00::1", 80)) == "[fd00::1]:80"


async def test_each_change_of_a_slice_leaves_the_others_as_they_are() -> None:
    api, clock = FakeApi(), FakeClock()
    informer = Informer(api, ENDPOINT_SLICE, clock=clock)
    tracker = EndpointTracker(informer)
    async with running({"informer": informer.run()}):
        await clock.advance(0)
        assert tracker.addresses("default", "hello", "http") == ([], [])
        put(api, "a", [endpoint("10.0.0.1", ready=True), endpoint("10.0.0.2", ready=False)], http=8012)
        put(api, "b", [endpoint("10.0.0.2", ready=True), endpoint("10.0.0.3", ready=True)], http=8012)
        await clock.advance(0)
        assert hosts(tracker) == ({"10.0.0.1", "10.0.0.2", "10.0.0.3"}, set())

        put(api, "b", [endpoint("10.0.0.3", ready=False)], http=8012)
        await clock.advance(0)
        assert hosts(tracker) == ({"10.0.0.1"}, {"10.0.0.2", "10.0.0.3"})
        api.remove(ENDPOINT_SLICE, "default", "a")
        await clock.advance(0)
        assert hosts(tracker) == (set(), {"10.0.0.3"})


async def test_slices_of_several_informers_are_united() -> None:
    api, clock = FakeApi(), FakeClock()
    informers = [Informer(api, ENDPOINT_SLICE, namespace=namespace, clock=clock) for namespace in ("default", "other")]
    tracker = EndpointTracker(*informers)
    put(api, "a", [endpoint("10.0.0.1", ready=True)], http=8012)
    async with running({str(number): informer.run() for number, informer in enumerate(informers)}):
        await clock.advance(0)
        assert hosts(tracker) == ({"10.0.0.1"}, set())
        assert [found["metadata"]["name"] for found in tracker.slices(SERVICE)] == ["a"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(st.tuples(st.integers(1, 4), st.sampled_from([True, False, None]))))
    )
)
def test_following_slices_comes_to_what_reading_all_of_them_does(
    changes: list[tuple[str, list[tuple[int, bool | None]]]],
) -> None:
    informer = Informer(FakeApi(), ENDPOINT_SLICE, clock=FakeClock())
    tracker = EndpointTracker(informer)
    tracker.addresses("default", "hello", "http")
    for version, (name, listed) in enumerate(changes):
        conditions = [
            (number, {"terminating": True} if ready is None else {"ready": ready}) for number, ready in listed
        ]
        metadata = {
            "namespace": "default",
            "name": name,
            "uid": name,
            "resourceVersion": str(version + 1),
            "labels": {LABEL_SLICE_SERVICE: "hello"},
        }
        endpoints = [endpoint(f"10.0.0.{number}", **condition) for number, condition in conditions]
        obj = {"metadata": metadata, "endpoints": endpoints, "ports": [{"name": "http", "port": 8012}]}
        informer._apply("MODIFIED" if listed else "DELETED", obj)

        afresh = EndpointTracker(informer)
        followed, read = (one.addresses("default", "hello", "http") for one in (tracker, afresh))
        assert [set(part) for part in followed] == [set(part) for part in read]


def hosts(tracker: EndpointTracker) -> tuple[set[str], set[str]]:
    ready, not_ready = tracker.addresses("default", "hello", "http")
    return {address.host for address in ready}, {address.host for address in not_ready}
