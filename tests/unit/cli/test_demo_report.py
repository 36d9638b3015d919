"""The demo's summary: what it says, and when the demo counts as good."""

import json
from dataclasses import replace
from pathlib import Path

from upwell.charts.drawing import Mark
from upwell.cli.demo_report import Sample, Summary, cold_start_phases, write_html, write_json
from upwell.cli.observe import PodStart, ServiceState

SUMMARY = Summary(
    requests=10,
    answered=10,
    failed=0,
    failures={},
    cold_start_ms=321.5,
    cold_start_phases_ms={"decided": 5.0, "first_byte": 321.5},
    peak_pods=3,
    seconds_to_zero=12.5,
    seconds=60.0,
    latency_ms={"p50": 100.0, "p95": 110.0, "p99": 120.0},
    samples=[Sample(0.0, 0, 0, 0, 0, 0, 0.0, 0.0), Sample(1.0, 3, 3, 5, 10, 0, 100.0, 120.0)],
    marks=[Mark(0.5, "burst")],
)


def test_a_demo_is_good_only_if_every_request_was_answered() -> None:
    assert SUMMARY.good
    assert not replace(SUMMARY, failed=1, answered=9).good
    assert not replace(SUMMARY, answered=9).good


def test_failures_are_said_by_kind() -> None:
    text = "\n".join(replace(SUMMARY, failed=2, failures={"status 502": 2}).lines(None))

    assert "2 failed, 2 × status 502" in text


def test_the_json_summary_holds_the_promised_fields(tmp_path: Path) -> None:
    write_json(SUMMARY, tmp_path / "out.json")

    found = json.loads((tmp_path / "out.json").read_text())
    promised = {"requests", "failed", "cold_start_ms", "cold_start_phases_ms", "peak_pods", "seconds_to_zero"}
    assert promised <= set(found)
    assert found["samples"][1]["ready_pods"] == 3


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    write_html(SUMMARY, tmp_path / "out.html")

    page = (tmp_path / "out.html").read_text()
    assert "<svg" in page
    assert not [word for word in ("src=", "href=", "url(", "@import") if word in page]
    assert ">burst</text>" in page
    assert "10 sent, 10 answered, 0 failed" in page


def test_the_phases_of_a_cold_start_count_from_the_request_and_leave_out_what_was_not_seen() -> None:
    state = ServiceState(
        scaled_up_at=100.004, starts={"old": PodStart(50.0, 51.0, 52.0), "new": PodStart(100.010, 100.02)}
    )

    phases = cold_start_phases(state, {"old"}, 100.0, 350.0)

    assert phases == {"decided": 4.0, "pod_created": 10.0, "containers_started": 20.0, "first_byte": 350.0}
