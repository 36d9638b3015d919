"""Probes: what is read from an object, how often they are repeated, what their outcomes mean."""

import pytest

from upwell.local.runtime.probes import Probe, ProbeTracker, Role, parse_probe

TCP = Probe(kind="tcpSocket", port=20001, period=10.0, failure_threshold=3)


def actual(port: int | str) -> int:
    return {8012: 20001, "http": 20002}.get(port, 0)


def test_a_probe_without_a_handler_is_none() -> None:
    assert parse_probe(None, actual) is None
    assert parse_probe({"periodSeconds": 3}, actual) is None


def test_an_http_probe_dials_the_actual_port_and_keeps_its_headers() -> None:
    probe = parse_probe(
        {"httpGet": {"port": 8012, "httpHeaders": [{"name": "K-Network-Probe", "value": "queue"}]}}, actual
    )

    assert probe == Probe(kind="httpGet", port=20001, headers=(("K-Network-Probe", "queue"),))


def test_a_named_port_and_a_path_without_a_slash_are_understood() -> None:
    probe = parse_probe({"httpGet": {"port": "http", "path": "healthz"}, "timeoutSeconds": 4}, actual)

    assert probe is not None
    assert (probe.port, probe.path, probe.timeout) == (20002, "/healthz", 4.0)


def test_a_period_of_zero_is_the_default_as_for_a_kubelet() -> None:
    probe = parse_probe({"exec": {"command": ["true"]}, "periodSeconds": 0}, actual)

    assert probe is not None
    assert (probe.period, probe.command) == (10.0, ("true",))


@pytest.mark.parametrize(("waited", "delay"), [(0.0, 0.02), (0.1, 0.02), (1.0, 0.1), (2.0, 0.2), (30.0, 0.25)])
def test_until_it_is_ready_a_container_is_asked_after_a_tenth_of_the_time_waited(waited: float, delay: float) -> None:
    tracker = ProbeTracker(TCP, Role.READINESS, now=100.0)

    assert tracker.delay(100.0 + waited) == pytest.approx(delay)


def test_a_ready_container_is_asked_at_the_probes_own_pace() -> None:
    tracker = ProbeTracker(TCP, Role.READINESS, now=0.0)

    assert tracker.record(True, 0.3)
    assert tracker.passing
    assert tracker.delay(0.3) == 10.0


def test_readiness_needs_as_many_successes_in_a_row_as_the_threshold_says() -> None:
    tracker = ProbeTracker(Probe(kind="tcpSocket", success_threshold=2), Role.READINESS, now=0.0)

    outcomes = [tracker.record(passed, 0.1) or tracker.passing for passed in (True, False, True, True)]

    assert outcomes == [False, False, False, True]


def test_a_ready_container_stays_ready_until_the_failure_threshold_and_is_never_restarted() -> None:
    tracker = ProbeTracker(TCP, Role.READINESS, now=0.0)
    tracker.record(True, 0.0)

    changes = [tracker.record(False, 10.0 * attempt) for attempt in (1, 2, 3)]

    assert changes == [False, False, True]
    assert (tracker.passing, tracker.failed) == (False, False)
    assert tracker.delay(30.0) == 0.02


def test_a_live_container_is_restarted_after_the_failure_threshold() -> None:
    tracker = ProbeTracker(TCP, Role.LIVENESS, now=0.0)
    assert tracker.passing

    for attempt in (1, 2, 3):
        tracker.record(False, 10.0 * attempt)

    assert tracker.failed


def test_a_success_in_between_starts_the_count_of_failures_anew() -> None:
    tracker = ProbeTracker(TCP, Role.LIVENESS, now=0.0)

    for passed in (False, False, True, False, False):
        tracker.record(passed, 1.0)

    assert not tracker.failed


def test_a_startup_probe_gives_the_time_of_all_its_attempts_however_often_it_is_asked() -> None:
    tracker = ProbeTracker(Probe(kind="tcpSocket", period=2.0, failure_threshold=5), Role.STARTUP, now=0.0)
    for attempt in range(100):
        tracker.record(False, attempt * 0.05)
    assert not tracker.failed

    tracker.record(False, 10.0)

    assert tracker.failed
