"""Whatever happens to objects, watches and the server: what handlers heard adds up to what there is."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cluster.fake_api import FakeApi
from upwell.api.objects import Key, Object, key_of, new_object
from upwell.api.resources import POD
from upwell.clock import FakeClock
from upwell.cluster.errors import Unavailable
from upwell.cluster.informer import Informer
from upwell.cluster.runtime import running

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.sampled_from(["break", "end", "expire", "bookmark", "down", "up"]), st.just("")),
    st.tuples(st.just("wait"), st.sampled_from(["0", "0.3", "20"])),
)


class Replica:
    """What a handler can know, and whether each thing it is told fits that."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.versions: set[str] = set()

    def __call__(self, old: Object | None, new: Object | None) -> None:
        known = self.objects.get(key_of(new if new is not None else old or {}))
        if old is None:
            assert new is not None
            assert known is None, "added twice"
        elif new is None:
            assert known is not None, "deleted what was not there"
            assert known["metadata"]["uid"] == old["metadata"]["uid"]
        else:
            assert known == old, "changed from something else"
        if new is not None:
            version = new["metadata"]["resourceVersion"]
            assert version not in self.versions, "told twice"
            self.versions.add(version)
            self.objects[key_of(new)] = new
        elif old is not None:
            del self.objects[key_of(old)]


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=60, deadline=None)
def test_what_handlers_heard_adds_up_to_what_there_is(steps: list[tuple[str, str]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, str]]) -> None:
    api, clock, replica = FakeApi(), FakeClock(), Replica()
    informer = Informer(api, POD, clock=clock)
    problems: list[AssertionError] = []

    def handler(old: Object | None, new: Object | None) -> None:
        try:
            replica(old, new)
        except AssertionError as problem:
            problems.append(problem)

    informer.add_handler(handler)
    async with running({"informer": informer.run()}):
        for number, (step, argument) in enumerate(steps):
            await _do(api, clock, step, argument, number)
        api.fail = None
        await clock.advance(60)

    there = {key: obj for (_, key), obj in api.objects.items()}
    assert not problems
    assert replica.objects == there
    assert {key_of(obj): obj for obj in informer.list()} == there


async def _do(api: FakeApi, clock: FakeClock, step: str, argument: str, number: int) -> None:
    match step:
        case "put":
            api.put(POD, new_object(POD, "default", argument, spec=number))
        case "remove":
            if (POD, Key("default", argument)) in api.objects:
                api.remove(POD, "default", argument)
        case "break":
            api.break_watches()
        case "end":
            api.end_watches()
        case "expire":
            api.expire()
        case "bookmark":
            api.bookmark()
        case "down":
            api.fail = Unavailable(0, "NoConnection", "refused")
            api.break_watches()
        case "up":
            api.fail = None
        case "wait":
            await clock.advance(float(argument))
