"""What may wait in all, and each revision's part of it."""

from hypothesis import given
from hypothesis import strategies as st

from upwell.policy.waiting_room import Share, WaitingRoom


def fill(share: Share) -> int:
    """Take all the places that there are; how many that was."""
    count = 0
    while share.enter():
        count += 1
    return count


def test_one_alone_may_fill_half_the_room() -> None:
    assert fill(Share(WaitingRoom(20_000))) == 10_000


def test_whoever_comes_after_a_burst_still_finds_places() -> None:
    room = WaitingRoom(20_000)
    shares = [Share(room) for _ in range(4)]

    taken = [fill(share) for share in shares]

    assert taken == [10_000, 5_000, 2_500, 1_250]


def test_those_who_all_want_more_than_there_is_come_to_have_the_same() -> None:
    room = WaitingRoom(20_000)
    shares = [Share(room) for _ in range(4)]
    fill(shares[0])

    for _ in range(20_000):  # the first in line of each goes, and all try to come back, the greedy one first
        for share in shares:
            if share.requests:
                share.leave()
            fill(share)

    assert [share.requests for share in shares] == [4_000] * 4


def test_who_comes_back_is_let_in_whatever_there_is() -> None:
    room = WaitingRoom(0)
    share = Share(room)
    assert not share.enter()

    share.reenter()

    assert (share.requests, room.requests) == (1, 1)


def test_bytes_are_shared_out_in_the_same_way() -> None:
    room = WaitingRoom(bytes_most=1000)
    uploads, other = Share(room), Share(room)
    while uploads.has_room_for_bytes:
        uploads.keep(100)

    assert uploads.bytes == 500
    assert other.has_room_for_bytes
    uploads.drop(500)
    assert room.bytes == 0


@given(st.integers(0, 60), st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=200))
def test_the_bound_holds_and_a_revision_without_requests_is_let_in_while_a_place_is_free(
    most: int, steps: list[tuple[int, bool]]
) -> None:
    room = WaitingRoom(most)
    shares = [Share(room) for _ in range(5)]

    for number, comes in steps:
        share = shares[number]
        before, free = share.requests, most - room.requests
        if comes:
            assert share.enter() == (before < free)
        elif before:
            share.leave()
        assert room.requests == sum(one.requests for one in shares) <= most
        if not before and free and comes:
            assert share.requests == 1
