"""The collector: what counts, what does not, and when there is nothing to tell from."""

import math

import pytest

from upwell.api.stat import Stat
from upwell.policy.collector import Averages, Collection, CollectionSpec, Collector, implausible


def test_what_came_through_an_activator_is_counted_there_and_not_again_here() -> None:
    collection = Collection(CollectionSpec(60, 6))

    collection.record(100, Stat("pod", 10, 4, 30, 10))
    collection.record(100, Stat("activator", 4, 0, 10, 0))

    assert collection.averages("concurrency", 100) == Averages(10, 10)
    assert collection.averages("rps", 100) == Averages(30, 30)


def test_the_panic_window_forgets_sooner_than_the_stable_one() -> None:
    collection = Collection(CollectionSpec(60, 2))
    for second, load in enumerate((0, 0, 0, 0, 10, 10)):
        collection.record(100 + second, Stat("pod", load))

    stable, panic = collection.averages("concurrency", 105) or Averages(0, 0)
    assert panic == 10
    assert stable == pytest.approx(20 / 6, abs=1e-6)


def test_silence_of_scraped_pods_is_no_data() -> None:
    collection = Collection(CollectionSpec(6, 1))
    assert collection.averages("concurrency", 100) is None
    collection.record(100, Stat("pod", 1))

    assert collection.averages("concurrency", 106) is not None
    assert collection.averages("concurrency", 107) is None


def test_silence_means_no_traffic_where_the_activator_sees_it_all() -> None:
    assert Collection(CollectionSpec(6, 1, scrapes_pods=False)).averages("concurrency", 100) == Averages(0, 0)


def test_a_stat_for_a_revision_that_is_not_collected_is_turned_away() -> None:
    collector: Collector[str] = Collector()
    assert not collector.record("revision", 100, Stat("pod", 1))
    collector.update("revision", CollectionSpec(6, 1), 100)
    assert collector.record("revision", 100, Stat("pod", 1))
    collector.delete("revision")
    assert not collector.record("revision", 100, Stat("pod", 1))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.5, 1e8])
def test_a_figure_that_cannot_be_true_is_named(value: float) -> None:
    assert "average_concurrent_requests" in (implausible(Stat("pod", value)) or "")
    assert "proxied_request_count" in (implausible(Stat("pod", 0, 0, 0, value)) or "")


def test_an_activator_may_take_back_the_request_that_it_announced() -> None:
    assert implausible(Stat("activator", 0, 0, -1)) is None
    assert implausible(Stat("activator", 0, 0, -2)) is not None
