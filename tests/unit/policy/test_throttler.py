"""The throttler, by stories and by a model that checks its promises after every step of random lives."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from upwell.policy.picking import Pod
from upwell.policy.throttler import QueueFull, Throttler
from upwell.policy.waiting_room import Share, WaitingRoom


def drain(throttler: Throttler[int]) -> list[tuple[int, str]]:
    started = []
    while (taken := throttler.take()) is not None:
        started.append((taken[0], taken[1].address))
    return started


def test_requests_wait_while_there_is_no_pod_and_go_in_order_when_there_is_one() -> None:
    throttler: Throttler[int] = Throttler(2, queue_limit=10)
    assert [throttler.admit(request) for request in (1, 2, 3)] == [None, None, None]
    assert drain(throttler) == []

    throttler.set_pods(["a"])

    assert drain(throttler) == [(1, "a"), (2, "a")]
    assert throttler.waiting == 1


def test_a_free_slot_is_given_at_once() -> None:
    throttler: Throttler[int] = Throttler(1, queue_limit=10)
    throttler.set_pods(["a"])

    pod = throttler.admit(1)

    assert pod is not None
    assert pod.address == "a"
    assert throttler.admit(2) is None
    throttler.release(pod)
    assert drain(throttler) == [(2, "a")]


def test_past_the_queue_limit_requests_are_refused() -> None:
    throttler: Throttler[int] = Throttler(1, queue_limit=2)
    throttler.admit(1)
    throttler.admit(2)

    with pytest.raises(QueueFull):
        throttler.admit(3)

    assert throttler.cancel(1)
    assert throttler.admit(4) is None


def test_a_request_whose_client_goes_leaves_the_queue() -> None:
    throttler: Throttler[int] = Throttler(1, queue_limit=10)
    for request in (1, 2, 3):
        throttler.admit(request)

    assert throttler.cancel(1)
    assert not throttler.cancel(1)

    throttler.set_pods(["a", "b"])
    assert drain(throttler) == [(2, "a"), (3, "b")]


def test_requests_that_come_back_go_before_all_others_in_the_order_they_came_back() -> None:
    throttler: Throttler[int] = Throttler(1, queue_limit=1)
    throttler.set_pods(["a", "b"])
    first, second = throttler.admit(1), throttler.admit(2)
    assert first is not None
    assert second is not None
    throttler.admit(3)

    throttler.set_pods(["c"])
    for request, pod in ((1, first), (2, second)):
        throttler.release(pod)
        throttler.put_back(request)

    assert drain(throttler) == [(1, "c")]
    assert throttler.cancel(2)
    assert throttler.waiting == 1


def test_an_unlimited_revision_lets_everyone_through_once_it_has_a_pod() -> None:
    throttler: Throttler[int] = Throttler(0, queue_limit=1000)
    for request in range(500):
        throttler.admit(request)

    throttler.set_pods(["a"])

    assert drain(throttler) == [(request, "a") for request in range(500)]


def test_exchanges_on_a_pod_that_has_gone_do_not_hold_up_those_that_wait() -> None:
    throttler: Throttler[int] = Throttler(1, queue_limit=10)
    throttler.set_pods(["a"])
    lost = throttler.admit(1)
    assert lost is not None
    throttler.admit(2)

    assert throttler.set_pods(["b"]) == [lost]

    assert drain(throttler) == [(2, "b")]
    throttler.release(lost)
    assert throttler.in_flight == 1


def test_a_pod_that_comes_back_still_has_its_exchanges() -> None:
    throttler: Throttler[int] = Throttler(1, queue_limit=10)
    throttler.set_pods(["a"])
    pod = throttler.admit(1)
    throttler.set_pods([])
    throttler.set_pods(["a"])

    assert throttler.admit(2) is None
    assert pod is not None
    throttler.release(pod)
    assert drain(throttler) == [(2, "a")]


def test_the_service_address_has_the_share_of_one_activator() -> None:
    throttler: Throttler[int] = Throttler(10, queue_limit=100)
    throttler.set_activators(5, 0)
    for request in range(30):
        throttler.admit(request)

    throttler.set_service("10.96.0.1:80", healthy=10)

    assert throttler.capacity == 20
    assert drain(throttler) == [(request, "10.96.0.1:80") for request in range(20)]


def test_a_service_without_healthy_pods_is_closed() -> None:
    throttler: Throttler[int] = Throttler(0, queue_limit=10)
    throttler.set_service("10.96.0.1:80", healthy=0)
    assert throttler.admit(1) is None

    throttler.set_service("10.96.0.1:80", healthy=1)
    assert drain(throttler) == [(1, "10.96.0.1:80")]


def test_another_activator_takes_over_part_of_the_pods() -> None:
    throttler: Throttler[int] = Throttler(10, queue_limit=10)
    throttler.set_pods(["a", "b", "c"])
    assert throttler.capacity == 30

    throttler.set_activators(2, 0)

    assert throttler.capacity == 20
    assert [pod.address for pod in throttler.assigned] == ["a", "c"]


def test_a_thousand_pods_cost_no_more_than_ten() -> None:
    # By operations, not by time: the choice is arithmetic on one integer, whatever the number of pods.
    throttler: Throttler[int] = Throttler(1, queue_limit=10)
    throttler.set_pods([f"10.0.{high}.{low}:8012" for high in range(10) for low in range(100)])

    pods = [throttler.admit(request) for request in range(1000)]

    assert len({pod.address for pod in pods if pod}) == 1000
    assert throttler.admit(1000) is None


ADDRESSES = ["a", "b", "c", "d", "e"]


class ThrottlerLife(RuleBasedStateMachine):
    """Pods come and go, activators too; requests arrive, give up, end, or come back unserved."""

    @initialize(
        concurrency=st.sampled_from([0, 1, 2, 4, 5]),
        limit=st.integers(0, 12),
        places=st.integers(0, 24),
        seed=st.integers(0, 2**16),
    )
    def start(self, concurrency: int, limit: int, places: int, seed: int) -> None:
        random.seed(seed)
        self.concurrency = concurrency
        self.room = WaitingRoom(places)
        self.others = Share(self.room)
        """What all other revisions have waiting."""
        self.throttler: Throttler[int] = Throttler(concurrency, limit, Share(self.room))
        self.number = 0
        self.arrived: list[int] = []
        """What waits and never had a slot, in order."""
        self.returned: list[int] = []
        self.running: dict[int, Pod] = {}

    @rule(addresses=st.sets(st.sampled_from(ADDRESSES)))
    def pods(self, addresses: set[str]) -> None:
        self.throttler.set_pods(addresses)
        self.pump()

    @rule(healthy=st.integers(0, 4))
    def service(self, healthy: int) -> None:
        self.throttler.set_service("service", healthy)
        self.pump()

    @rule(count=st.integers(1, 6), data=st.data())
    def activators(self, count: int, data: st.DataObject) -> None:
        self.throttler.set_activators(count, data.draw(st.integers(0, count - 1)))
        self.pump()

    @rule(count=st.integers(0, 12))
    def others_wait(self, count: int) -> None:
        while self.others.requests > count:
            self.others.leave()
        while self.others.requests < count and self.others.enter():
            pass

    @rule()
    def arrive(self) -> None:
        self.number += 1
        waiting = len(self.arrived) + len(self.returned)
        free = self.room.requests_most - self.room.requests
        full = len(self.arrived) >= self.throttler.queue_limit or waiting >= free
        try:
            pod = self.throttler.admit(self.number)
        except QueueFull:
            assert full
            return
        if pod is not None:
            assert not self.arrived
            assert not self.returned
            self.running[self.number] = pod
        else:
            assert not full
            self.arrived.append(self.number)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.running)))
        self.throttler.release(self.running.pop(request))
        self.pump()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.running)))
        self.throttler.release(self.running.pop(request))
        self.throttler.put_back(request)
        self.returned.append(request)
        self.pump()

    @precondition(lambda self: self.arrived or self.returned)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.arrived + self.returned))
        assert self.throttler.cancel(request)
        (self.arrived if request in self.arrived else self.returned).remove(request)

    def pump(self) -> None:
        while (taken := self.throttler.take()) is not None:
            request, pod = taken
            line = self.returned or self.arrived
            assert request == line.pop(0), "not first come, first served"
            limit = pod.limit
            assert limit == 0 or pod.in_flight <= limit, "more than the pod bears"
            self.running[request] = pod

    @invariant()
    def nothing_is_leaked(self) -> None:
        if not hasattr(self, "throttler"):
            return
        throttler = self.throttler
        assert throttler.in_flight == len(self.running)
        assert throttler.waiting == len(self.arrived) + len(self.returned)
        assert throttler.share.requests == throttler.waiting
        assert self.room.requests == throttler.waiting + self.others.requests
        assert throttler.idle == (not self.running and not self.arrived and not self.returned)
        for pod in {id(pod): pod for pod in self.running.values()}.values():
            assert pod.in_flight == sum(one is pod for one in self.running.values())

    @invariant()
    def no_slot_is_idle_while_a_request_waits(self) -> None:
        if not hasattr(self, "throttler") or not self.throttler.waiting:
            return
        throttler = self.throttler
        if throttler.uses_service:
            on_service = sum(pod.address == "service" for pod in self.running.values())
            assert on_service >= throttler.capacity
        else:
            assert all(pod.limit and pod.in_flight >= pod.limit for pod in throttler.assigned)

    @invariant()
    def pods_that_are_gone_and_empty_are_forgotten(self) -> None:
        if hasattr(self, "throttler"):
            assert all(pod.in_flight for pod in self.throttler._leaving.values())


TestThrottlerLife = ThrottlerLife.TestCase
TestThrottlerLife.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


@pytest.mark.parametrize("activators", [1, 2, 3])
@pytest.mark.parametrize("workers", [(1,), (2,), (4, 1, 3)])
def test_activators_with_any_numbers_of_workers_share_all_pods_and_none_twice(
    activators: int, workers: tuple[int, ...]
) -> None:
    pods = [f"10.0.0.{number}:8012" for number in range(60)]
    taken: list[str] = []
    for index in range(activators):
        count = workers[index % len(workers)]
        for number in range(count):
            throttler: Throttler[int] = Throttler(5, queue_limit=0, worker=(number, count))
            throttler.set_activators(activators, index)
            throttler.set_pods(pods)
            taken += [pod.address for pod in throttler.assigned]

    assert sorted(taken) == sorted(pods)


def test_workers_share_what_their_activator_may_send_to_a_service() -> None:
    throttler: Throttler[int] = Throttler(10, queue_limit=0, worker=(1, 4))
    throttler.set_activators(5, 0)
    throttler.set_service("10.96.0.1:80", healthy=10)

    assert throttler.capacity == 5
