"""What was not said is said later, once, with its time; and no more than a minute of it."""

import asyncio

from activator.stat_sender import LISTS_MOST, Outbox
from upwell.api.stat import Stat, WireStatMessage, decode_messages
from upwell.clock import FakeClock


def about(name: str) -> list[WireStatMessage]:
    return [WireStatMessage("default", name, Stat(pod_name="activator-1", request_count=1))]


def names_and_times(frame: bytes) -> list[tuple[str, int]]:
    return [(message.name, message.stat.timestamp) for message in decode_messages(frame) if message.stat]


async def test_lists_are_read_in_order_and_fresh_ones_have_no_time() -> None:
    outbox = Outbox(FakeClock())
    outbox.put(about("one"))
    outbox.put(about("two"))

    position, first = outbox.read(0)
    position, second = outbox.read(position)

    assert names_and_times(first) + names_and_times(second) == [("one", 0), ("two", 0)]
    assert position == outbox.end
    assert outbox.read(position) == (position, b"")


async def test_what_is_sent_late_says_when_it_was_measured() -> None:
    clock = FakeClock(start=1000.5)
    outbox = Outbox(clock)
    outbox.put(about("late"))
    await clock.advance(5)

    assert names_and_times(outbox.read(0)[1]) == [("late", 1000)]


async def test_a_minute_is_kept_and_readers_that_are_further_behind_go_on_from_there() -> None:
    clock = FakeClock()
    outbox = Outbox(clock)
    outbox.put(about("old"))
    await clock.advance(59)
    outbox.put(about("new"))
    await clock.advance(2)

    position, frame = outbox.read(0)

    assert [name for name, _ in names_and_times(frame)] == ["new"]
    assert position == 2


async def test_the_number_of_lists_is_bounded() -> None:
    outbox = Outbox(FakeClock())
    for number in range(LISTS_MOST + 10):
        outbox.put(about(str(number)))

    _, frame = outbox.read(0)

    assert [name for name, _ in names_and_times(frame)] == ["10"]


async def test_who_waits_is_woken_by_the_next_list() -> None:
    outbox = Outbox(FakeClock())
    waiting = [asyncio.create_task(outbox.wait(0)) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)

    outbox.put(about("one"))

    await asyncio.wait_for(asyncio.gather(*waiting), 1)
