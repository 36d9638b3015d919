"""What is handed from one autoscaler to the next, and how the next one goes on."""

from upwell.api.stat import Stat
from upwell.policy.collector import Averages, Collection, CollectionSpec
from upwell.policy.decider import DeciderSpec, DeciderState, Observation, decide
from upwell.policy.memory import recall, remember, resume

SPEC = DeciderSpec(target_value=10, total_value=10)
NOW = 10_000.0


def loaded(load: float, seconds: int = 60) -> Collection:
    collection = Collection(CollectionSpec(60, 6))
    for second in range(seconds):
        collection.record(NOW - seconds + second, Stat("pod", load))
    return collection


def test_windows_go_on_where_they_stopped_however_long_nobody_looked() -> None:
    memory = recall(remember(loaded(30), "concurrency", DeciderState(), NOW))
    assert memory is not None
    fresh = Collection(CollectionSpec(60, 6))

    memory.replay(fresh, NOW + 200)

    assert fresh.averages("concurrency", NOW + 200) == Averages(30, 30)


def test_the_seconds_until_the_first_report_are_no_silence_and_later_ones_are() -> None:
    memory = recall(remember(loaded(30), "concurrency", DeciderState(), NOW))
    assert memory is not None
    soon, late = (Collection(CollectionSpec(60, 6)) for _ in range(2))
    for fresh in (soon, late):
        memory.replay(fresh, NOW)

    soon.record(NOW + 3, Stat("pod", 30))
    late.record(NOW + 30, Stat("pod", 30))

    assert soon.averages("concurrency", NOW + 3) == Averages(30, 30)
    assert late.averages("concurrency", NOW + 30) == Averages(15, 30)


def test_a_load_that_leaves_the_window_meanwhile_does_not_come_back_with_the_seconds_that_are_made_up_for() -> None:
    before = Collection(CollectionSpec(6, 6))
    for second, load in enumerate((30, 8, 8, 8, 8, 8)):
        before.record(NOW - 6 + second, Stat("pod", load))
    memory = recall(remember(before, "concurrency", DeciderState(), NOW))
    assert memory is not None
    fresh = Collection(CollectionSpec(6, 6))
    memory.replay(fresh, NOW)

    fresh.record(NOW + 1, Stat("pod", 8))

    assert fresh.averages("concurrency", NOW + 1) == Averages(8, 8)


def test_a_quiet_revision_leaves_nothing() -> None:
    assert remember(loaded(0), "concurrency", DeciderState(), NOW) is None


def test_panic_goes_on_and_ends_when_it_would_have() -> None:
    state = DeciderState(panic_since=NOW - 20, max_panic_pods=8)
    memory = recall(remember(loaded(30), "concurrency", state, NOW))

    resumed = resume(SPEC, 8, 8, memory, True, NOW + 100)

    assert (resumed.panic_since, resumed.max_panic_pods) == (NOW + 80, 8)
    assert decide(SPEC, resumed, Observation(30, 30, 8), NOW + 139).desired == 8
    assert not decide(SPEC, resumed, Observation(30, 30, 8), NOW + 141).in_panic


def test_without_memory_no_pod_goes_for_a_stable_window() -> None:
    state = resume(SPEC, 3, 5, None, False, NOW)

    assert decide(SPEC, state, Observation(1, 1, 3), NOW + 2).desired == 5, "what was asked for, not what is ready"
    assert decide(SPEC, state, Observation(1, 1, 5), NOW + 59.9).held == 5
    state.panic_since = None
    assert decide(SPEC, state, Observation(1, 1, 5), NOW + 60).desired == 2


def test_with_complete_memory_only_the_last_pod_is_held() -> None:
    memory = recall(remember(loaded(3), "concurrency", DeciderState(), NOW))

    state = resume(SPEC, 4, 4, memory, True, NOW + 3)

    assert decide(SPEC, state, Observation(3, 3, 4), NOW + 4).desired == 2, "down by the rate, as without a restart"
    assert decide(SPEC, state, Observation(0, 0, 1), NOW + 6).desired == 1
    assert decide(SPEC, state, Observation(0, 0, 1), NOW + 64).desired == 0


def test_an_unreachable_revision_is_not_held() -> None:
    spec = DeciderSpec(target_value=10, total_value=10, reachable=False)
    state = resume(spec, 1, 1, None, False, NOW)

    assert decide(spec, state, Observation(0, 0, 1), NOW + 2).desired == 0
