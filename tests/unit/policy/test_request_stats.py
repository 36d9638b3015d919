"""Request statistics beyond the recorded sequences of tests/golden."""

from hypothesis import given
from hypothesis import strategies as st

from upwell.policy.request_stats import RequestStats, StatsReport


def test_two_half_second_requests_within_a_second_average_to_one() -> None:
    stats = RequestStats(now=0.0)
    stats.request_in(0.0)
    stats.request_in(0.25)
    stats.request_out(0.5)
    stats.request_out(0.75)

    assert stats.report(1.0) == StatsReport(average_concurrency=1.0, request_count=2)


def test_a_proxied_request_counts_in_both_figures() -> None:
    stats = RequestStats(now=0.0)
    stats.request_in(0.0, proxied=True)

    assert stats.report(1.0) == StatsReport(1.0, 1.0, 1, 1)


def test_the_level_carries_over_to_the_next_report_and_the_count_does_not() -> None:
    stats = RequestStats(now=0.0)
    stats.request_in(0.0)
    stats.report(1.0)

    assert stats.report(2.0) == StatsReport(average_concurrency=1.0, request_count=0)


def test_a_report_at_once_has_no_average() -> None:
    stats = RequestStats(now=5.0)
    stats.request_in(5.0)

    assert stats.report(5.0) == StatsReport(average_concurrency=0.0, request_count=1)


def test_an_event_from_the_past_takes_no_time() -> None:
    stats = RequestStats(now=10.0)
    stats.request_in(12.0)
    stats.request_out(11.0)

    assert stats.report(14.0).average_concurrency == 0.0


@given(st.lists(st.tuples(st.floats(0.01, 1), st.booleans()), max_size=40))
def test_the_average_never_exceeds_the_requests_that_were_there(steps: list[tuple[float, bool]]) -> None:
    stats, now, arrived = RequestStats(now=0.0), 0.0, 0
    for wait, arrives in steps:
        now += wait
        if arrives or not stats.in_flight:
            stats.request_in(now)
            arrived += 1
        else:
            stats.request_out(now)

    report = stats.report(now + 1)
    assert 0 <= report.average_concurrency <= arrived
    assert report.request_count == arrived
