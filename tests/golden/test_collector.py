"""The collector agrees with the reference on every recorded sequence."""

from typing import Any

import pytest

from tests.golden.conftest import load
from tests.golden.near import near
from upwell.api.stat import Stat
from upwell.policy.collector import Collection, CollectionSpec, Collector
from upwell.policy.resolution import normalised_aggregation

CASES = load("collector.json")["cases"]
KEY = "revision"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_collected_averages_agree_with_the_reference(case: dict[str, Any]) -> None:
    collector: Collector[str] = Collector()
    collector.update(KEY, collection_spec(case, case), 0)
    scraped_at = 0.0
    for number, operation in enumerate(case["ops"]):
        kind, at = operation["op"], operation["t"]
        if at >= scraped_at + 1 and KEY in collector.collections:
            collector.collections[KEY].last_error = None  # a scrape in between found no pods, which is no error
        if kind == "record":
            collector.record(KEY, at, Stat(**operation["stat"]))
        elif kind == "scrape":
            scraped_at = at
            scrape(collector.collections[KEY], operation)
        elif kind == "update":
            collection = collector.update(KEY, collection_spec(operation, case), at)
            assert (collection.last_error is None) == (operation["want_error"] is None), (number, operation)
        elif kind == "delete":
            collector.delete(KEY)
        else:
            for metric, want in operation["want"].items():
                assert answer(collector, metric, at) == near(want, 1e-6), (number, operation)


def scrape(collection: Collection, operation: dict[str, Any]) -> None:
    collection.last_error = operation.get("error")
    if "stat" in operation:
        collection.record(operation["t"], Stat(**operation["stat"]))


def answer(collector: Collector[str], metric: str, at: float) -> dict[str, Any]:
    if KEY not in collector.collections:
        return {"error": "not_collecting"}
    averages = collector.collections[KEY].averages(metric, at)
    if averages is None:
        return {"error": "no_data"}
    return {"error": None, "stable": averages.stable, "panic": averages.panic}


def collection_spec(values: dict[str, Any], case: dict[str, Any]) -> CollectionSpec:
    return CollectionSpec(
        values["stable_window_s"],
        values["panic_window_s"],
        bool(values["scrape_target"]),
        normalised_aggregation(case["aggregation_algorithm"]),
    )
