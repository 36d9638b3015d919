"""Logs: bounded files, the end of the latest run, and how long they are kept."""

import os
from pathlib import Path

from upwell.local.runtime.logs import ContainerLog, PodLogs


def test_the_tail_is_of_the_latest_run_only(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "pod" / "app.log")
    with log.open() as file:
        file.write(b"first run\n")
    with log.open() as file:
        file.write(b"second run\nfailed\n")

    assert log.tail() == "second run\nfailed"


def test_a_run_that_wrote_nothing_has_no_tail(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "app.log")
    log.open().close()

    assert log.tail() == ""
    assert ContainerLog(tmp_path / "absent.log").tail() == ""


def test_a_file_beyond_its_bound_starts_anew_and_keeps_its_end_in_one_old_copy(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "app.log")
    with log.open() as file:
        file.write(b"a" * 50 + b"b" * 100)
        log.bound(100)
        file.write(b"after")

    assert log.path.read_bytes() == b"after"
    assert (tmp_path / "app.log.1").read_bytes() == b"b" * 100
    assert log.tail() == "after"


def test_a_file_within_its_bound_is_left_alone(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "app.log")
    with log.open() as file:
        file.write(b"a" * 100)

    log.bound(100)

    assert log.path.stat().st_size == 100


def test_the_logs_of_the_latest_pods_of_each_owner_outlive_them(tmp_path: Path) -> None:
    for number in range(4):
        for owner in ("web", "api"):
            folder = tmp_path / "default" / f"{owner}-hash-{number}"
            folder.mkdir(parents=True)
            os.utime(folder, (number, number))

    PodLogs(tmp_path, kept=2).clean(running={("default", "web-hash-0")})

    left = sorted(path.name for path in (tmp_path / "default").iterdir())
    assert left == ["api-hash-2", "api-hash-3", "web-hash-0", "web-hash-2", "web-hash-3"]
