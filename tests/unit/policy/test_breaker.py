"""The breaker: slots, a bounded line in front of them, first come first served."""

from hypothesis import given
from hypothesis import strategies as st

from upwell.policy.breaker import REJECTED, RUNNING, WAITING, Breaker


def test_up_to_the_capacity_run_at_once() -> None:
    breaker = Breaker[str](capacity=2, queue_depth=1)

    assert [breaker.enter(item) for item in "ab"] == [RUNNING, RUNNING]
    assert breaker.running == 2


def test_the_next_wait_up_to_the_depth_of_the_queue_and_then_none_enters() -> None:
    breaker = Breaker[str](capacity=1, queue_depth=2)

    assert [breaker.enter(item) for item in "abcd"] == [RUNNING, WAITING, WAITING, REJECTED]
    assert (breaker.running, breaker.waiting) == (1, 2)


def test_eleven_times_the_limit_are_admitted_by_the_queue_proxys_numbers() -> None:
    breaker = Breaker[int](capacity=10, queue_depth=100)

    assert [breaker.enter(item) for item in range(111)].count(REJECTED) == 1


def test_who_leaves_a_slot_hands_it_to_the_first_in_line() -> None:
    breaker = Breaker[str](capacity=1, queue_depth=3)
    for item in "abcd":
        breaker.enter(item)

    assert [breaker.leave(item) for item in "abcd"] == ["b", "c", "d", None]
    assert breaker.running == 0


def test_who_gives_up_in_line_frees_its_place_and_no_slot() -> None:
    breaker = Breaker[str](capacity=1, queue_depth=2)
    for item in "abc":
        breaker.enter(item)

    assert breaker.leave("b") is None
    assert breaker.enter("d") is WAITING
    assert breaker.leave("a") == "c"


def test_nobody_overtakes_the_line() -> None:
    breaker = Breaker[str](capacity=0, queue_depth=5)
    breaker.enter("first")
    breaker.capacity = 1

    assert breaker.enter("second") is WAITING


def test_more_capacity_admits_from_the_front_of_the_line() -> None:
    breaker = Breaker[str](capacity=0, queue_depth=5)
    for item in "abc":
        breaker.enter(item)

    assert breaker.resize(2) == ["a", "b"]
    assert (breaker.running, breaker.waiting) == (2, 1)


def test_with_less_capacity_slots_vanish_as_they_are_left() -> None:
    breaker = Breaker[str](capacity=2, queue_depth=5)
    for item in "abc":
        breaker.enter(item)

    assert breaker.resize(1) == []
    assert breaker.leave("a") is None
    assert breaker.leave("b") == "c"


@given(
    capacity=st.integers(0, 4),
    depth=st.integers(0, 4),
    choices=st.lists(st.tuples(st.sampled_from(["enter", "leave", "resize"]), st.integers(0, 5)), max_size=60),
)
def test_whatever_happens_slots_are_released_exactly_once_and_order_is_kept(
    capacity: int, depth: int, choices: list[tuple[str, int]]
) -> None:
    breaker = Breaker[int](capacity, depth)
    running: list[int] = []
    line: list[int] = []
    for number, (action, value) in enumerate(choices):
        if action == "enter":
            admission = breaker.enter(number)
            if admission is RUNNING:
                running.append(number)
            elif admission is WAITING:
                line.append(number)
        elif action == "resize":
            admitted = breaker.resize(value)
            assert admitted == line[: len(admitted)]
            running += admitted
            del line[: len(admitted)]
        elif running or line:
            item = (running + line)[value % len(running + line)]
            successor = breaker.leave(item)
            (running if item in running else line).remove(item)
            if successor is not None:
                assert successor == line.pop(0)
                running.append(successor)
        assert breaker.running == len(running)
        assert breaker.waiting == len(line)
        assert not line or breaker.running >= breaker.capacity

    for item in list(running):
        breaker.leave(item)
        running.remove(item)
        if line and breaker.running > len(running):
            running.append(line.pop(0))
