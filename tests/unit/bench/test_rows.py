"""How the bench compares, judges and tells."""

import pytest

from bench.rows import KEPT_WAITING, Figure, Measure, Row, Series, at_least, at_most, beside, details, summary


def series(name: str, **columns: list[float]) -> Series:
    return Series(name, {column.replace("_", " "): values for column, values in columns.items()})


def measure(row: Row) -> Measure:
    return Measure("row", "what it is", {}, lambda bench: row)


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (at_least("share", 0.60, 0.60), True),
        (at_least("share", 0.59, 0.60), False),
        (at_most("ms", 120.0, 120.0), True),
        (at_most("ms", 120.1, 120.0), False),
        (at_most("ms", 120.1, None), None),
    ],
)
def test_a_target_that_is_just_reached_is_met_and_no_target_has_no_verdict(figure: Figure, met: bool | None) -> None:
    assert figure.met is met


def test_a_share_is_the_median_of_the_ratios_of_each_round_not_the_ratio_of_medians() -> None:
    ours, theirs = series("ours", rate=[50.0, 10.0, 90.0]), series("theirs", rate=[100.0, 40.0, 100.0])
    assert ours.share_of(theirs, "rate") == 0.5
    assert ours.above(theirs, "rate") == -30.0


def test_rounds_that_only_one_contestant_had_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        series("ours", rate=[1.0]).share_of(series("theirs", rate=[1.0, 2.0]), "rate")


def test_cpu_time_is_compared_the_other_way_round_for_less_is_better() -> None:
    ours = Series("ours", {"rate": [60.0], "CPU µs/request": [20.0]})
    theirs = Series("theirs", {"rate": [100.0], "CPU µs/request": [10.0]})
    rate, cpu = beside(ours, theirs, "rate", 0.5, "requests")
    assert (rate.value, rate.met) == (0.6, True)
    assert (cpu.value, cpu.met) == (0.5, None)


def test_the_clock_decides_nothing_while_somebody_else_is_on_the_core() -> None:
    figures = [at_least("share", 0.4, 0.5)]
    quiet = Row(figures, [Series("a", {KEPT_WAITING: [0.0, 0.05, 0.9]})])
    busy = Row(figures, [Series("a", {KEPT_WAITING: [0.0, 0.2, 0.9]})])
    assert summary([(measure(quiet), quiet)]).endswith("| 0.40 | ≥ 0.50 | **missed** |")
    assert summary([(measure(busy), busy)]).endswith("| 0.40 | ≥ 0.50 | open: the machine was busy |")
    steady = Row([at_most("MiB", 9.0, 8.0, by_the_clock=False)], busy.series)
    assert summary([(measure(steady), steady)]).endswith("| 9.00 | ≤ 8.00 | **missed** |")


def test_a_skipped_row_stands_in_the_table_with_its_reason() -> None:
    row = Row([])
    assert "| skipped: needs wrk |" in summary([(measure(row), "skipped: needs wrk")])


def test_details_show_median_and_spread_and_leave_open_what_one_contestant_does_not_have() -> None:
    row = Row([], [series("a", rate=[1000.0, 3000.0, 2000.0], failed=[0.0]), series("b", rate=[5.0])], "A note.")
    lines = details(measure(row), row).splitlines()
    assert "| a | 2,000 (1,000 to 3,000) | 0 |" in lines
    assert "| b | 5 |  |" in lines
    assert lines[-1] == "A note."
