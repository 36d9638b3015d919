"""Metrics count in plain numbers and are exposed as Prometheus expects."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from upwell.telemetry.metrics import Histogram, Registry


def exposed(registry: Registry) -> list[str]:
    return [line for line in registry.render().decode().splitlines() if not line.startswith("#")]


def test_a_counter_without_labels_is_exposed_with_total_at_its_end() -> None:
    registry = Registry()
    registry.counter("requests", "Requests.").inc(2)

    assert exposed(registry) == ["requests_total 2.0"]


def test_a_family_has_one_child_for_each_combination_of_labels() -> None:
    registry = Registry()
    family = registry.counter("requests", "Requests.", ("code", "method"))
    family.labels("200", "GET").inc()
    family.labels("200", "GET").inc()
    family.labels("404", "GET").inc()

    assert exposed(registry) == [
        'requests_total{code="200",method="GET"} 2.0',
        'requests_total{code="404",method="GET"} 1.0',
    ]


def test_a_wrong_number_of_label_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="requests_total has the labels"):
        Registry().counter("requests", "Requests.", ("code",)).labels("200", "GET")


def test_a_removed_child_is_no_longer_exposed() -> None:
    registry = Registry()
    family = registry.gauge("pods", "Pods.", ("revision",))
    family.labels("a").set(3)
    family.labels("b").set(1)
    family.remove("a")

    assert exposed(registry) == ['pods{revision="b"} 1.0']


def test_a_gauge_goes_up_and_down() -> None:
    registry = Registry()
    gauge = registry.gauge("pods", "Pods.")
    gauge.set(5)
    gauge.inc()
    gauge.dec(3)

    assert exposed(registry) == ["pods 3.0"]


def test_a_gauge_may_be_read_at_the_scrape() -> None:
    registry = Registry()
    values = iter((1.0, 2.0))
    registry.gauge_from("depth", "Depth.", lambda: next(values))

    assert exposed(registry) == ["depth 1.0"]
    assert exposed(registry) == ["depth 2.0"]


def test_a_histogram_has_cumulative_buckets_with_inclusive_upper_bounds() -> None:
    registry = Registry()
    histogram = registry.histogram("seconds", "Time.", bounds=(0.1, 1))
    for value in (0.1, 0.5, 7):
        histogram.observe(value)

    assert exposed(registry) == [
        'seconds_bucket{le="0.1"} 1.0',
        'seconds_bucket{le="1"} 2.0',
        'seconds_bucket{le="+Inf"} 3.0',
        "seconds_count 3.0",
        "seconds_sum 7.6",
    ]
    assert histogram.count == 3


def test_the_default_bounds_are_the_contracts() -> None:
    bounds = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

    assert tuple(Histogram().bounds) == bounds


def test_label_values_are_escaped() -> None:
    registry = Registry()
    registry.counter("c", "C.", ("x",)).labels('a"b\n').inc()

    assert exposed(registry) == ['c_total{x="a\\"b\\n"} 1.0']


def test_label_values_may_hold_percent_signs() -> None:
    registry = Registry()
    registry.counter("c", "C.", ("x",)).labels("100%d%%").inc()
    registry.gauge_from("g", "100 %.", lambda: 1, (("y", "%s"),))

    assert exposed(registry) == ['c_total{x="100%d%%"} 1.0', 'g{y="%s"} 1.0']


def test_a_counter_may_be_read_at_the_scrape() -> None:
    registry = Registry()
    registry.counter_from("opened", "Opened.", lambda: 3)

    assert exposed(registry) == ["opened_total 3.0"]


def test_fixed_labels_stand_in_every_sample() -> None:
    registry = Registry()
    family = registry.histogram("seconds", "Time.", ("code",), bounds=(1,), fixed=(("otel_scope_name", "x"),))
    family.labels("200").observe(0.5)

    assert exposed(registry)[0] == 'seconds_bucket{code="200",otel_scope_name="x",le="1"} 1.0'
    assert exposed(registry)[2] == 'seconds_count{code="200",otel_scope_name="x"} 1.0'


@pytest.mark.parametrize(("value", "text"), [(float("inf"), "+Inf"), (float("-inf"), "-Inf"), (float("nan"), "NaN")])
def test_values_that_are_no_numbers_are_written_as_prometheus_wants_them(value: float, text: str) -> None:
    registry = Registry()
    registry.gauge("g", "G.").set(value)

    assert exposed(registry) == [f"g {text}"]


def test_help_and_type_stand_before_the_samples() -> None:
    registry = Registry()
    registry.counter("c", "Two\nlines.").inc()

    assert registry.render() == b"# HELP c_total Two\\nlines.\n# TYPE c_total counter\nc_total 1.0\n"


def test_metrics_may_come_and_go_while_they_are_written_slice_by_slice() -> None:
    registry = Registry()
    family = registry.gauge("pods", "Pods.", ("revision",))
    for number in range(2500):
        family.labels(f"r{number}").set(1)

    slices = registry.slices()
    first = next(slices)
    family.remove("r2400")
    family.labels("new").set(1)
    rest = list(slices)

    assert len(rest) == 2, "about a thousand at a time"
    assert first.count(b"\n") + sum(part.count(b"\n") for part in rest) == 2 + 2499
    assert b'"r2400"' not in registry.render()
    assert b'"new"' in registry.render()
    family.labels("r2400")
    assert b'revision="r2400"} 0.0' in registry.render()


def test_prometheus_own_parser_reads_what_is_exposed() -> None:
    registry = Registry()
    registry.counter("requests", "Requests.", ("path",)).labels('a"b\\c\n').inc(2)
    registry.histogram("seconds", "Time.", bounds=(0.1, 1)).observe(0.5)

    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(registry.render().decode())
        for sample in family.samples
    }

    assert samples["requests_total", 'a"b\\c\n'] == 2
    assert samples["seconds_bucket", "1.0" if ("seconds_bucket", "1.0") in samples else "1"] == 1
    assert samples["seconds_sum",] == 0.5
