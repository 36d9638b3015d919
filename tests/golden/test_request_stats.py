"""Request statistics agree with the reference on every recorded sequence."""

from typing import Any

import pytest

from tests.golden.conftest import load
from upwell.policy.request_stats import RequestStats, StatsReport

CASES = load("request_stats.json")["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_reports_agree_with_the_reference(case: dict[str, Any]) -> None:
    stats = RequestStats(case["started_at"])
    for event in case["events"]:
        kind, now = event["event"], event["t"]
        if kind == "report":
            assert_agrees(stats.report(now), event["want"])
        elif kind.endswith("in"):
            stats.request_in(now, proxied=kind == "proxied_in")
        else:
            stats.request_out(now, proxied=kind == "proxied_out")


def assert_agrees(report: StatsReport, want: dict[str, Any]) -> None:
    assert report.average_concurrency == pytest.approx(want["average_concurrency"], abs=1e-6)
    assert report.average_proxied_concurrency == pytest.approx(want["average_proxied_concurrency"], abs=1e-6)
    assert report.request_count == want["request_count"]
    assert report.proxied_request_count == want["proxied_request_count"]
