"""What watchers see, and when they are told to start again."""

import json
from typing import Any

import pytest

from tests.unit.local.apiserver.world import POD, World, pod
from upwell.local.apiserver import watch
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.records import Record
from upwell.local.apiserver.selectors import Selector
from upwell.local.apiserver.watch import Event, Feed, Watcher


def seen(watcher: Watcher) -> list[tuple[str, str]]:
    """(type, name) of all events that wait."""
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events(watcher)]


def events(watcher: Watcher) -> list[dict[str, Any]]:
    return [json.loads(line) for line in watcher.take().splitlines()]


def record(name: str, revision: int) -> Record:
    obj = {**pod(name), "metadata": {"name": name, "uid": name, "resourceVersion": str(revision)}}
    return Record(POD, obj)


def test_a_watcher_sees_an_object_come_change_and_go(world: World) -> None:
    watcher = world.watch(POD)

    world.create(POD, pod("p"))
    world.merge(POD, "p", {"metadata": {"labels": {"a": "b"}}})
    world.delete(POD, "p")

    assert seen(watcher) == [("ADDED", "p"), ("MODIFIED", "p"), ("DELETED", "p")]


def test_every_event_has_a_version_of_its_own_and_they_rise(world: World) -> None:
    watcher = world.watch(POD)

    world.create(POD, pod("p"))
    world.merge(POD, "p", {"metadata": {"labels": {"a": "b"}}})
    world.delete(POD, "p")

    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events(watcher)]
    assert versions == sorted(set(versions))


def test_an_update_that_changes_nothing_is_no_event(world: World) -> None:
    stored = world.create(POD, pod("p"))
    watcher = world.watch(POD)

    again = world.merge(POD, "p", {"spec": {"restartPolicy": "Always"}})

    assert seen(watcher) == []
    assert again["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]


def test_an_object_that_leaves_the_selector_is_deleted_for_its_watcher(world: World) -> None:
    world.create(POD, pod("p", labels={"app": "web"}))
    watcher = world.watch(POD, labels="app=web")

    changed = world.merge(POD, "p", {"metadata": {"labels": {"app": "db"}}})

    (event,) = events(watcher)
    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["labels"] == {"app": "web"}
    assert event["object"]["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


def test_an_object_that_enters_the_selector_is_added_for_its_watcher(world: World) -> None:
    world.create(POD, pod("p"))
    watcher = world.watch(POD, fields="status.phase=Running")

    world.merge(POD, "p", {"status": {"phase": "Running"}}, "status")
    world.merge(POD, "p", {"status": {"podIP": "127.0.0.1"}}, "status")
    world.delete(POD, "p")

    assert seen(watcher) == [("ADDED", "p"), ("MODIFIED", "p"), ("DELETED", "p")]


def test_what_never_matched_is_never_seen(world: World) -> None:
    watcher = world.watch(POD, labels="app=web")

    world.create(POD, pod("p"))
    world.delete(POD, "p")

    assert seen(watcher) == []


def test_a_watcher_of_a_namespace_does_not_see_the_others(world: World) -> None:
    watcher = world.watch(POD)

    world.registry.create(POD, "knative-serving", pod("p"))

    assert seen(watcher) == []


def test_a_watch_from_the_past_gets_what_it_missed(world: World) -> None:
    world.create(POD, pod("old"))
    since = world.store.revision
    world.create(POD, pod("a"))
    world.create(POD, pod("b"))
    world.delete(POD, "a")

    watcher = world.watch(POD, since=since)

    assert seen(watcher) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


def test_a_watch_from_before_the_remembered_past_is_gone() -> None:
    feed = Feed(floor=0, events=2)
    for revision in (1, 2, 3):
        feed.publish(Event("ADDED", record(f"p{revision}", revision), None))

    with pytest.raises(StatusError) as gone:
        feed.watch(Watcher("", Selector()), revision=0, current=3)
    recent = Watcher("", Selector())
    feed.watch(recent, revision=1, current=3)

    assert (gone.value.code, gone.value.reason) == (410, "Expired")
    assert seen(recent) == [("ADDED", "p2"), ("ADDED", "p3")]


def test_history_is_bounded_in_bytes_too() -> None:
    size = len(record("p1", 1).raw)
    feed = Feed(floor=0, size=2 * size)
    for revision in (1, 2, 3):
        feed.publish(Event("ADDED", record(f"p{revision}", revision), None))

    with pytest.raises(StatusError):
        feed.watch(Watcher("", Selector()), revision=0, current=3)


def test_a_version_from_the_future_is_gone_too() -> None:
    feed = Feed(floor=5)

    with pytest.raises(StatusError) as gone:
        feed.watch(Watcher("", Selector()), revision=9, current=5)

    assert gone.value.code == 410


def test_after_a_restart_only_the_present_can_be_watched() -> None:
    feed = Feed(floor=7)

    feed.watch(Watcher("", Selector()), revision=7, current=7)
    with pytest.raises(StatusError):
        feed.watch(Watcher("", Selector()), revision=6, current=7)


def test_the_bytes_of_an_event_are_shared_by_its_watchers() -> None:
    event = Event("ADDED", record("p", 1), None)

    assert event.line("ADDED") is event.line("ADDED")


def test_a_watcher_that_does_not_keep_up_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUEUE_EVENTS", 2)
    watcher = Watcher("", Selector())

    for revision in (1, 2, 3, 4):
        watcher.offer(Event("ADDED", record("p", revision), None))

    assert watcher.overrun
    assert watcher.take() == b""
    assert watcher.wake.is_set() is False


def test_a_watcher_that_left_is_fed_no_more(world: World) -> None:
    watcher = world.watch(POD)
    world.store.feed(POD).leave(watcher)

    world.create(POD, pod("p"))

    assert seen(watcher) == []
