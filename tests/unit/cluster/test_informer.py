"""The informer: a copy that loses nothing, repeats nothing and outlives the API server."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.cluster.fake_api import FakeApi
from upwell.api.objects import Object, name_of, new_object
from upwell.api.resources import DEPLOYMENT, POD
from upwell.clock import FakeClock
from upwell.cluster.errors import Forbidden, Unavailable
from upwell.cluster.informer import Informer, unfilled
from upwell.cluster.runtime import running


class Recorder:
    """A handler that keeps what it was told, as words."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, old: Object | None, new: Object | None) -> None:
        if old is None:
            self.heard.append(f"added {name_of(new or {})}")
        elif new is None:
            self.heard.append(f"deleted {name_of(old)}")
        else:
            self.heard.append(f"changed {name_of(new)} to {new.get('spec')}")


class Story:
    """A fake API server, an informer on its pods, and a clock."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeClock()
        self.informer = Informer(self.api, POD, clock=self.clock)
        self.recorder = Recorder()
        self.informer.add_handler(self.recorder)

    def pod(self, name: str, spec: str = "a", **metadata: object) -> None:
        self.api.put(POD, new_object(POD, "default", name, metadata=metadata, spec=spec))

    async def settle(self, seconds: float = 0) -> None:
        await self.clock.advance(seconds)

    @property
    def heard(self) -> list[str]:
        heard, self.recorder.heard = self.recorder.heard, []
        return heard


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    story = Story()
    story.pod("one")
    async with running({"informer": story.informer.run()}):
        await story.settle()
        assert story.heard == ["added one"]
        yield story


async def test_what_the_first_list_has_is_known_and_synced(story: Story) -> None:
    assert story.informer.synced
    await story.informer.wait_synced()
    assert [name_of(pod) for pod in story.informer.list("default")] == ["one"]
    assert story.informer.list("other") == []


async def test_changes_arrive_in_order_with_the_state_before(story: Story) -> None:
    story.pod("two")
    story.pod("one", "b")
    story.api.remove(POD, "default", "two")
    await story.settle()

    assert story.heard == ["added two", "changed one to b", "deleted two"]
    assert story.informer.get("default", "two") is None


async def test_a_late_handler_is_told_what_is_known(story: Story) -> None:
    late = Recorder()
    story.informer.add_handler(late)

    assert late.heard == ["added one"]


async def test_a_watch_that_ends_goes_on_from_the_last_event(story: Story) -> None:
    story.pod("one", "b")
    await story.settle(5)
    story.api.end_watches()
    await story.settle()
    story.pod("one", "c")
    await story.settle(10)

    assert story.heard == ["changed one to b", "changed one to c"]
    assert story.api.lists == 1


async def test_a_bookmark_moves_the_position(story: Story) -> None:
    story.api.bookmark()
    story.api.expire()
    await story.settle(5)
    story.api.end_watches()
    await story.settle(1)
    story.pod("two")
    await story.settle(10)

    assert story.heard == ["added two"]
    assert story.api.lists == 1


async def test_a_broken_connection_is_taken_up_again_without_loss_or_repetition(story: Story) -> None:
    for spec in "bcdef":
        story.pod("one", spec)
        story.api.break_watches()
        await story.settle(20)

    assert story.heard == [f"changed one to {spec}" for spec in "bcdef"]
    assert story.api.lists == 1


async def test_after_gone_the_next_list_shows_what_was_missed(story: Story) -> None:
    story.pod("two")
    await story.settle()
    story.api.fail = Unavailable(0, "NoConnection", "refused")
    story.api.break_watches()
    await story.settle()
    story.api.remove(POD, "default", "two")
    story.pod("one", "b")
    story.pod("three")
    story.api.expire()
    story.api.fail = None
    await story.settle(30)

    assert story.heard == ["added two", "deleted two", "changed one to b", "added three"]
    assert story.api.lists == 2


async def test_an_object_replaced_under_its_name_is_deleted_and_added(story: Story) -> None:
    story.api.fail = Unavailable(0, "NoConnection", "refused")
    story.api.break_watches()
    await story.settle()
    story.api.remove(POD, "default", "one")
    story.pod("one", "new")
    story.api.expire()
    story.api.fail = None
    await story.settle(30)

    assert story.heard == ["deleted one", "added one"]


async def test_while_the_server_is_away_the_copy_stays(story: Story) -> None:
    story.api.fail = Unavailable(0, "NoConnection", "refused")
    story.api.break_watches()
    await story.settle(600)

    assert story.informer.synced
    assert story.informer.get("default", "one") is not None
    assert story.heard == []


async def test_attempts_on_a_server_that_is_away_are_spaced(story: Story) -> None:
    tries = 0

    async def count() -> None:
        nonlocal tries
        tries += 1
        raise Unavailable(0, "NoConnection", "refused")

    story.api._answer = count  # type: ignore[method-assign]
    story.api.break_watches()
    await story.settle(80)

    assert 10 <= tries <= 30


async def test_a_position_that_the_server_refuses_is_given_up(story: Story) -> None:
    watch = story.api.watch

    def refuse(*_: object, **__: object) -> AsyncIterator[tuple[str, Object]]:
        raise Unavailable(504, "Timeout", "Too large resource version")

    story.api.watch = refuse  # type: ignore[method-assign]
    story.api.break_watches()
    await story.settle(1)
    story.pod("two")
    await story.settle(20)
    assert story.heard == ["added two"]

    story.api.watch = watch  # type: ignore[method-assign]
    await story.settle(20)
    story.pod("three")
    await story.settle()
    assert story.heard == ["added three"]


async def test_what_is_in_the_way_of_the_first_list_is_named_until_it_is_gone() -> None:
    api, clock = FakeApi(), FakeClock()
    api.fail = Forbidden(403, "Forbidden", "pods is forbidden: cannot list")
    deployments, pods = Informer(FakeApi(), DEPLOYMENT, clock=clock), Informer(api, POD, clock=clock)
    async with running({"pods": pods.run()}):
        await clock.advance(1)
        assert unfilled(deployments, pods) == "deployments.apps, pods (pods is forbidden: cannot list (403 Forbidden))"

        api.fail = None
        await clock.advance(60)
        assert unfilled(pods) == ""
        assert pods.trouble == ""


async def test_trouble_on_the_way_is_known_until_something_arrives_again(story: Story) -> None:
    story.api.fail = Unavailable(0, "NoConnection", "refused")
    story.api.break_watches()
    await story.settle(1)
    assert story.informer.trouble == "refused (NoConnection)"
    assert unfilled(story.informer) == ""

    story.api.fail = None
    story.pod("two")
    await story.settle(60)
    assert story.informer.trouble == ""


async def test_the_wait_that_a_server_asks_for_is_kept(story: Story) -> None:
    story.api.fail = Unavailable(429, "TooManyRequests", "slow down", retry_after=60)
    story.api.break_watches()
    await story.settle(1)
    story.api.fail = None
    story.pod("two")
    await story.settle(50)
    assert story.heard == []

    await story.settle(15)
    assert story.heard == ["added two"]


async def test_a_handler_that_fails_stops_nobody(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(old: Object | None, new: Object | None) -> None:
        raise RuntimeError("broken handler")

    late = Recorder()
    story.informer.add_handler(broken)
    story.informer.add_handler(late)
    story.pod("two")
    await story.settle()

    assert story.heard == ["added two"]
    assert late.heard == ["added one", "added two"]
    assert "broken handler" in capsys.readouterr().err


async def test_indexes_follow_every_change(story: Story) -> None:
    story.informer.add_index("spec", lambda pod: [pod["spec"]])
    story.pod("two", "a")
    await story.settle()
    assert [name_of(pod) for pod in story.informer.by_index("spec", "a")] == ["one", "two"]

    story.pod("one", "b")
    story.api.remove(POD, "default", "two")
    await story.settle()
    assert story.informer.by_index("spec", "a") == []
    assert [name_of(pod) for pod in story.informer.by_index("spec", "b")] == ["one"]


async def test_who_set_which_field_is_not_kept(story: Story) -> None:
    story.pod("two", managedFields=[{"manager": "kubectl"}])
    await story.settle()

    kept = story.informer.get("default", "two")
    assert kept is not None
    assert "managedFields" not in kept["metadata"]


async def test_an_informer_with_a_trim_keeps_what_that_leaves_of_listed_and_of_watched_objects() -> None:
    api = FakeApi()
    api.put(POD, new_object(POD, "default", "one", spec="a", status="x"))
    informer = Informer(api, POD, trim=lambda pod: {"metadata": pod["metadata"], "spec": pod["spec"]})
    async with running({"informer": informer.run()}):
        await informer.wait_synced()
        api.put(POD, new_object(POD, "default", "two", spec="b", status="y"))
        await FakeClock().advance(0)

    assert [set(pod) for pod in informer.list()] == [{"metadata", "spec"}] * 2
    assert [pod["spec"] for pod in informer.list()] == ["a", "b"]
